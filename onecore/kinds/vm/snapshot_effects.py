"""What snapshots of disks do to the records.  Effects of the state table, as kinds/vm/effects.py."""
from __future__ import annotations

from dataclasses import replace

from onecore.kinds.vm import snapshots
from onecore.kinds.vm.disk_record import about, keep
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.effects import Info
from onecore.kinds.vm.record import Vm, VmText
from onecore.kinds.vm.snapshots import Tree, Trees
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx


def trees_of(tx: Tx, vm: Vm) -> Trees:
    """The snapshots of the VM's disks."""
    text = tx.get(VmText, vm.oid)
    return snapshots.parse(text.snapshots) if text is not None else {}


def write(tx: Tx, vm: Vm, trees: Trees) -> None:
    """TREES are the VM's snapshots from now on, and take what those before took."""
    text = tx.get(VmText, vm.oid)
    assert text is not None, f"VM {vm.oid} has no text"
    tx.put(replace(text, snapshots=snapshots.dump(trees)))


def put(tx: Tx, vm: Vm, trees: Trees) -> Vm:
    """TREES are the VM's snapshots from now on; its disks say what they take, and so does the VM."""
    write(tx, vm, trees)
    tree = template_of(tx, vm)
    for disk in tree.vectors("DISK"):
        found = trees.get(int(disk["DISK_ID"]))
        if found is not None and found.snaps:
            disk["DISK_SNAPSHOT_TOTAL_SIZE"] = str(found.total_mb)
        else:
            disk.pop("DISK_SNAPSHOT_TOTAL_SIZE", None)
    return keep(tx, vm, tree)


def begins(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """One is to be made: its id is given, its room taken."""
    told, trees = about(vm), trees_of(tx, vm)
    before = trees.get(told["disk_id"], Tree(info["orphans"]))
    vm = put(tx, vm, {**trees, told["disk_id"]: replace(before, next=told["snap_id"] + 1)})
    return replace(vm, disk_mb=vm.disk_mb + told["size_mb"])


def done(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It is made, deleted, or what the disk stands on, as the operation's kind says."""
    return put(tx, vm, snapshots.applied(trees_of(tx, vm), vm.op_kind, about(vm)))


def undo(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It was perhaps made, and is to be deleted again: the operation's kind says so from now on."""
    return replace(vm, op_kind=f"{vm.op_kind}_undo")


def doubted(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Nobody can tell whether it was made: it counts as made, since a disk that is more than it is said to be would be
    read for what it is not; and it may be deleted."""
    kind = vm.op_kind.removesuffix("_undo")
    return put(tx, vm, snapshots.applied(trees_of(tx, vm), kind, about(vm), sure=False))


def unsure(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """One that could not be deleted may be gone all the same: its host tells (doubts.py).  Nothing else changed."""
    told, trees = about(vm), trees_of(tx, vm)
    tree = trees.get(told["disk_id"])
    if vm.op_kind != "disk_snapshot_delete" or tree is None:
        return undone(tx, core, vm, info)
    snaps = tuple(replace(one, sure=False) if one.id == told["snap_id"] else one for one in tree.snaps)
    return put(tx, vm, {**trees, told["disk_id"]: replace(tree, snaps=snaps)})


def undone(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Nothing changed; room that was taken for it is free."""
    return keep(tx, vm, template_of(tx, vm))


def forget(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The VM begins anew: its disks have none."""
    trees = trees_of(tx, vm)
    return put(tx, vm, snapshots.empty(trees)) if trees else vm
