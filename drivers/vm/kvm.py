"""vm/kvm: guests on libvirt's QEMU driver, as transient domains: what ended is gone, and nothing is left to undefine.

Every action looks at the domain first, then does what is missing, under the VM's fence and with its networks around it.
"""
from __future__ import annotations

import libvirt

from drivers.base import Action, Context, Permanent
from drivers.fence import fenced, fenced_for_debt
from drivers.net import around
from drivers.net.taps import untap
from drivers.tm.context import write_context
from drivers.vm import (
    agent,
    checkpoint,
    copies,
    disk_merge,
    disk_snapshots,
    events,
    migrate,
    plug,
    premigrate,
    resize,
    snapshots,
)
from drivers.vm.domain import domain_name, domain_xml
from drivers.vm.facts import host_facts
from drivers.vm.guest import Superseded
from drivers.vm.hypervisor import prove_in_background
from drivers.vm.letting import let_run, reclaim
from drivers.vm.seen import seen
from drivers.vm.work import (
    LAST_SECONDS,
    ask,
    at_rest,
    clean_up,
    end_domain,
    is_up,
    look,
    press_until_off,
    running,
    start,
)
from onecore.wire.messages import Doc


def deploy(ctx: Context, args: Doc) -> Doc:
    """Start the guest from its disks, which no checkpoint fits any more; one of this generation is left alone."""
    vm, executor = args["vm"], ctx.host(args["host"])
    prove_in_background(ctx, args["host"])
    with fenced(ctx, executor, args):
        if is_up(ctx, args):
            around.post(ctx.beyond(LAST_SECONDS), args)
        else:
            checkpoint.remove(executor, vm)
            write_context(ctx, executor, vm)
            xml = domain_xml(vm, host_facts(ctx, args["host"]))
            start(ctx, args, "starting", lambda connection: connection.createXML(xml, 0))
    return {"deploy_id": domain_name(vm["id"])}


def shutdown(ctx: Context, args: Doc) -> Doc:
    """Press the power button until the guest is off; Temporary when the time is up first, the guest runs on."""
    with fenced(ctx, ctx.host(args["host"]), args):
        press_until_off(ctx, args)
        around.clean(ctx, args)
    return {}


def destroy(ctx: Context, args: Doc) -> Doc:
    """End the guest at once; of one that never ran the checkpoint stays."""
    executor = ctx.host(args["host"])
    with fenced(ctx, executor, args):
        if checkpoint.is_used(executor, args["vm"]):
            reclaim(ctx, args)
        end_domain(ctx, args)
        around.clean(ctx, args)
    return {}


def cleanup(ctx: Context, args: Doc) -> Doc:
    """Guest and networks away, each tried even if the other fails; raises the first failure at the end.

    A guest of a newer generation than the VM's is left alone, with its networks: Superseded, but with `owed` that is
    fine, the host does not owe that one.
    """
    try:
        with (fenced_for_debt if args.get("owed") else fenced)(ctx, ctx.host(args["host"]), args):
            clean_up(ctx, args)
    except Superseded:
        if not args.get("owed"):
            raise
    return {}


def reboot(ctx: Context, args: Doc) -> Doc:
    """Ask the guest to restart."""
    with fenced(ctx, ctx.host(args["host"]), args):
        guest = running(ctx, args)
        ask(ctx, args, "restarting", lambda _: guest.domain.reboot(0))
    return {}


def reset(ctx: Context, args: Doc) -> Doc:
    """Restart the guest without asking it."""
    with fenced(ctx, ctx.host(args["host"]), args):
        guest = running(ctx, args)
        ask(ctx, args, "resetting", lambda _: guest.domain.reset(0))
    return {}


def save(ctx: Context, args: Doc) -> Doc:
    """The guest's state in its checkpoint file, and the guest gone."""
    executor = ctx.host(args["host"])
    with fenced(ctx, executor, args):
        guest = at_rest(ctx, args)
        if guest is not None and guest.is_on:
            checkpoint.save(ctx, executor, args, guest)
        elif not checkpoint.is_complete(ctx, executor, args):
            raise Permanent(f"VM {args['vm']['id']} does not run and has no checkpoint")
        around.clean(checkpoint.to_its_end(ctx), args)
    return {}


def restore(ctx: Context, args: Doc) -> Doc:
    """The guest runs again from its checkpoint, which is removed.

    It gets its state without running, so that until then it can be ended and nothing is lost; once it is to run, a
    cancel comes too late, for its disks change.  One that ran and ended before anybody heard of it was restored.
    """
    vm, executor = args["vm"], ctx.host(args["host"])
    with fenced(ctx, executor, args):
        if checkpoint.is_used(executor, vm):
            reclaim(ctx, args)
        checkpoint.keep(ctx, executor, args)
        if is_up(ctx, args):
            around.post(ctx.beyond(LAST_SECONDS), args)
        elif not checkpoint.is_complete(ctx, executor, args) and checkpoint.is_used(executor, vm):
            ctx.log("warning", f"VM {vm['id']} ran on from its checkpoint and has ended: its disks are what it has")
            around.clean(ctx, args)
            return {"deploy_id": domain_name(vm["id"])}
        else:
            xml, flags = checkpoint.xml(ctx, executor, args), libvirt.VIR_DOMAIN_SAVE_PAUSED
            start(ctx, args, "restoring", lambda it: it.restoreFlags(checkpoint.path(vm), xml, flags), held=True)
        let_run(ctx.beyond(LAST_SECONDS), args)
    return {"deploy_id": domain_name(vm["id"])}


def state(ctx: Context, args: Doc) -> Doc:
    """What the guest does: running, poweroff, suspended or gone, and its generation (-1: gone)."""
    guest = look(ctx, args)
    told = {"state": guest.state, "generation": guest.generation} if guest else {"state": "gone", "generation": -1}
    return told | ({"has": seen(ctx, args, guest)} if args.get("look") else {})


def watch(ctx: Context, args: Doc) -> Doc:
    """From now on tell what becomes of the host's guests by itself."""
    host = args["host"]
    events.watch(ctx, host, lambda: prove_in_background(ctx, host))
    return {}


def unwatch(ctx: Context, args: Doc) -> Doc:
    """No more news of the host."""
    events.unwatch(ctx, args["host"])
    return {}


ACTIONS: dict[str, Action] = {
    "deploy": deploy, "shutdown": shutdown, "destroy": destroy, "reboot": reboot, "reset": reset, "save": save,
    "restore": restore, "state": state, "cleanup": cleanup, "watch": watch, "unwatch": unwatch, "untap": untap,
    "premigrate": premigrate.premigrate, "migrate": migrate.migrate,
    "attach_disk": plug.attach_disk, "detach_disk": plug.detach_disk, "resize_disk": plug.resize_disk,
    "attach_nic": plug.attach_nic, "detach_nic": plug.detach_nic, "update_nic": plug.update_nic,
    "updateconf": plug.updateconf, "resize": resize.resize, "exec": agent.execute,
    "snapshot_create": snapshots.create, "snapshot_revert": snapshots.revert, "snapshot_delete": snapshots.delete,
    "disk_snapshot_create": disk_snapshots.create, "disk_snapshot_delete": disk_merge.delete,
    "copy_disk": copies.copy_disk, "drop_copy": copies.drop_copy,
}
