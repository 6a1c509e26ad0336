"""Block jobs: libvirt copies or commits a disk of a running guest in the background until both are the same."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import libvirt

from drivers.base import Context, DriverError, Permanent
from drivers.vm import agent
from drivers.vm.guest import Guest
from drivers.vm.inside import read
from drivers.vm.work import LAST_SECONDS, ask
from onecore.wire.messages import Doc

_POLL, _LONGEST_POLL = 0.02, 0.5


@dataclass
class Standstill:
    """A guest that stands still."""

    ends: bool = True
    """Whether it is let run again."""


def until_ready(ctx: Context, args: Doc, guest: Guest, target: str, step: str) -> None:
    """The job on disk TARGET has caught up with the guest; left early, it is ended: nothing changed for the guest."""
    try:
        _follow(ctx, args, guest, target, step)
    except BaseException:
        with suppress(DriverError):
            end(ctx.beyond(LAST_SECONDS), args, guest, target)
        raise


def end(ctx: Context, args: Doc, guest: Guest, target: str) -> None:
    """No job on disk TARGET any more; a copy that was ready is complete, and the guest goes on with what it had."""
    disk = read(ctx, args, guest).at(target)
    if disk is not None and disk.job:
        ask(ctx, args, f"ending the copy of {target} of", lambda _: guest.domain.blockJobAbort(target, 0))


def pivot(ctx: Context, args: Doc, guest: Guest, target: str) -> None:
    """The guest goes on with what the job on disk TARGET made."""
    flags = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT
    ask(ctx, args, f"switching {target} of", lambda _: guest.domain.blockJobAbort(target, flags))


@contextmanager
def tidy(ctx: Context, args: Doc, guest: Guest) -> Iterator[None]:
    """In the block the guest's file systems are as after an unmount, if it has an agent that sees to that."""
    if read(ctx, args, guest).agent() == "connected":
        agent.freeze(ctx, args, guest)
    try:
        yield
    finally:
        thaw(ctx.beyond(LAST_SECONDS), args, guest)


def thaw(ctx: Context, args: Doc, guest: Guest) -> None:
    """The guest's file systems are not frozen."""
    if read(ctx, args, guest).agent() == "connected" and agent.is_frozen(ctx, args, guest):
        agent.thaw(ctx, args, guest)


@contextmanager
def at_a_standstill(ctx: Context, args: Doc, guest: Guest) -> Iterator[Standstill]:
    """The guest stands still in the block.

    It is let run at the end even when it stood still before: whoever asks knows that it is to run.
    """
    still = Standstill()
    try:
        ask(ctx, args, "pausing", lambda _: guest.domain.suspend())
        yield still
    finally:
        if still.ends:
            wake(ctx, args, guest)


def wake(ctx: Context, args: Doc, guest: Guest) -> None:
    """The guest runs."""
    def resume(_: object) -> None:
        if guest.domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            guest.domain.resume()

    ask(ctx, args, "resuming", resume)


class Growth:
    """Tells the core how far a job is, and nothing while it stands still: that would renew its deadline for ever."""

    def __init__(self, ctx: Context, step: str) -> None:
        self._ctx, self._step, self._seen = ctx, step, -1

    def say(self, info: Doc) -> None:
        """INFO is libvirt's of the job now."""
        done = int(info.get("cur", 0))
        if done > self._seen:
            self._seen = done
            self._ctx.progress(self._step, done, int(info.get("end", 0)))


def _follow(ctx: Context, args: Doc, guest: Guest, target: str, step: str) -> None:
    poll, growth = _POLL, Growth(ctx, step)
    while True:
        disk = read(ctx, args, guest).at(target)
        if disk is None or not disk.job:
            raise Permanent(f"VM {args['vm']['id']}: {step} ended early; is there room for it?")
        if disk.is_ready:
            return
        info = ask(ctx, args, "following a copy of", lambda _: guest.domain.blockJobInfo(target, 0))
        if info and info.get("end"):
            growth.say(info)
        ctx.sleep(poll)
        poll = min(poll * 2, _LONGEST_POLL)
