"""Snapshots of dummy guests and of their disks: names and numbers beside them, which outlive the guest."""
from __future__ import annotations

from drivers.base import Context, Permanent
from drivers.dummy.guest_disks import drop_snapshot, keep_copy, keep_snapshot, lose_copy
from drivers.dummy.moments import moments
from drivers.dummy.running import change, check_newest, running
from drivers.dummy.stage import act
from onecore.wire.messages import Doc


def create(ctx: Context, args: Doc) -> Doc:
    """A system snapshot of the running guest."""
    vm, snapshot = args["vm"]["id"], args["snapshot"]
    act(ctx, "vm.snapshot_create", args["host"], args["vm"])
    running(ctx, args)
    name = _name(snapshot)
    kept = moments(ctx).get(vm)
    moments(ctx).put(vm, {**kept, "snapshots": {**kept.get("snapshots", {}), name: snapshot.get("name", "")}})
    return {"hypervisor_id": name}


def revert(ctx: Context, args: Doc) -> Doc:
    """The guest notes which snapshot it is; Permanent when there is none such."""
    name = _name(args["snapshot"])
    act(ctx, "vm.snapshot_revert", args["host"], args["vm"])
    guest = running(ctx, args)
    if name not in moments(ctx).get(args["vm"]["id"]).get("snapshots", {}):
        raise Permanent(f"VM {args['vm']['id']} has no snapshot {name}")
    change(ctx, args, guest.with_equipment({**guest.equipment(), "reverted": name}))
    return {}


def delete(ctx: Context, args: Doc) -> Doc:
    """The snapshot is gone, whether the guest runs or not."""
    vm, name = args["vm"]["id"], _name(args["snapshot"])
    act(ctx, "vm.snapshot_delete", args["host"], args["vm"])
    check_newest(ctx, args["host"], args["vm"])
    kept = moments(ctx).get(vm)
    if kept.get("snapshots", {}).pop(name, None) is not None:
        moments(ctx).put(vm, kept)
    return {}


def has_snapshot(ctx: Context, vm: int, snapshot: Doc) -> bool:
    """Whether a VM has that system snapshot."""
    return _name(snapshot) in moments(ctx).get(vm).get("snapshots", {})


def _name(snapshot: Doc) -> str:
    """What it is called here; a core that was not told (its making failed, or is to begin) knows the number alone."""
    return str(snapshot.get("hypervisor_id") or f"snap-{snapshot['id']}")


def disk_create(ctx: Context, args: Doc) -> Doc:
    """A snapshot of a disk of the running guest."""
    _disk(ctx, args, "vm.disk_snapshot_create")
    keep_snapshot(ctx, args)
    return {}


def disk_delete(ctx: Context, args: Doc) -> Doc:
    """It is gone, whether the guest runs or not."""
    act(ctx, "vm.disk_snapshot_delete", args["host"], args["vm"])
    check_newest(ctx, args["host"], args["vm"])
    drop_snapshot(ctx, args)
    return {}


def copy_disk(ctx: Context, args: Doc) -> Doc:
    """A copy of the disk waits for `tm saveas`."""
    _disk(ctx, args, "vm.copy_disk")
    keep_copy(ctx, args)
    return {}


def drop_copy(ctx: Context, args: Doc) -> Doc:
    """There is none."""
    act(ctx, "vm.drop_copy", args["host"], args["vm"])
    lose_copy(ctx, args)
    return {}


def _disk(ctx: Context, args: Doc, action: str) -> None:
    act(ctx, action, args["host"], args["vm"])
    has = running(ctx, args).equipment()
    if "disks" in has and str(args["disk_id"]) not in has["disks"]:
        raise Permanent(f"VM {args['vm']['id']} has no disk {args['disk_id']}")
