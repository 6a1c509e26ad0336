"""A guest that was given its state from the checkpoint is let run, and then there is no checkpoint any more.

It is held until then, so that it can be ended and nothing is lost; what it does afterwards is on its disks alone.
"""
from __future__ import annotations

from drivers.base import Context, DriverError
from drivers.vm import checkpoint
from drivers.vm.work import ask, look, ours, running, take_back
from onecore.wire.messages import Doc


def let_run(ctx: Context, args: Doc) -> None:
    """Have a restored guest run; one that does not is taken away as long as it never did, its checkpoint whole."""
    executor = ctx.host(args["host"])
    try:
        guest = running(ctx, args)
        if guest.state == "suspended":
            checkpoint.use(executor, args["vm"])
            ask(ctx, args, "resuming", lambda _: guest.domain.resume())
    except DriverError:
        never_ran, now = reclaim(ctx, args), look(ctx, args)
        if now is None or never_ran:
            take_back(ctx, args)
        if now is None or now.state != "running":
            raise
    checkpoint.remove(executor, args["vm"])


def reclaim(ctx: Context, args: Doc) -> bool:
    """Whether the guest has its state and never ran: its checkpoint is whole then, whatever it was called.

    A wish of before that it runs may still be on its way.  libvirt does one thing after the other, and says that it
    holds a guest for its state only until that has run: one that it is told to pause, and holds so still, has not.
    """
    guest = ours(ctx, args)
    if guest is None or not guest.loaded:
        return False
    ask(ctx, args, "holding", lambda _: guest.domain.suspend())
    now = ours(ctx, args)
    if now is not None and now.loaded:
        checkpoint.unuse(ctx.host(args["host"]), args["vm"])
        return True
    if now is not None and now.is_on:
        ask(ctx, args, "resuming", lambda _: now.domain.resume())
    return False
