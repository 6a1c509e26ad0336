"""vm/kvm: guests on libvirt's QEMU driver, as transient domains: what ended is gone, and nothing is left to undefine.

Every action looks at the domain first, then does what is missing, under the VM's fence and with its networks around it.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivers.base import Action, Context, DriverError, Permanent, Temporary
from drivers.fence import fenced, fenced_for_debt
from drivers.net import around
from drivers.tm.context import write_context
from drivers.vm import checkpoint, events
from drivers.vm.connection import call
from drivers.vm.domain import domain_name, domain_xml
from drivers.vm.facts import host_facts
from drivers.vm.guest import Guest, end, end_if_there, find
from drivers.vm.hypervisor import prove_in_background
from onecore.wire.messages import Doc

RESEND_SECONDS = 3.0
"""A guest that is still booting misses the power button, so it is pressed again."""
_POLL = 0.25


def deploy(ctx: Context, args: Doc) -> Doc:
    """Start the guest; one that runs with this generation already is left alone."""
    vm, executor = args["vm"], ctx.host(args["host"])
    prove_in_background(ctx, args["host"])
    with fenced(ctx, executor, args):
        if not _is_up(ctx, vm):
            write_context(ctx, executor, vm)
            xml = domain_xml(vm, host_facts(ctx, args["host"]))
            _start(ctx, args, "starting", lambda connection: connection.createXML(xml, 0))
        around.post(ctx, args)
    return {"deploy_id": domain_name(vm["id"])}


def shutdown(ctx: Context, args: Doc) -> Doc:
    """Press the power button until the guest is off; Temporary when the time is up first, the guest runs on."""
    with fenced(ctx, ctx.host(args["host"]), args):
        _press_until_off(ctx, args["vm"])
        around.clean(ctx, args)
    return {}


def destroy(ctx: Context, args: Doc) -> Doc:
    """End the guest at once."""
    with fenced(ctx, ctx.host(args["host"]), args):
        _end(ctx, args["vm"])
        around.clean(ctx, args)
    return {}


def cleanup(ctx: Context, args: Doc) -> Doc:
    """Guest and networks away, each tried even if the other fails; raises the first failure at the end.

    With `owed` a guest of a newer generation than the VM's is left alone: the host does not owe that one.
    """
    failures: list[DriverError] = []
    guest = _look(ctx, args["vm"]) if args.get("owed") else None
    if guest is not None and guest.generation > args["vm"]["generation"]:
        return {}
    with (fenced_for_debt if args.get("owed") else fenced)(ctx, ctx.host(args["host"]), args):
        steps: tuple[Callable[[], None], ...] = (lambda: _end(ctx, args["vm"]), lambda: around.clean(ctx, args))
        for step in steps:
            try:
                step()
            except DriverError as error:
                failures.append(error)
    if failures:
        raise failures[0]
    return {}


def reboot(ctx: Context, args: Doc) -> Doc:
    """Ask the guest to restart."""
    with fenced(ctx, ctx.host(args["host"]), args):
        guest = _running(ctx, args["vm"])
        call(ctx, _doing("restarting", args["vm"]), lambda _: guest.domain.reboot(0))
    return {}


def reset(ctx: Context, args: Doc) -> Doc:
    """Restart the guest without asking it."""
    with fenced(ctx, ctx.host(args["host"]), args):
        guest = _running(ctx, args["vm"])
        call(ctx, _doing("resetting", args["vm"]), lambda _: guest.domain.reset(0))
    return {}


def save(ctx: Context, args: Doc) -> Doc:
    """The guest's state in its checkpoint file, and the guest gone."""
    executor, vm = ctx.host(args["host"]), args["vm"]
    with fenced(ctx, executor, args):
        guest = _look(ctx, vm)
        if guest is not None and guest.is_on:
            checkpoint.save(ctx, executor, vm, guest)
        elif not checkpoint.is_complete(ctx, executor, vm):
            raise Permanent(f"VM {vm['id']} does not run and has no checkpoint")
        around.clean(ctx, args)
    return {}


def restore(ctx: Context, args: Doc) -> Doc:
    """The guest runs again from its checkpoint, which is removed."""
    vm, executor = args["vm"], ctx.host(args["host"])
    with fenced(ctx, executor, args):
        if not _is_up(ctx, vm):
            xml = checkpoint.xml(ctx, executor, vm)
            _start(ctx, args, "restoring", lambda connection: connection.restoreFlags(checkpoint.path(vm), xml, 0))
        checkpoint.remove(executor, vm)
        around.post(ctx, args)
    return {"deploy_id": domain_name(vm["id"])}


def state(ctx: Context, args: Doc) -> Doc:
    """What the guest does: running, poweroff, suspended or gone, and its generation (-1: gone)."""
    guest = _look(ctx, args["vm"])
    return {"state": guest.state, "generation": guest.generation} if guest else {"state": "gone", "generation": -1}


def watch(ctx: Context, args: Doc) -> Doc:
    """From now on tell what becomes of the host's guests by itself."""
    prove_in_background(ctx, args["host"])
    events.watch(ctx, args["host"])
    return {}


def unwatch(ctx: Context, args: Doc) -> Doc:
    """No more news of the host."""
    events.unwatch(ctx, args["host"])
    return {}


def _doing(what: str, vm: Doc) -> str:
    return f"{what} VM {vm['id']}"


def _look(ctx: Context, vm: Doc) -> Guest | None:
    return call(ctx, _doing("looking for", vm), lambda connection: find(connection, vm["id"]))


def _running(ctx: Context, vm: Doc) -> Guest:
    guest = _look(ctx, vm)
    if guest is None or not guest.is_on:
        raise Permanent(f"VM {vm['id']} does not run")
    return guest


def _is_up(ctx: Context, vm: Doc) -> bool:
    """Whether the guest runs with its present generation; an older one is ended, a newer one is Permanent."""
    guest = _look(ctx, vm)
    if guest is None:
        return False
    if guest.generation > vm["generation"]:
        raise Permanent(f"superseded: VM {vm['id']} runs with generation {guest.generation}")
    if guest.is_on and guest.generation == vm["generation"]:
        return True
    ctx.log("warning", f"ending a domain of VM {vm['id']} left from generation {guest.generation}")
    call(ctx, _doing("ending", vm), lambda _: end(guest))
    return False


def _start(ctx: Context, args: Doc, what: str, function: Callable[[Any], object]) -> None:
    """Networks up, then the guest; when it does not start nothing of the networks is left either."""
    vm = args["vm"]
    events.expect(ctx, args["host"], vm)
    try:
        around.pre(ctx, args)
        call(ctx, _doing(what, vm), function, on_stop=lambda connection: end_if_there(connection, vm["id"]))
    except DriverError:
        _clean_after_failure(ctx, args)
        raise


def _clean_after_failure(ctx: Context, args: Doc) -> None:
    try:
        if _look(ctx, args["vm"]) is None:
            around.clean(ctx, args)
    except DriverError as error:
        ctx.log("warning", f"VM {args['vm']['id']}: {error}")


def _end(ctx: Context, vm: Doc) -> None:
    guest = _look(ctx, vm)
    if guest is not None:
        call(ctx, _doing("ending", vm), lambda _: end(guest))


def _press_until_off(ctx: Context, vm: Doc) -> None:
    pressed = ctx.now() - RESEND_SECONDS
    while (guest := _look(ctx, vm)) is not None and guest.is_on:
        if ctx.now() - pressed >= RESEND_SECONDS:
            pressed = ctx.now()
            _press(ctx, vm, guest)
        try:
            ctx.sleep(_POLL)
        except Temporary:
            raise Temporary(f"VM {vm['id']} did not shut down in time; it runs on") from None
    _end(ctx, vm)


def _press(ctx: Context, vm: Doc, guest: Guest) -> None:
    try:
        call(ctx, _doing("shutting down", vm), lambda _: guest.domain.shutdown())
    except Permanent as error:
        ctx.log("info", str(error))


ACTIONS: dict[str, Action] = {
    "deploy": deploy, "shutdown": shutdown, "destroy": destroy, "reboot": reboot, "reset": reset, "save": save,
    "restore": restore, "state": state, "cleanup": cleanup, "watch": watch, "unwatch": unwatch,
}
