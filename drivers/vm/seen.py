"""What a VM's guest and its system snapshots have, for `state` with `look`: an operator says that a change is done."""
from __future__ import annotations

from drivers.base import Context
from drivers.vm import checkpoint
from drivers.vm.guest import Guest
from drivers.vm.inside import read, sizes_of
from drivers.vm.resize import balloon
from drivers.vm.snapshots import is_whole
from onecore.wire.messages import Doc

_MIB = 1 << 20


def seen(ctx: Context, args: Doc, guest: Guest | None) -> Doc:
    """Of the guest, if it runs, and of the VM's snapshots: what `look` names."""
    look: Doc = args["look"]
    told: Doc = {}
    if "snapshot" in look:
        told["snapshot"] = is_whole(ctx, {**args, "snapshot": look["snapshot"]}, guest)
    if "checkpoint" in look:
        told["checkpoint"] = not (guest and guest.is_on) and checkpoint.is_there(ctx, ctx.host(args["host"]), args)
    if guest is None or not guest.is_on:
        return told
    live = read(ctx, args, guest)
    if "disk_id" in look:
        disk = live.disk(look["disk_id"])
        size = sizes_of(ctx, args, guest, [disk.target])[disk.target] if disk else -_MIB
        told["disk_mb"] = size // _MIB
    if "nic" in look:
        told["nic"] = live.interface(look["nic"]) is not None
    if "size" in look:
        kib = live.memory_kib[1] if live.slots_kib else balloon(ctx, args, guest)
        told |= {"vcpu": live.processors[0], "memory_mb": kib // 1024}
    return told
