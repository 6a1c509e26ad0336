"""one.vm.snapshotcreate, snapshotrevert, snapshotdelete: a running guest's memory and disks, kept and gone back to."""
from __future__ import annotations

from onecore.api import Request, method
from onecore.errors import BadArgument
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.fire import check, fire
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.system_snapshot_effects import find

MAX_SNAPSHOTS = 64


@method("one.vm.snapshotcreate", right="MANAGE", on="vm")
def snapshotcreate(req: Request, vm: Vm, name: str = "") -> int:
    """Keep the guest as it is now, under NAME; the snapshot's id."""
    check(vm, "snapshot_create")
    there = template_of(req.tx, vm).vectors("SNAPSHOT")
    number = 1 + max((int(snapshot["SNAPSHOT_ID"]) for snapshot in there), default=-1)
    name = name.strip() or f"snapshot-{number}"
    if len(name) > 128 or any(c in name for c in "\n\r\t"):
        raise BadArgument(f"name must be one line of at most 128 characters, not {name[:40]!r}", vm.oid)
    if len(there) >= MAX_SNAPSHOTS:
        raise BadArgument(f"VM {vm.oid} has {len(there)} system snapshots, no more than {MAX_SNAPSHOTS} can be kept",
                          vm.oid)
    fire(req.tx, req.core, vm, "snapshot_create", args={"snapshot": {"id": number, "name": name, "hypervisor_id": ""}})
    return number


@method("one.vm.snapshotrevert", right="MANAGE", on="vm")
def snapshotrevert(req: Request, vm: Vm, snap_id: int) -> int:
    """Make the guest what it was."""
    return _with(req, vm, "snapshot_revert", snap_id)


@method("one.vm.snapshotdelete", right="MANAGE", on="vm")
def snapshotdelete(req: Request, vm: Vm, snap_id: int) -> int:
    """Give a snapshot up."""
    return _with(req, vm, "snapshot_delete", snap_id)


def _with(req: Request, vm: Vm, event: str, number: int) -> int:
    check(vm, event)
    tree = template_of(req.tx, vm)
    found = find(tree, number)
    if found is None:
        there = ", ".join(each["SNAPSHOT_ID"] for each in tree.vectors("SNAPSHOT"))
        raise BadArgument(f"snap_id: VM {vm.oid} has no snapshot {number}, it has {there or 'none'}", vm.oid)
    snapshot = {"id": number, "name": found["NAME"], "hypervisor_id": found["HYPERVISOR_ID"]}
    fire(req.tx, req.core, vm, event, args={"snapshot": snapshot})
    return vm.oid
