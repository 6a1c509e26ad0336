"""Dummy guests: deploy makes a file, destroy removes it; nothing runs."""
from __future__ import annotations

from drivers.base import Action, Context, DriverError
from drivers.dummy import migrate, net, plug, snapshots
from drivers.dummy.guest import INCOMING, guest_of
from drivers.dummy.guest_disks import keep_checkpoint, write_disks
from drivers.dummy.running import check_newest, running
from drivers.dummy.seen import seen
from drivers.dummy.stage import act
from drivers.dummy.watch import unwatch, watch
from drivers.dummy.world import world
from onecore.wire.messages import Doc


def deploy(ctx: Context, args: Doc) -> Doc:
    """A running guest of the VM's generation; a newer one there refuses it."""
    return _start(ctx, args, "vm.deploy")


def restore(ctx: Context, args: Doc) -> Doc:
    """As deploy; no checkpoint any more."""
    answer = _start(ctx, args, "vm.restore")
    keep_checkpoint(ctx, args, False)
    return answer


def shutdown(ctx: Context, args: Doc) -> Doc:
    """The guest obeys and is off."""
    return _stop(ctx, args, "vm.shutdown")


def destroy(ctx: Context, args: Doc) -> Doc:
    """No guest; none there is fine."""
    return _stop(ctx, args, "vm.destroy")


def save(ctx: Context, args: Doc) -> Doc:
    """No guest, and a checkpoint, in which a dummy keeps nothing."""
    there = world(ctx).get(args["host"]["name"], args["vm"]["id"])
    if there and there.generation == args["vm"]["generation"]:
        keep_checkpoint(ctx, args, True)
    return _stop(ctx, args, "vm.save")


def cleanup(ctx: Context, args: Doc) -> Doc:
    """No guest and no nets."""
    return _stop(ctx, args, "vm.cleanup")


def reboot(ctx: Context, args: Doc) -> Doc:
    """The guest is asked; Permanent when it does not run."""
    return _ask(ctx, args, "vm.reboot")


def reset(ctx: Context, args: Doc) -> Doc:
    """As reboot."""
    return _ask(ctx, args, "vm.reset")


def state(ctx: Context, args: Doc) -> Doc:
    """What its file says."""
    act(ctx, "vm.state", args["host"], args["vm"])
    guest = world(ctx).get(args["host"]["name"], args["vm"]["id"])
    told = {"state": "gone", "generation": 0} if guest is None else {
        "state": "suspended" if guest.state == INCOMING else guest.state, "generation": guest.generation}
    return told | ({"has": seen(ctx, args, guest)} if args.get("look") else {})


def untap(ctx: Context, args: Doc) -> Doc:
    """No such taps; none there is fine."""
    act(ctx, "vm.untap", args["host"])
    for name in args["taps"]:
        world(ctx).remove(args["host"]["name"], "taps", str(name))
    return {}


def _start(ctx: Context, args: Doc, action: str) -> Doc:
    host, vm = args["host"], args["vm"]
    there = check_newest(ctx, host, vm)
    if not (there and there.generation == vm["generation"] and there.state == "running"):
        net.plug(ctx, args)
        try:
            act(ctx, action, host, vm)
        except DriverError:
            check_newest(ctx, host, vm)  # the networks are those of a newer guest
            net.unplug(ctx, args)
            raise
        write_disks(ctx, args)
        world(ctx).put(host["name"], vm["id"], guest_of(vm))
    return {"deploy_id": f"one-{vm['id']}"}


def _stop(ctx: Context, args: Doc, action: str) -> Doc:
    host, vm = args["host"], args["vm"]
    act(ctx, action, host, vm)
    check_newest(ctx, host, vm)
    world(ctx).drop(host["name"], vm["id"])
    net.unplug(ctx, args)
    return {}


def _ask(ctx: Context, args: Doc, action: str) -> Doc:
    act(ctx, action, args["host"], args["vm"])
    running(ctx, args)
    return {}


ACTIONS: dict[str, Action] = {
    "deploy": deploy, "shutdown": shutdown, "destroy": destroy, "reboot": reboot, "reset": reset, "save": save,
    "restore": restore, "state": state, "cleanup": cleanup, "watch": watch, "unwatch": unwatch,
    "untap": untap, "premigrate": migrate.premigrate, "migrate": migrate.migrate, "attach_disk": plug.attach_disk,
    "detach_disk": plug.detach_disk, "attach_nic": plug.attach_nic, "detach_nic": plug.detach_nic,
    "update_nic": plug.update_nic, "resize": plug.resize, "resize_disk": plug.resize_disk,
    "updateconf": plug.updateconf, "exec": plug.execute, "snapshot_create": snapshots.create,
    "snapshot_revert": snapshots.revert, "snapshot_delete": snapshots.delete,
    "disk_snapshot_create": snapshots.disk_create, "disk_snapshot_delete": snapshots.disk_delete,
    "copy_disk": snapshots.copy_disk, "drop_copy": snapshots.drop_copy,
}
