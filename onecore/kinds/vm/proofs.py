"""What shows that a change of a VM was made: what a driver's `state` is asked to look at, and what that has to be.

Pure, as facts.py.  `look` is the argument of that name in docs/drivers.md, `has` what the driver answers.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onecore.kinds.vm.disk_record import about
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.resize_effects import wanted
from onecore.kinds.vm.states import TRANSIENT, S
from onecore.wire.messages import Doc
from onecore.wire.template import Vector

BALLOON_MB = 1
"""How far a guest's memory may be from what its balloon was asked for."""


@dataclass(frozen=True, slots=True)
class Proof:
    """FAMILY's driver looks at LOOK, and MISSING says in words what it lacks; empty: nothing."""

    family: str
    look: Doc
    missing: Callable[[Doc], str]


def proof(state: S, vm: Vm, nic: Vector) -> Proof | None:
    """What shows that the operation under way is done; None: nothing but what facts.py claims.

    NIC is the one that the operation is about, {} when it is about none, or about an alias, which no guest has.
    """
    if state not in TRANSIENT:
        return None
    kind, told = vm.op_kind, about(vm)
    if kind in ("disk_attach", "disk_detach", "disk_attach_undo") and state is S.HOTPLUG:
        return _plugged(told["disk_id"], kind == "disk_attach")
    if kind in ("nic_attach", "nic_detach", "nic_attach_undo") and nic:
        return _nic(nic, kind == "nic_attach")
    if kind in ("resize", "resize_undo"):
        return _size(vm)
    if kind == "disk_resize":
        return _disk_size(told, "vm" if state is S.DISK_RESIZE else "tm")
    if kind.startswith("disk_snapshot_"):
        return _disk_snapshot(told, kind)
    if kind in ("snapshot_create", "snapshot_delete", "snapshot_create_undo"):
        return _system_snapshot(told["snapshot"], kind == "snapshot_create")
    return None


def _plugged(disk_id: int, there: bool) -> Proof:
    def missing(has: Doc) -> str:
        if (has.get("disk_mb", 0) >= 0) == there:
            return ""
        return f"its guest {'does not have' if there else 'still has'} disk {disk_id}"
    return Proof("vm", {"disk_id": disk_id}, missing)


def _nic(nic: Vector, there: bool) -> Proof:
    def missing(has: Doc) -> str:
        if has.get("nic", there) == there:
            return ""
        return f"its guest {'does not have' if there else 'still has'} NIC {nic['NIC_ID']}"
    return Proof("vm", {"nic": dict(nic)}, missing)


def _size(vm: Vm) -> Proof:
    size = wanted(vm)

    def missing(has: Doc) -> str:
        if size is None or (has.get("vcpu", size.vcpu) == size.vcpu
                            and abs(has.get("memory_mb", size.memory) - size.memory) <= BALLOON_MB):
            return ""
        return (f"its guest has {has.get('vcpu')} CPUs and {has.get('memory_mb')} MB, not {size.vcpu} and "
                f"{size.memory} MB")
    return Proof("vm", {"size": True}, missing)


def _disk_size(told: Doc, family: str) -> Proof:
    def missing(has: Doc) -> str:
        if has.get("disk_mb", told["size_mb"]) >= told["size_mb"]:
            return ""
        return f"disk {told['disk_id']} has {max(has['disk_mb'], 0)} MB, not {told['size_mb']}"
    return Proof(family, {"disk_id": told["disk_id"]}, missing)


def _disk_snapshot(told: Doc, kind: str) -> Proof:
    disk, number = told["disk_id"], told["snap_id"]
    if kind == "disk_snapshot_revert":
        return Proof("tm", {"disk_id": disk, "base": number},
                     lambda has: "" if has.get("base", True) else f"disk {disk} does not stand on snapshot {number}")
    there = kind == "disk_snapshot_create"
    return Proof("tm", {"disk_id": disk, "snap_id": number},
                 lambda has: "" if has.get("snapshot", there) == there else
                 f"disk {disk} {'does not have' if there else 'still has'} snapshot {number}")


def _system_snapshot(snapshot: Doc, there: bool) -> Proof:
    return Proof("vm", {"snapshot": snapshot},
                 lambda has: "" if has.get("snapshot", there) == there else
                 f"snapshot {snapshot['id']} is {'not' if there else 'still'} there")
