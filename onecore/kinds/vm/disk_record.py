"""The DISKs in a VM's record: one found, one changed, and what follows from them for the VM itself."""
from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from onecore.errors import WrongState
from onecore.kinds.vm import edit
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.record import Vm, text
from onecore.pool.store import Tx
from onecore.wire.template import Tree, Vector

MARKS = (*edit.MARKS, "HOTPLUG_SAVE_AS", "HOTPLUG_SAVE_AS_SNAPSHOT_ID")
"""What a DISK has while something is done with it."""
OURS = ("DISK_ID", "DISK_SNAPSHOT_TOTAL_SIZE", *MARKS)
"""What the core alone writes into a DISK."""


def about(vm: Vm) -> dict[str, Any]:
    """What the VM's operation is about."""
    found: dict[str, Any] = json.loads(vm.op_args or "{}")
    return found


def keep(tx: Tx, vm: Vm, tree: Tree) -> Vm:
    """TREE is the VM's TEMPLATE from now on, and its images and MB of disk are those of its disks."""
    edit.keep(tx, vm, tree)
    images = [int(disk["IMAGE_ID"]) for disk in tree.vectors("DISK") if disk.get("IMAGE_ID")]
    return tx.put(replace(vm, images=text(images), disk_mb=total_mb(tree)))


def change(tx: Tx, vm: Vm, disk_id: int, **values: str | None) -> Vm:
    """One disk gets VALUES, None takes one away; nothing happens when there is no such disk."""
    tree = template_of(tx, vm)
    disk = find(tree, disk_id)
    if disk is None:
        return vm
    for name, value in values.items():
        if value is None:
            disk.pop(name, None)
        else:
            disk[name] = value
    return keep(tx, vm, tree)


def find(tree: Tree, disk_id: int) -> Vector | None:
    """The DISK of that id."""
    return next((disk for disk in tree.vectors("DISK") if disk.get("DISK_ID") == str(disk_id)), None)


def existing(tree: Tree, vm: Vm, disk_id: int) -> Vector:
    """As `find`; raises WrongState, as OpenNebula does for a disk that a VM has not."""
    found = find(tree, disk_id)
    if found is None:
        there = ", ".join(disk["DISK_ID"] for disk in tree.vectors("DISK"))
        raise WrongState(f"VM {vm.oid} has no disk {disk_id}; its disks are {there or 'none'}", vm.oid)
    return found


def check_no_moments(tree: Tree, vm: Vm) -> None:
    """Raise WrongState when the VM has system snapshots: they are of the disks that it has, as these are."""
    there = ", ".join(snapshot["SNAPSHOT_ID"] for snapshot in tree.vectors("SNAPSHOT"))
    if there:
        raise WrongState(f"VM {vm.oid} has system snapshots ({there}), which are of its disks as they are; delete them "
                         "first", vm.oid)


def total_mb(tree: Tree) -> int:
    """MB that disks take in the system datastore: persistent ones lie with their images, but for snapshots."""
    return sum((0 if is_saved(disk) else _number(disk, "SIZE")) + _number(disk, "DISK_SNAPSHOT_TOTAL_SIZE")
               for disk in tree.vectors("DISK"))


def is_saved(disk: Vector) -> bool:
    """Whether what is written on the disk belongs to its image."""
    return disk.get("SAVE", "").upper() == "YES"


def next_id(vm: Vm, tree: Tree) -> int:
    """An id that no disk of the VM had before: what was left of an older one is not taken for the new one's file."""
    taken = [_number(disk, "DISK_ID") for disk in (*tree.vectors("DISK"), tree.vector("CONTEXT") or {})
             if disk.get("DISK_ID")]
    return max(vm.next_disk, *(number + 1 for number in taken), 0)


def _number(disk: Vector, name: str) -> int:
    return int(disk.get(name) or 0)
