"""What a dummy guest and its disks have, for `state` with `look`."""
from __future__ import annotations

from drivers.base import Context
from drivers.dummy.folder import Disk
from drivers.dummy.guest import Guest
from drivers.dummy.guest_disks import has_checkpoint
from drivers.dummy.snapshots import has_snapshot
from onecore.wire.messages import Doc


def seen(ctx: Context, args: Doc, guest: Guest | None) -> Doc:
    """Of the guest, if it runs, and of its system snapshots: what `look` names."""
    look: Doc = args["look"]
    told: Doc = {}
    if "snapshot" in look:
        told["snapshot"] = has_snapshot(ctx, args["vm"]["id"], look["snapshot"])
    if "checkpoint" in look:
        told["checkpoint"] = guest is None and has_checkpoint(ctx, args)
    has = guest.equipment() if guest is not None and guest.state == "running" else {}
    if has and "disk_id" in look:
        told["disk_mb"] = has["disks"].get(str(look["disk_id"]), -1)
    if has and "nic" in look:
        told["nic"] = str(look["nic"]["NIC_ID"]) in has["nics"]
    if has and guest is not None and "size" in look:
        told |= {"vcpu": has["vcpu"], "memory_mb": guest.memory_kb // 1024}
    return told


def seen_of_disk(look: Doc, disk: Disk) -> Doc:
    """Of a disk's file and its snapshots: what `look` names."""
    told: Doc = {"disk_mb": disk.mb}
    if "snap_id" in look:
        told["snapshot"] = str(look["snap_id"]) in disk.snapshots
    if "base" in look:
        told["base"] = disk.snapshots.get(str(look["base"])) == disk.content
    return told
