"""What the objects of each user and group take: derived from the records as they change, never counted.

A VM's charges follow from its row, its leases and its attributes, an image's from its row, a reservation's from its
ranges.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from onecore.kinds.image.record import Image
from onecore.kinds.kind import tree_of
from onecore.kinds.quota.limits import WHOLE_CLOUD, amount
from onecore.kinds.quota.sums import Key, Sums
from onecore.kinds.vm.public import AWAY, BUSY_AWAY, OFF, S
from onecore.kinds.vm.record import Vm, VmText, ids
from onecore.kinds.vnet.record import Lease, Range, Vnet
from onecore.pool.store import Store
from onecore.wire.states import VmState

IDLE = OFF | AWAY | BUSY_AWAY | {
    S.HOLD, S.DONE, S.EPILOG, S.EPILOG_FAILURE, S.EPILOG_STOP, S.EPILOG_STOP_FAILURE, S.EPILOG_UNDEPLOY,
    S.EPILOG_UNDEPLOY_FAILURE, S.CLEANUP_DELETE, S.HOTPLUG_PROLOG_POWEROFF, S.HOTPLUG_EPILOG_POWEROFF,
    S.HOTPLUG_SAVEAS_POWEROFF, S.HOTPLUG_SAVEAS_SUSPENDED, S.PROLOG_MIGRATE_POWEROFF,
    S.PROLOG_MIGRATE_POWEROFF_FAILURE, S.PROLOG_MIGRATE_SUSPEND, S.PROLOG_MIGRATE_SUSPEND_FAILURE,
    S.DISK_SNAPSHOT_POWEROFF, S.DISK_SNAPSHOT_REVERT_POWEROFF, S.DISK_SNAPSHOT_DELETE_POWEROFF,
    S.DISK_SNAPSHOT_SUSPENDED, S.DISK_SNAPSHOT_DELETE_SUSPENDED, S.DISK_RESIZE_POWEROFF}
"""States in which a VM is not one of the RUNNING ones: it neither runs nor is about to."""

_IDLE, _PASSING, _FROM = ({state.value for state in states} for states in (
    IDLE, {S.SHUTDOWN, S.SAVE_STOP, S.HOTPLUG_SNAPSHOT}, OFF | {S.SHUTDOWN}))


def runs(vm: Vm) -> bool:
    """Whether a VM is one of the RUNNING ones; one that was off and passes through a state of guests that run is not.

    No call that ends a VM, or is about one that stays off, makes it one: it could be refused.
    """
    pair = vm.state, vm.lcm
    return pair not in _IDLE and not (pair in _PASSING and (vm.prev_state, vm.prev_lcm) in _FROM)


def charges_of(vm: Vm, leases: dict[int, int], attributes: dict[str, int]) -> dict[Key, int]:
    """What a VM takes: LEASES by network, ATTRIBUTES that are limited."""
    if vm.state == VmState.DONE:
        return {}
    each = {"VMS": 1, "CPU": vm.cpu, "MEMORY": vm.memory, **attributes}
    if runs(vm):
        each |= {f"RUNNING_{metric}": value for metric, value in each.items()}
    each["SYSTEM_DISK_SIZE"] = vm.disk_mb
    cluster = vm.to_cid if vm.to_cid >= 0 else vm.cid
    found = {("VM", place, metric): value for metric, value in each.items()
             for place in (WHOLE_CLOUD, *((cluster,) if cluster >= 0 else ()))}
    found |= {("IMAGE", image, "RVMS"): 1 for image in ids(vm.images)}
    return found | {("NETWORK", net, "LEASES"): number for net, number in leases.items()}


def charges_of_image(image: Image) -> dict[Key, int]:
    """What an image takes in its datastore."""
    return {("DATASTORE", image.ds_id, "IMAGES"): 1, ("DATASTORE", image.ds_id, "SIZE"): image.size}


def attributes_of(text: VmText, names: Iterable[str]) -> dict[str, int]:
    """The amounts of attributes NAMES in a VM's templates; what is no number is none."""
    user, own = tree_of(text.user), tree_of(text.template)
    given = {name: amount(name, user.get(name) or own.get(name)) or 0 for name in names}
    return {name: value for name, value in given.items() if value > 0}


@dataclass
class Follower:
    """An index that tells of each change."""

    change: Callable[[Any, Any], None]


class Usage:
    """Has SUMS follow the records."""

    def __init__(self, sums: Sums) -> None:
        self._sums = sums
        self._vms: dict[int, Vm] = {}
        self._leases: dict[int, dict[int, int]] = {}
        self._attributes: dict[int, dict[str, int]] = {}
        self._nets: dict[int, Vnet] = {}
        self._reserved: dict[int, dict[int, int]] = {}

    def follow(self, store: Store) -> None:
        """Take in what STORE has, and what becomes of it."""
        store.index(Vm, Follower(self._vm))
        store.index(Lease, Follower(self._lease))
        store.index(Image, Follower(self._image))
        store.index(Vnet, Follower(self._net))
        store.index(Range, Follower(self._range))
        if self._sums.generic:
            store.index(VmText, Follower(self._text))

    def _vm(self, old: Vm | None, new: Vm | None) -> None:
        if old is not None and new is not None and _shape(old) == _shape(new):
            self._vms[new.oid] = new
            return
        oid = (new or old).oid  # type: ignore[union-attr]
        self._charge_vm(oid, -1)
        if new is None:
            self._vms.pop(oid, None)
        else:
            self._vms[oid] = new
        self._charge_vm(oid, 1)

    def _lease(self, old: Lease | None, new: Lease | None) -> None:
        for lease, sign in ((old, -1), (new, 1)):
            if lease is not None and lease.vm >= 0:
                self._charge_vm(lease.vm, -1)
                _count(self._leases, lease.vm, lease.vnet, sign)
                self._charge_vm(lease.vm, 1)

    def _text(self, old: VmText | None, new: VmText | None) -> None:
        oid = (new or old).oid  # type: ignore[union-attr]
        found = attributes_of(new, self._sums.generic) if new is not None else {}
        if found != self._attributes.get(oid, {}):
            self._charge_vm(oid, -1)
            self._attributes.pop(oid, None)
            if found:
                self._attributes[oid] = found
            self._charge_vm(oid, 1)

    def _net(self, old: Vnet | None, new: Vnet | None) -> None:
        oid = (new or old).oid  # type: ignore[union-attr]
        self._charge_net(oid, -1)
        if new is None:
            self._nets.pop(oid, None)
        else:
            self._nets[oid] = new
        self._charge_net(oid, 1)

    def _range(self, old: Range | None, new: Range | None) -> None:
        for found, sign in ((old, -1), (new, 1)):
            if found is not None and found.parent >= 0:
                self._charge_net(found.vnet, -1)
                _count(self._reserved, found.vnet, found.parent, sign * found.size)
                self._charge_net(found.vnet, 1)

    def _charge_net(self, oid: int, sign: int) -> None:
        """What a reservation has of its parent."""
        net = self._nets.get(oid)
        if net is not None:
            charges = {("NETWORK", of, "LEASES"): size for of, size in self._reserved.get(oid, {}).items()}
            self._sums.book(net.uid, net.gid, charges, sign)

    def _image(self, old: Image | None, new: Image | None) -> None:
        for image, sign in ((old, -1), (new, 1)):
            if image is not None:
                self._sums.book(image.uid, image.gid, charges_of_image(image), sign)

    def _charge_vm(self, oid: int, sign: int) -> None:
        vm = self._vms.get(oid)
        if vm is not None:
            charges = charges_of(vm, self._leases.get(oid, {}), self._attributes.get(oid, {}))
            self._sums.book(vm.uid, vm.gid, charges, sign)


def _count(counts: dict[int, dict[int, int]], whose: int, what: int, number: int) -> None:
    """NUMBER more of WHAT; zeroes are left out."""
    of = counts.setdefault(whose, {})
    of[what] = of.get(what, 0) + number
    if not of[what]:
        del of[what]
    if not of:
        del counts[whose]


def _shape(vm: Vm) -> tuple[Any, ...]:
    """All that a VM's charges follow from."""
    return (vm.uid, vm.gid, runs(vm), vm.state == VmState.DONE, vm.cpu, vm.memory, vm.disk_mb, vm.cid, vm.to_cid,
            vm.images)
