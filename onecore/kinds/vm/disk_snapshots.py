"""one.vm.disksnapshot*: snapshots of single disks, made, gone back to, deleted, renamed."""
from __future__ import annotations

from onecore.api import Request, method
from onecore.errors import BadArgument, WrongState
from onecore.kinds.datastore import TM_CONF, Datastore
from onecore.kinds.host.room import check_growth
from onecore.kinds.kind import tree_of
from onecore.kinds.vm import snapshots
from onecore.kinds.vm.disk_record import check_no_moments, existing
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.fire import check, fire
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.snapshot_effects import trees_of, write
from onecore.kinds.vm.snapshots import Tree
from onecore.lifecycle.core import Core
from onecore.wire.template import Vector

MAX_SNAPSHOTS, MAX_NAME = 1000, 128


@method("one.vm.disksnapshotcreate", right="MANAGE", on="vm")
def create(req: Request, vm: Vm, disk_id: int, name: str) -> int:
    """Keep what is on a disk now; the snapshot's id."""
    check(vm, "disk_snapshot_create")
    template = template_of(req.tx, vm)
    disk = existing(template, vm, disk_id)
    _check_kind(vm, disk)
    check_no_moments(template, vm)
    tree = trees_of(req.tx, vm).get(disk_id, Tree(_orphans(req.core, vm, disk)))
    if len(tree.snaps) >= MAX_SNAPSHOTS:
        raise WrongState(f"disk {disk_id} of VM {vm.oid} has {MAX_SNAPSHOTS} snapshots, more cannot be made", vm.oid)
    size = int(disk["SIZE"])
    if tree.orphans:  # a copy, which takes its room at once
        check_growth(req.core, vm, size)
    args = {"disk_id": disk_id, "snap_id": tree.next, "name": _name(name), "size_mb": size,
            "date": int(req.core.now())}
    fire(req.tx, req.core, vm, "disk_snapshot_create", args=args, orphans=tree.orphans)
    return tree.next


def _check_kind(vm: Vm, disk: Vector) -> None:
    """Raise WrongState for a disk of which, as in OpenNebula, no snapshots are made."""
    what = "volatile" if not disk.get("IMAGE_ID") else "read-only" if disk.get("READONLY", "").upper() == "YES" else ""
    if what:
        raise WrongState(f"disk {disk['DISK_ID']} of VM {vm.oid} is {what}; snapshots are made of images' disks that "
                         "can be written", vm.oid)


def _name(name: str) -> str:
    if len(name) > MAX_NAME or any(c in name for c in "\n\r\t"):
        raise BadArgument(f"name must be one line of at most {MAX_NAME} characters, not {name[:40]!r}")
    return name


def _orphans(core: Core, vm: Vm, disk: Vector) -> bool:
    """Whether snapshots of the disk are copies of their own, where the VM's disks lie: ALLOW_ORPHANS."""
    datastore = core.store.get(Datastore, vm.ds_id)
    if datastore is None:
        return False
    said = tree_of(datastore.template).get("ALLOW_ORPHANS") or TM_CONF.get(datastore.tm_mad, {}).get("ALLOW_ORPHANS")
    said = str(said).upper()
    return said == "YES" or (said == "FORMAT" and disk.get("FORMAT", "").lower() == "raw")


def _find(req: Request, vm: Vm, disk_id: int, snap_id: int) -> Tree:
    """The disk's snapshots, of which SNAP_ID is one; raises WrongState."""
    existing(template_of(req.tx, vm), vm, disk_id)
    tree = trees_of(req.tx, vm).get(disk_id, Tree(False))
    if tree.find(snap_id) is None:
        there = ", ".join(str(one.id) for one in tree.snaps) or "none"
        raise WrongState(f"disk {disk_id} of VM {vm.oid} has no snapshot {snap_id}; its snapshots are {there}", vm.oid)
    return tree


@method("one.vm.disksnapshotdelete", right="MANAGE", on="vm")
def delete(req: Request, vm: Vm, disk_id: int, snap_id: int) -> int:
    """Remove a snapshot that neither the disk nor another one stands on."""
    check(vm, "disk_snapshot_delete")
    why = snapshots.why_not_delete(_find(req, vm, disk_id, snap_id), snap_id)
    if why:
        raise WrongState(f"{why}, it cannot be deleted", vm.oid)
    check_no_moments(template_of(req.tx, vm), vm)
    fire(req.tx, req.core, vm, "disk_snapshot_delete", args={"disk_id": disk_id, "snap_id": snap_id})
    return snap_id


@method("one.vm.disksnapshotrevert", right="MANAGE", on="vm")
def revert(req: Request, vm: Vm, disk_id: int, snap_id: int) -> int:
    """Go back to a snapshot; what was written since is gone unless another one keeps it."""
    check(vm, "disk_snapshot_revert")
    _find(req, vm, disk_id, snap_id)
    check_no_moments(template_of(req.tx, vm), vm)
    fire(req.tx, req.core, vm, "disk_snapshot_revert", args={"disk_id": disk_id, "snap_id": snap_id})
    return snap_id


@method("one.vm.disksnapshotrename", right="MANAGE", on="vm")
def rename(req: Request, vm: Vm, disk_id: int, snap_id: int, name: str) -> int:
    """Give a snapshot another name."""
    tree = snapshots.rename(_find(req, vm, disk_id, snap_id), snap_id, _name(name))
    write(req.tx, vm, {**trees_of(req.tx, vm), disk_id: tree})
    req.tx.log("vm", vm.oid, "update", keys=["SNAPSHOTS"])
    return snap_id
