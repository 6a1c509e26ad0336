"""Random calls by several users, against a model of what must be allowed and what must follow.

The model knows OpenNebula's rules (owner, group and other bits, locks, a quota, which action fits which state) and
nothing of the code.  After each call the cloud is asked what it says of every VM, and to whom.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from lxml import etree
from makers import MakeGround
from sim import Refused
from sim_ground import Ground, assert_sums
from sim_points import LONG

ADMIN = "oneadmin"
GROUPS = {"ann": "red", "bob": "red", "cyd": "blue"}
USERS = (ADMIN, *GROUPS)
ALLOWANCE = 3
"""How many VMs bob may have; the others as many as they like."""
MOST = 6
USE, MANAGE, ADMINISTER = range(3)
GROUP, EVERY, VM, CREATE = 1 << 33, 1 << 34, 1 << 36, 8
"""Bits of ACL rules."""
FORBIDDEN, UNFIT, LOCKED = 0x0200, 0x0800, 0x8000

ENDS_FROM = ("PENDING", "HOLD", "RUNNING", "POWEROFF", "SUSPENDED", "STOPPED", "UNDEPLOYED")
LEADS: dict[str, dict[str, str]] = {
    "hold": {"PENDING": "HOLD"}, "release": {"HOLD": "PENDING"},
    "deploy": dict.fromkeys(("PENDING", "HOLD", "STOPPED", "UNDEPLOYED"), "RUNNING"),
    "poweroff": {"RUNNING": "POWEROFF"}, "poweroff-hard": {"RUNNING": "POWEROFF"},
    "suspend": {"RUNNING": "SUSPENDED"}, "stop": {"RUNNING": "STOPPED", "SUSPENDED": "STOPPED"},
    "undeploy": {"RUNNING": "UNDEPLOYED", "POWEROFF": "UNDEPLOYED"},
    "reboot": {"RUNNING": "RUNNING"}, "resched": {"RUNNING": "RUNNING", "POWEROFF": "POWEROFF"},
    "resume": {"STOPPED": "PENDING", "UNDEPLOYED": "PENDING", "SUSPENDED": "RUNNING", "POWEROFF": "RUNNING"},
    "terminate": dict.fromkeys(ENDS_FROM, "DONE"), "terminate-hard": dict.fromkeys(ENDS_FROM, "DONE"),
    "attach": {"RUNNING": "RUNNING", "POWEROFF": "POWEROFF"}}
"""{action: {state that it fits: where it leads}}, from section 2.3 of OpenNebula's state machine."""
NEEDS = {"deploy": ADMINISTER, "resched": ADMINISTER}
"""What an action needs; MANAGE, if it is not here."""


@dataclass
class Machine:
    """What the model knows of a VM."""

    owner: str
    group: str
    state: str
    name: str
    bits: list[list[bool]] = field(default_factory=lambda: [[True, True, False], [False] * 3, [False] * 3])
    """Of its owner, its group and others: USE, MANAGE, ADMIN."""
    lock: tuple[int, str] = (0, "")
    """The level, and who set it."""
    disks: int = 1

    def allows(self, user: str, need: int) -> bool:
        """By whichever bits are a user's."""
        mine = [self.owner == user, GROUPS.get(user) == self.group, True]
        return user == ADMIN or any(fits and bits[need] for fits, bits in zip(mine, self.bits, strict=True))

    def locks(self, need: int) -> bool:
        """Whether its lock stands in the way, whoever asks."""
        level, _ = self.lock
        return level == 4 or 0 < level <= need + 1

    def verdict(self, user: str, need: int, locked: bool = True) -> int:
        """The error that a call must get, 0 for none."""
        if not self.allows(user, need):
            return FORBIDDEN
        if self.state == "DONE":
            return UNFIT
        return LOCKED if locked and self.locks(need) else 0


vms = st.integers(0, MOST - 1)
users = st.sampled_from(USERS)


class Tenants(RuleBasedStateMachine):
    """Ann and bob are of one group, cyd of another; oneadmin may do all that a lock allows."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.ground, self.sim = ground, ground.sim
        self.model: dict[int, Machine] = {}
        self.uid, self.gid = {ADMIN: 0}, {"oneadmin": 0}
        for group in ("red", "blue"):
            self.gid[group] = int(self.sim.call("one.group.allocate", group))
            self.sim.call("one.acl.addrule", hex(GROUP | self.gid[group]), hex(VM | EVERY), hex(CREATE))
        for user, group in GROUPS.items():
            self.uid[user] = int(self.sim.call("one.user.allocate", user, "secret", "core", [self.gid[group]]))
        self.sim.call("one.user.quota", self.uid["bob"], f"VM=[VMS={ALLOWANCE}]")

    def teardown(self) -> None:
        """The end of this cloud."""
        self.sim.close()

    # -- asking

    def ask(self, user: str, method: str, *arguments: object) -> object:
        """As a user."""
        return self.sim.call(method, *arguments, secret="" if user == ADMIN else f"{user}:secret")

    def expect(self, error: int, user: str, method: str, *arguments: object) -> bool:
        """A call that must end so; whether it was done."""
        try:
            self.ask(user, method, *arguments)
        except Refused as refused:
            assert refused.code == error, f"{method}{arguments} by {user}: {refused.code:#06x} ({refused}), " \
                                          f"not {error:#06x}"
            return False
        assert not error, f"{method}{arguments} by {user} was done; {error:#06x} was due"
        return True

    def pick(self, number: int) -> tuple[int, Machine]:
        """One of the VMs that ever were, the latest rather than others."""
        oid = sorted(self.model)[-1 - number % len(self.model)]
        return oid, self.model[oid]

    def alive(self, owner: str) -> int:
        """How many VMs a user has."""
        return sum(vm.owner == owner and vm.state != "DONE" for vm in self.model.values())

    # -- what may happen

    @precondition(lambda self: sum(vm.state != "DONE" for vm in self.model.values()) < MOST)
    @rule(user=users, hold=st.booleans())
    def make(self, user: str, hold: bool) -> None:
        """A VM of its maker and his group, within the quota."""
        over = user == "bob" and self.alive("bob") >= ALLOWANCE
        name = f"vm{len(self.model)}"
        text = f"NAME={name}\nCPU=1\nMEMORY=64\nDISK=[TYPE=fs,SIZE=10,FORMAT=raw]"
        try:
            oid = self.ask(user, "one.vm.allocate", text, hold)
        except Refused as refused:
            assert over and refused.code == FORBIDDEN, refused
            return
        assert not over, "bob has one more than he may"
        self.model[int(str(oid))] = Machine(user, GROUPS.get(user, "oneadmin"), "HOLD" if hold else "PENDING", name)

    @precondition(lambda self: self.model)
    @rule(user=users, number=vms, action=st.sampled_from(sorted(LEADS)), crash=st.booleans())
    def act(self, user: str, number: int, action: str, crash: bool) -> None:
        """Something with a VM; the core may die as soon as it has said yes."""
        oid, vm = self.pick(number)
        error = vm.verdict(user, NEEDS.get(action, MANAGE))
        if not error and vm.state not in LEADS[action]:
            error = UNFIT
        call: tuple[object, ...] = ("one.vm.action", action, oid)
        if action == "deploy":
            call = ("one.vm.deploy", oid, self.ground.host)
        elif action == "attach":
            call = ("one.vm.attach", oid, "DISK=[TYPE=fs,SIZE=5,FORMAT=raw]")
        if not self.expect(error, user, str(call[0]), *call[1:]):
            return
        vm.state = LEADS[action][vm.state]
        vm.disks += action == "attach"
        if crash:
            self.sim.reboot()
        self.sim.wait(oid, vm.state)

    @precondition(lambda self: self.model)
    @rule(user=users, number=vms, who=st.integers(0, 2), right=st.integers(0, 2), on=st.booleans())
    def chmod(self, user: str, number: int, who: int, right: int, on: bool) -> None:
        """One bit; those of ADMIN are given by who has ADMIN."""
        oid, vm = self.pick(number)
        bits = [-1] * 9
        bits[3 * who + right] = int(on)
        need = ADMINISTER if right == ADMINISTER else MANAGE
        if self.expect(vm.verdict(user, need), user, "one.vm.chmod", oid, *bits):
            vm.bits[who][right] = on

    @precondition(lambda self: self.model)
    @rule(number=vms, owner=st.sampled_from(sorted(GROUPS)))
    def chown(self, number: int, owner: str) -> None:
        """To another user, within his quota; the group stays."""
        oid, vm = self.pick(number)
        error = vm.verdict(ADMIN, MANAGE)
        if not error and owner == "bob" != vm.owner and self.alive("bob") >= ALLOWANCE:
            error = FORBIDDEN
        if self.expect(error, ADMIN, "one.vm.chown", oid, self.uid[owner], -1):
            vm.owner = owner

    @precondition(lambda self: self.model)
    @rule(user=users, number=vms, level=st.integers(1, 4))
    def lock(self, user: str, number: int, level: int) -> None:
        """Over one's own lock, or where there is none; oneadmin over any."""
        oid, vm = self.pick(number)
        error = vm.verdict(user, MANAGE, locked=False)
        if not error and vm.lock[0] and user not in (ADMIN, vm.lock[1]):
            error = LOCKED
        if self.expect(error, user, "one.vm.lock", oid, level, False):
            vm.lock = (level, user)

    @precondition(lambda self: self.model)
    @rule(user=users, number=vms)
    def unlock(self, user: str, number: int) -> None:
        """Whoever set it, or oneadmin."""
        oid, vm = self.pick(number)
        error = vm.verdict(user, MANAGE, locked=False)
        if not error and vm.lock[0] and user not in (ADMIN, vm.lock[1]):
            error = FORBIDDEN
        if self.expect(error, user, "one.vm.unlock", oid):
            vm.lock = (0, "")

    @precondition(lambda self: self.model)
    @rule(user=users, number=vms)
    def rename(self, user: str, number: int) -> None:
        """Another name each time."""
        oid, vm = self.pick(number)
        name = f"{vm.name}x"
        if self.expect(vm.verdict(user, MANAGE), user, "one.vm.rename", oid, name):
            vm.name = name

    @rule()
    def die(self) -> None:
        """The core, with nothing under way."""
        self.sim.reboot()

    # -- what must hold

    @invariant()
    def each_sees_what_is_his_to_see(self) -> None:
        """The pool of every user: the VMs that he may use, as the model has them."""
        names = {number: name for name, number in self.gid.items()}
        owners = {number: name for name, number in self.uid.items()}
        for user in USERS:
            pool = etree.fromstring(str(self.ask(user, "one.vmpool.infoextended", -2, -1, -1, -1)).encode())
            found = {int(vm.findtext("ID") or -1): vm for vm in pool}
            due = {oid: vm for oid, vm in self.model.items() if vm.state != "DONE" and vm.allows(user, USE)}
            assert sorted(found) == sorted(due), f"what {user} sees"
            for oid, vm in due.items():
                body = found[oid]
                bits = [[body.findtext(f"PERMISSIONS/{who}_{right}") == "1" for right in "UMA"]
                        for who in ("OWNER", "GROUP", "OTHER")]
                assert (body.findtext("NAME"), owners[int(body.findtext("UID") or -1)],
                        names[int(body.findtext("GID") or -1)]) == (vm.name, vm.owner, vm.group)
                assert bits == vm.bits and len(body.findall("TEMPLATE/DISK")) == vm.disks
                assert int(body.findtext("LOCK/LOCKED") or 0) == vm.lock[0] and self.sim.state(oid) == vm.state

    @invariant()
    def a_strangers_call_tells_nothing(self) -> None:
        """one.vm.info answers whom the pool answers."""
        for oid, vm in self.model.items():
            error = 0 if vm.allows("cyd", USE) else FORBIDDEN
            if vm.state != "DONE":
                self.expect(error, "cyd", "one.vm.info", oid)

    @invariant()
    def sums_are_right(self) -> None:
        """Capacity, the quota's use, and every record against SQL; guests where VMs run, and nowhere else."""
        assert_sums(self.sim)
        used = etree.fromstring(str(self.ask("bob", "one.user.info", -1)).encode()).findtext("VM_QUOTA/VM/VMS_USED")
        assert int(used or 0) == self.alive("bob")
        assert self.sim.guests("node1") == sorted(oid for oid, vm in self.model.items() if vm.state == "RUNNING")


@pytest.mark.timeout(0 if LONG else 240)
def test_calls_of_several_users(make_ground: MakeGround) -> None:
    """Some random lives of a cloud, told as they were when one fails; many with ONECORE_LONG=1, then shortened."""
    factory: Callable[[], RuleBasedStateMachine] = lambda: Tenants(make_ground())  # noqa: E731
    run_state_machine_as_test(factory, settings=settings(  # type: ignore[no-untyped-call]
        max_examples=400 if LONG else 6, stateful_step_count=60 if LONG else 40, deadline=None, derandomize=not LONG,
        database=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if LONG else (Phase.generate,)))
