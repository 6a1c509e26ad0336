"""What actions do with their VM's domain: look, start, end, press its button.

ARGS are an action's.  A domain of a newer generation than the command's is left alone: the command was overtaken.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import libvirt

from drivers.base import Context, DriverError, Permanent, Temporary
from drivers.net import around
from drivers.vm import events
from drivers.vm.connection import Doing, call
from drivers.vm.guest import Guest, Superseded, end, end_if_there, find, not_newer
from onecore.wire.messages import Doc

LAST_SECONDS = 8.0
"""What is left to do when a command is cancelled may take so long; the core waits a little longer for its answer."""
RESEND_SECONDS = 3.0
"""A guest that is still booting misses the power button, so it is pressed again."""
_POLL = 0.25
_BUSY = (libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED)

T = TypeVar("T")


def ask(ctx: Context, args: Doc, what: str, function: Callable[[Any], T], on_stop: Doing | None = None,
        tick: Doing | None = None) -> T:
    """call() on the host, about the VM; WHAT is done, in a word."""
    return call(ctx, args["host"], f"{what} VM {args['vm']['id']}", function, on_stop, tick)


def look(ctx: Context, args: Doc) -> Guest | None:
    """The VM's domain on the host."""
    return ask(ctx, args, "looking for", lambda connection: find(connection, args["vm"]["id"]))


def ours(ctx: Context, args: Doc) -> Guest | None:
    """The VM's domain on the host, if there is one of this generation or an older one; Superseded for a newer one."""
    guest = look(ctx, args)
    if guest is not None:
        not_newer(guest, args["vm"]["generation"])
    return guest


def running(ctx: Context, args: Doc) -> Guest:
    """The VM's domain, at work; Permanent when it is not."""
    guest = ours(ctx, args)
    if guest is None or not guest.is_on:
        raise Permanent(f"VM {args['vm']['id']} does not run")
    if guest.generation != args["vm"]["generation"]:
        raise Permanent(f"VM {guest.vm} does not run with its generation, but with {guest.generation}")
    return guest


def is_up(ctx: Context, args: Doc) -> bool:
    """Whether the guest runs with its present generation; an older one is ended.

    Waits for the end of a start that is under way: it outlives a driver that asked for it.
    """
    vm = args["vm"]
    while (guest := ours(ctx, args)) is not None and (guest.starting or guest.loaded and _is_busy(ctx, args, guest)):
        ctx.sleep(_POLL)
    if guest is None:
        return False
    if guest.is_on and guest.generation == vm["generation"]:
        return True
    ctx.log("warning", f"ending a domain of VM {vm['id']} left from generation {guest.generation}")
    ask(ctx, args, "ending", lambda _: end(guest))
    return False


def at_rest(ctx: Context, args: Doc) -> Guest | None:
    """The VM's domain when libvirt does nothing lasting with it: a save, too, outlives a driver that asked for it."""
    while (guest := ours(ctx, args)) is not None and guest.is_on and _is_busy(ctx, args, guest):
        ctx.sleep(_POLL)
    return guest


def start(ctx: Context, args: Doc, what: str, function: Callable[[Any], object], held: bool = False) -> None:
    """Networks up, the guest, what its networks need then; failed or cancelled, nothing of all that is left.

    HELD: FUNCTION makes a guest that does not run yet.
    """
    vm = args["vm"]
    events.expect(ctx, args["host"], vm, held)
    try:
        around.pre(ctx, args)
        ask(ctx, args, what, function, on_stop=lambda connection: end_if_there(connection, vm["id"], vm["generation"]))
        around.post(ctx, args)
    except Exception:  # a bug, too, is no reason to leave a guest
        take_back(ctx, args)
        raise


def end_domain(ctx: Context, args: Doc) -> None:
    """Take the VM's domain away if there is one."""
    vm = args["vm"]
    ask(ctx, args, "ending", lambda connection: end_if_there(connection, vm["id"], vm["generation"]))


def clean_up(ctx: Context, args: Doc) -> None:
    """Domain and networks away, each tried even if the other fails; raises the first failure at the end.

    Of a newer generation both stay: Superseded.
    """
    failures: list[DriverError] = []
    steps: tuple[Callable[[Context, Doc], None], ...] = (end_domain, around.clean)
    for step in steps:
        try:
            step(ctx, args)
        except Superseded:
            raise
        except DriverError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def press_until_off(ctx: Context, args: Doc) -> None:
    """The power button, again and again, until the guest is off; Temporary when the command's time is up before."""
    pressed = ctx.now() - RESEND_SECONDS
    while (guest := ours(ctx, args)) is not None and guest.is_on:
        if ctx.now() - pressed >= RESEND_SECONDS:
            pressed = ctx.now()
            _press(ctx, args, guest)
        try:
            ctx.sleep(_POLL)
        except Temporary:
            raise Temporary(f"VM {args['vm']['id']} did not shut down in time; it runs on") from None
    end_domain(ctx, args)


def _is_busy(ctx: Context, args: Doc, guest: Guest) -> bool:
    try:
        job = ask(ctx, args, "asking for the job of", lambda _: int(guest.domain.jobInfo()[0]))
    except Permanent:
        return True
    return job in _BUSY


def _press(ctx: Context, args: Doc, guest: Guest) -> None:
    try:
        ask(ctx, args, "shutting down", lambda _: guest.domain.shutdown())
    except Permanent as error:
        ctx.log("info", str(error))


def take_back(ctx: Context, args: Doc) -> None:
    """Domain and networks away, as far as that can be done."""
    try:
        clean_up(ctx.beyond(LAST_SECONDS), args)
    except DriverError as error:
        ctx.log("warning", f"VM {args['vm']['id']}: {error}")
