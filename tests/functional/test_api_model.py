"""Random calls by several users, against a model of what must be allowed and what must follow.

The model (model_vm.py) knows OpenNebula's rules: owner, group and other bits, locks, a quota, which action fits which
state, which disk, snapshot and NIC.  After some calls the cloud is asked what it says of every VM, and to whom; what
was asked for may be left under way, and others ask meanwhile.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from makers import MakeGround
from model_asks import DISKS, HAS, PARTS, SIMPLE
from model_cloud import ALLOWANCE, ANY, MOST, PATIENCE, Ask
from model_owners import Owners
from model_vm import ADMIN, FAILS, FORBIDDEN, GROUPS, MANAGE, NEEDS, USERS, WORDS, Disk, Machine
from sim import Refused
from sim_points import LONG

VMS = 6
"""How many there are at a time."""
OWNER = "owner"
"""Who may do it: the owner, or else oneadmin."""

places, picks = st.integers(0, MOST), st.integers(0, 11)
users, whos, yes = st.sampled_from(USERS), st.sampled_from((*USERS, *[OWNER] * 8)), st.booleans()
some, few = st.sampled_from((False, False, True)), st.sampled_from((False,) * 7 + (True,))


class Wish(NamedTuple):
    """What is asked for, by whom, of one of the VMs at a place; the rest is Ask's."""

    what: str
    who: str
    place: int
    pick: int
    other: int
    linger: bool
    crash: bool


def wishes(names: Sequence[str]) -> st.SearchStrategy[list[Wish]]:
    """Some."""
    return st.lists(st.builds(Wish, st.sampled_from(sorted(names)), whos, places, picks, picks, some, few), min_size=2,
                    max_size=9)


class Tenants(Owners):
    """What may happen."""

    anyone = precondition(lambda self: self.alive())

    @initialize(users=st.tuples(users, users), forms=st.tuples(*[st.sampled_from(("qcow2", "raw"))] * 2),
                action=st.sampled_from(("poweroff", "suspend", "stop", "undeploy")))
    def begin(self, users: tuple[str, str], forms: tuple[str, str], action: str) -> None:
        """A VM runs, another one did."""
        for user, form in zip(users, forms, strict=True):
            self.make(user, False, form, True)
        self.simple(Ask(ADMIN, 0, self.model[0], 0, 0, False, False), action)

    @precondition(lambda self: self.alive() < VMS)
    @rule(user=users, hold=yes, form=st.sampled_from(("qcow2", "raw")), run=yes)
    def make(self, user: str, hold: bool, form: str, run: bool) -> None:
        """A VM of its maker and his group, within the quota: a disk of an image, a volatile one, a NIC, a context."""
        over = user == "bob" and self.alive("bob") >= ALLOWANCE
        name = f"vm{len(self.model)}"
        text = (f"NAME={name}\nCPU=1\nMEMORY=64\nMEMORY_MAX=256\nCONTEXT=[A=0]\nDISK=[IMAGE_ID={self.bases[form]}]\n"
                f"DISK=[TYPE=fs,SIZE=10,FORMAT=raw]\nNIC=[NETWORK_ID={self.network}]\n")
        try:
            oid = int(str(self.ask(user, "one.vm.allocate", text, hold)))
        except Refused as refused:
            assert over and refused.code == FORBIDDEN, refused
            return
        assert not over, "bob has one more than he may"
        vm = Machine(user, GROUPS.get(user, "oneadmin"), "HOLD" if hold else "PENDING", name,
                     {0: Disk(form), 1: Disk("")}, next_disk=3)  # 2 is the context's
        self.model[oid] = vm
        if run:
            self.deploy(Ask(ADMIN, oid, vm, oid, 0, False, False))

    @anyone
    @rule(wanted=wishes([*SIMPLE, "deploy", "migrate", "migrate"]))
    def act(self, wanted: list[Wish]) -> None:
        """Users ask for something with VMs, or for another place for them."""
        for wish in wanted:
            self._grant(wish)

    @anyone
    @rule(wanted=wishes([*DISKS, "disk_snapshot", "disk_snapshot_delete", "save_as"]))
    def with_disks(self, wanted: list[Wish]) -> None:
        """Users ask for something with the disks of VMs."""
        for wish in wanted:
            self._grant(wish)

    @anyone
    @rule(wanted=wishes(list(PARTS)))
    def equip(self, wanted: list[Wish]) -> None:
        """Users ask for something with what else VMs have."""
        for wish in wanted:
            self._grant(wish)

    def _grant(self, wish: Wish) -> None:
        action = {**DISKS, **PARTS}.get(wish.what, wish.what)
        oid, who = self.pick(wish.place, action, HAS.get(wish.what, bool)), wish.who
        if who == OWNER:
            who = self.model[oid].owner
            who = who if self.model[oid].allows(who, NEEDS.get(action, MANAGE)) else ADMIN
        ask = Ask(who, oid, self.model[oid], wish.pick, wish.other, wish.linger, wish.crash)
        if wish.what in SIMPLE:
            self.simple(ask, wish.what)
        else:
            getattr(self, wish.what)(ask)

    @precondition(lambda self: any(vm.under or vm.lock[0] for vm in self.model.values()))
    @rule()
    def go_on(self) -> None:
        """All that is under way, and has not failed, comes to its end; no VM is locked any more."""
        for oid, vm in self.model.items():
            if vm.under and vm.state not in FAILS.values():
                self.goes_on(oid)
            if vm.lock[0] and vm.state != "DONE":
                self.ask(ADMIN, "one.vm.unlock", oid)
                vm.lock = (0, "")

    @anyone
    @rule(who=whos, place=places, word=st.sampled_from((*WORDS[:3] * 3, *WORDS[3:])))
    def recover(self, who: str, place: int, word: str) -> None:
        """An operator's word on a VM, as a rule on one of which something is under way."""
        busy = sorted(oid for oid, vm in self.model.items() if vm.under)
        oid = busy[place % len(busy)] if busy and place >= ANY else self.pick(place)
        if busy or word in WORDS[:3] or place < ANY:  # else too few would live long enough
            self.say(ADMIN if who == OWNER else who, oid, word)

    @anyone
    @rule(what=st.sampled_from(("chmod", "chown", "lock", "unlock", "rename")), user=users, place=places,
          number=st.integers(0, 17))
    def own(self, what: str, user: str, place: int, number: int) -> None:
        """Something with whose a VM is."""
        oid = self.pick(place)
        getattr(self, what)(user, oid, self.model[oid], number)

    @rule()
    def die(self) -> None:
        """The core, whatever is under way."""
        self.dies()


@pytest.mark.timeout(0 if LONG else 900)
def test_calls_of_several_users(make_ground: MakeGround) -> None:
    """Some random lives of a cloud, told as they were when one fails; many with ONECORE_LONG=1, then shortened."""
    factory: Callable[[], RuleBasedStateMachine] = lambda: Tenants(make_ground(0, **PATIENCE))  # noqa: E731
    run_state_machine_as_test(factory, settings=settings(  # type: ignore[no-untyped-call]
        max_examples=250 if LONG else 12, stateful_step_count=50 if LONG else 40, deadline=None, derandomize=not LONG,
        database=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if LONG else (Phase.generate,)))
