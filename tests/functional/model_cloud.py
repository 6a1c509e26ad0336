"""A simulated cloud beside the model of its VMs: how they are asked, held in the middle, and compared."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine, invariant
from lxml import etree
from model_vm import ADMIN, FORBIDDEN, GROUPS, MANAGE, NEEDS, ON_A_HOST, UNFIT, USE, USERS, Machine
from sim import Refused
from sim_ground import Ground, assert_sums

from onecore.wire.states import vm_name

ALLOWANCE = 3
"""How many VMs bob may have; the others as many as they like."""
GROUP, EVERY, VM, IMAGE, CREATE = 1 << 33, 1 << 34, 1 << 36, 1 << 39, 8
"""Bits of ACL rules."""
HELD = tuple(f"vm.{action}" for action in (
    "deploy", "shutdown", "destroy", "save", "restore", "migrate", "attach_disk", "detach_disk", "resize_disk",
    "attach_nic", "detach_nic", "resize", "updateconf", "snapshot_create", "snapshot_revert", "snapshot_delete",
    "disk_snapshot_create", "disk_snapshot_delete", "copy_disk", "drop_copy")) + tuple(f"tm.{action}" for action in (
        "prolog", "epilog", "epilog_stop", "prolog_resume", "move", "move_back", "attach", "detach", "snap_create",
        "snap_revert", "snap_delete", "resize", "saveas"))
"""What drivers do for operations that are left under way, but for clean-ups and questions."""
PATIENCE = dict.fromkeys(("deploy", "shutdown", "destroy", "hotplug", "save", "restore", "snapshot"), 3600)
"""Deadlines of what is held."""


ANY, BUSY, MOST = 5, 20, 29
"""Places from 0 to MOST: of any VM; of one that fits; from BUSY on, of one of which something is under way too."""


def nothing(*_: object) -> None:
    """What is done where nothing changes."""


def number(body: etree._Element, path: str) -> int:
    """What an element says, -1 when there is none."""
    return int(body.findtext(path) or -1)


@dataclass(frozen=True)
class Ask:
    """Who asks for something with which VM; two numbers that say which of its parts it is about."""

    user: str
    oid: int
    vm: Machine
    pick: int
    other: int
    linger: bool
    """Whether what it begins is left under way."""
    crash: bool
    """Whether the core dies as soon as it has said yes."""


class Beside(RuleBasedStateMachine):
    """Ann and bob are of one group, cyd of another; oneadmin may do all that a lock allows."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.ground, self.sim = ground, ground.sim
        self.model: dict[int, Machine] = {}
        self.images: dict[int, tuple[str, int, str]] = {}
        """Of disks that were saved: whose, MB, state."""
        self.forgotten: set[int] = set()
        """VMs of which nobody knows any more: no driver was told, their guests are where they were."""
        self.uid, self.gid = {ADMIN: 0}, {"oneadmin": 0}
        self.hosts = [ground.host, self.sim.add_host("node2")]
        self.network = self.sim.add_network("wide", 250)
        self.bases = {form: self._base(form) for form in ("qcow2", "raw")}
        for group in ("red", "blue"):
            self.gid[group] = int(self.sim.call("one.group.allocate", group))
            self.sim.call("one.acl.addrule", hex(GROUP | self.gid[group]), hex(VM | IMAGE | EVERY), hex(CREATE))
        for user, group in GROUPS.items():
            self.uid[user] = int(self.sim.call("one.user.allocate", user, "secret", "core", [self.gid[group]]))
        self.sim.call("one.user.quota", self.uid["bob"], f"VM=[VMS={ALLOWANCE}]")

    def _base(self, form: str) -> int:
        """An image that everybody may use."""
        oid = int(self.sim.call("one.image.allocate", f"NAME={form}\nTYPE=DATABLOCK\nSIZE=10\nFORMAT={form}", 1))
        self.sim.call("one.image.chmod", oid, *[-1] * 6, 1, -1, -1)
        self.sim.advance(1)
        assert self._image(oid).findtext("STATE") == "1", f"image {oid} is not READY"
        return oid

    def teardown(self) -> None:
        """The end of this cloud."""
        self.sim.close()

    # -- asking

    def ask(self, user: str, method: str, *arguments: object) -> object:
        """As a user."""
        return self.sim.call(method, *arguments, secret="" if user == ADMIN else f"{user}:secret")

    def read(self, user: str, method: str, *arguments: object) -> etree._Element:
        """A body."""
        return etree.fromstring(str(self.ask(user, method, *arguments)).encode())

    def _image(self, oid: int) -> etree._Element:
        return self.read(ADMIN, "one.image.info", oid)

    def expect(self, error: int, user: str, method: str, *arguments: object) -> object:
        """A call that must end so; what it answered, None when it was refused."""
        if method != "one.vm.info":
            note(f"{user}: {method}{arguments}, to be {f'refused with {error:#06x}' if error else 'done'}")
        try:
            answer = self.ask(user, method, *arguments)
        except Refused as refused:
            assert refused.code == error, f"{method}{arguments} by {user}: {refused.code:#06x} ({refused}), " \
                                          f"not {error:#06x}"
            return None
        assert not error, f"{method}{arguments} by {user} was done; {error:#06x} was due"
        return answer

    def pick(self, place: int, action: str = "", has: Callable[[Machine], object] = bool) -> int:
        """One of the VMs that ever were, the latest rather than others; as a rule one that ACTION fits, and that HAS
        what it is about, and often one of which something is under way."""
        need = NEEDS.get(action, MANAGE)
        fit = [oid for oid, vm in self.model.items() if vm.state != "DONE" and has(vm) and not vm.locks(need)
               and (not action or vm.way(action))]
        busy = [oid for oid in fit if self.model[oid].under] if place >= BUSY else []
        alive = [oid for oid, vm in self.model.items() if vm.state != "DONE"]
        found = sorted((busy or fit or alive if place >= ANY else ()) or self.model)
        return found[-1 - place % len(found)]

    def alive(self, owner: str = "") -> int:
        """How many VMs a user has, or all have."""
        return sum(owner in ("", vm.owner) and vm.state != "DONE" for vm in self.model.values())

    # -- what takes its time

    def hold(self, *more: int) -> None:
        """What is done for VMs that are under way, and for MORE, waits from now on."""
        held = [*(oid for oid, vm in self.model.items() if vm.under), *more]
        self.ground.script(rules=[{"action": action, "vm": oid, "hold": True} for oid in held for action in HELD])

    def change(self, ask: Ask, action: str, method: str, *arguments: object, error: int = 0,
               done: Callable[[], None] = nothing, undone: Callable[[], None] = nothing) -> object:
        """ACTION, asked for by METHOD: refused as the VM's state says, or with ERROR; else DONE follows, at once or, if
        it is to linger, when somebody lets it go on."""
        oid, vm = ask.oid, ask.vm
        way = vm.way(action)
        error = vm.verdict(ask.user, NEEDS.get(action, MANAGE)) or (error if way else UNFIT)
        linger = ask.linger and not error and way is not None and way.via not in ("", "CLEANUP_DELETE")
        if linger:
            self.hold(oid)
        answer = self.expect(error, ask.user, f"one.vm.{method}", *arguments)
        if answer is None or way is None:
            return None
        vm.begins(action, way, done, undone)
        if ask.crash:
            self.dies()
        if not linger:
            self.goes_on(oid)
        return answer

    def dies(self) -> None:
        """The core, and another one starts its drivers."""
        self.sim.reboot()
        self.sim.advance(1)

    def goes_on(self, oid: int) -> None:
        """What is under way with a VM comes to its end."""
        vm = self.model[oid]
        under, vm.under = vm.under, None
        self.hold()
        if under is not None:
            self.sim.wait(oid, under.way.to)
            vm.under = under
            vm.ends()
        self.sim.until(lambda: not self.sim.vm(oid).op, what=f"the end of what is done with VM {oid}")

    def back(self, oid: int, state: str) -> None:
        """What was under way is given up, which leads to STATE."""
        under, self.model[oid].under = self.model[oid].under, None
        self.sim.advance(0.1)  # what was held hears that it is not wanted any more
        self.hold()
        self.sim.wait(oid, state)
        self.sim.until(lambda: not self.sim.vm(oid).op, what=f"the end of what is done with VM {oid}")
        self.model[oid].under = under
        self.model[oid].fails(state)

    # -- what must hold

    @invariant()
    def each_sees_what_is_his_to_see(self) -> None:
        """The pool of every user: the VMs that he may use, as the model has them."""
        for user in USERS:
            pool = self.read(user, "one.vmpool.infoextended", -2, -1, -1, -1)
            found = {number(vm, "ID"): vm for vm in pool}
            due = {oid: vm for oid, vm in self.model.items() if vm.state != "DONE" and vm.allows(user, USE)}
            assert sorted(found) == sorted(due), f"what {user} sees"
            for oid, vm in due.items():
                self._compare(oid, vm, found[oid])
                if user == ADMIN and vm.under is None:
                    is_so, must_be = shown(found[oid]), meant(vm)
                    wrong = {name: (is_so[name], must_be[name]) for name in is_so if is_so[name] != must_be[name]}
                    assert not wrong, f"VM {oid} shows, and should show: {wrong}"

    def _compare(self, oid: int, vm: Machine, body: etree._Element) -> None:
        bits = [[body.findtext(f"PERMISSIONS/{who}_{right}") == "1" for right in "UMA"]
                for who in ("OWNER", "GROUP", "OTHER")]
        assert (body.findtext("NAME"), number(body, "UID"), number(body, "GID")) == (
            vm.name, self.uid[vm.owner], self.gid[vm.group])
        assert bits == vm.bits and int(body.findtext("LOCK/LOCKED") or 0) == vm.lock[0]
        assert vm_name(number(body, "STATE"), number(body, "LCM_STATE")) == vm.state, f"VM {oid} is not {vm.state}"
        planned = {number(one, "ID"): (one.findtext("ACTION"), number(one, "TIME"))
                   for one in body.findall("TEMPLATE/SCHED_ACTION")}
        assert planned == vm.planned, f"what is planned of VM {oid}"

    @invariant()
    def a_strangers_call_tells_nothing(self) -> None:
        """one.vm.info answers whom the pool answers."""
        for oid, vm in self.model.items():
            error = 0 if vm.allows("cyd", USE) else FORBIDDEN
            if vm.state != "DONE":
                self.expect(error, "cyd", "one.vm.info", oid)

    @invariant()
    def sums_are_right(self) -> None:
        """Capacity, the quota's use, addresses, and every record against SQL; guests where VMs run, nowhere else."""
        assert_sums(self.sim)
        assert max(number(self.read("bob", "one.user.info", -1), "VM_QUOTA/VM/VMS_USED"), 0) == self.alive("bob")
        busy = {oid for oid, vm in self.model.items() if vm.under}
        left = busy | self.forgotten
        for host, name in zip(self.hosts, ("node1", "node2"), strict=True):
            run = {oid for oid, vm in self.model.items() if vm.state == "RUNNING" and vm.host == host} - left
            found = set(self.sim.guests(name)) - left
            assert found == run, f"guests on {name}: {found}, not {run}"
            if not busy:
                self._share(host)
        if not busy:
            there = sum(len(vm.nics) for vm in self.model.values() if vm.state != "DONE")
            assert number(self.read(ADMIN, "one.vn.info", self.network), "USED_LEASES") == there

    def _share(self, host: int) -> None:
        here = [vm for vm in self.model.values() if vm.host == host and vm.state != "DONE"]
        body = self.read(ADMIN, "one.host.info", host)
        assert [number(body, f"HOST_SHARE/{what}") for what in ("CPU_USAGE", "MEM_USAGE", "RUNNING_VMS")] == [
            round(sum(vm.size[0] for vm in here) * 100), sum(vm.size[1] for vm in here) * 1024, len(here)], host

    @invariant()
    def images_are_right(self) -> None:
        """Who uses those that disks are made of, and those that disks became."""
        names = {1: "READY", 2: "USED", 4: "LOCKED", 5: "ERROR"}
        uses = Counter(disk.made_of for vm in self.model.values() if vm.state != "DONE" and not vm.under
                       for disk in {d.made_of: d for d in vm.disks.values()}.values())
        if not any(vm.under for vm in self.model.values()):
            for form, oid in self.bases.items():
                body = self._image(oid)
                assert (number(body, "RUNNING_VMS"), names[number(body, "STATE")]) == (
                    uses[form], "USED" if uses[form] else "READY"), f"who uses image {oid}"
        for oid, image in self.images.items():
            body = self._image(oid)
            assert (body.findtext("UNAME"), number(body, "SIZE"), names.get(number(body, "STATE"))) == image, oid


def shown(body: etree._Element) -> dict[str, object]:
    """What a VM's body says of its equipment."""
    kept = {number(tree, "DISK_ID"): tree for tree in body.findall("SNAPSHOTS")}
    return {"disks": {number(disk, "DISK_ID"): (number(disk, "SIZE"), *_snapshots(kept.get(number(disk, "DISK_ID"))))
                      for disk in body.findall("TEMPLATE/DISK")},
            "nics": {number(nic, "NIC_ID") for nic in body.findall("TEMPLATE/NIC")},
            "moments": {number(one, "SNAPSHOT_ID") for one in body.findall("TEMPLATE/SNAPSHOT")},
            "size": (float(body.findtext("TEMPLATE/CPU") or 0), number(body, "TEMPLATE/MEMORY")),
            "context": number(body, "TEMPLATE/CONTEXT/A"), "resched": body.findtext("RESCHED") == "1",
            "host": number(body.findall("HISTORY_RECORDS/HISTORY")[-1], "HID") if vm_name(
                number(body, "STATE"), number(body, "LCM_STATE")) in ON_A_HOST else -1}


def _snapshots(tree: etree._Element | None) -> tuple[int, dict[int, tuple[int, int, list[int]]]]:
    """The base, and snapshots with parents, sizes and children."""
    if tree is None:
        return -1, {}
    active = {number(one, "ID") for one in tree.findall("SNAPSHOT") if one.findtext("ACTIVE") == "YES"}
    assert active == {number(tree, "CURRENT_BASE")} - {-1}
    return number(tree, "CURRENT_BASE"), {
        number(one, "ID"): (number(one, "PARENT"), number(one, "SIZE"),
                            [int(child) for child in (one.findtext("CHILDREN") or "").split(",") if child])
        for one in tree.findall("SNAPSHOT")}


def meant(vm: Machine) -> dict[str, object]:
    """What it must say."""
    return {"disks": {oid: disk.shown() for oid, disk in vm.disks.items()}, "nics": vm.nics, "moments": vm.moments,
            "size": vm.size, "context": vm.context, "resched": vm.resched,
            "host": vm.host if vm.state in ON_A_HOST else -1}
