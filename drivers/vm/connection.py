"""Calls to a host's libvirt for a command: none can hold it beyond its time, and a silent libvirt fails it at once."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import libvirt

from drivers.base import Context, DriverError, Temporary
from drivers.vm.call import Call
from drivers.vm.errors import in_words, is_lost
from drivers.vm.line import Line
from drivers.vm.link import Link
from drivers.vm.links import links
from onecore.wire.messages import Doc

DOUBT_SECONDS = 3.0
"""After so long without an answer libvirt is asked whether it says anything at all."""
_POLL = 0.1
_TICK = 2.0
_STOPS = 4

T = TypeVar("T")
Doing = Callable[[Any], object]


def call(ctx: Context, host: Doc, doing: str, function: Callable[[Any], T], on_stop: Doing | None = None,
         tick: Doing | None = None) -> T:
    """Run FUNCTION(connection) until it ends, the command's time is up, it is cancelled, or libvirt is silent.

    DOING names it in errors; libvirt's become Temporary or Permanent.  ON_STOP(connection) ends the work in libvirtd
    when it is left early; TICK(connection) is called every few seconds of a long one.
    """
    link = links(ctx).commands(ctx, host)
    line = link.line(ctx.check)
    try:
        under_way = line.ask(function)
        _see_through(ctx, link, line, under_way, on_stop, tick)
        return under_way.result()
    except libvirt.libvirtError as error:
        if line.why:
            raise Temporary(f"{doing}: {line.why}") from error
        if is_lost(error):
            link.give_up(line)
        raise in_words(error, doing) from error
    finally:
        line.leave()


def _see_through(ctx: Context, link: Link, line: Line, under_way: Call[T], on_stop: Doing | None,
                 tick: Doing | None) -> None:
    """Wait for the call's end; left early, it is stopped, or its line given up."""
    try:
        _wait(ctx, under_way, lambda: link.doubt(line), _Ticks(line, tick))
    except DriverError:
        if not _stopped(line, under_way, on_stop):
            link.give_up(line)
        raise


def _wait(ctx: Context, under_way: Call[T], doubt: Callable[[], object], ticks: Callable[[], object]) -> None:
    doubted = ticked = ctx.now()
    while not under_way.wait(_POLL):
        ctx.check()
        now = ctx.now()
        if now - doubted >= DOUBT_SECONDS:
            doubted = now
            doubt()
        if now - ticked >= _TICK:
            ticked = now
            ticks()


class _Ticks:
    """Calls TICK in the background, one at a time."""

    def __init__(self, line: Line, tick: Doing | None) -> None:
        self._line, self._tick = line, tick
        self._last: Call[object] | None = None

    def __call__(self) -> None:
        if self._tick is not None and (self._last is None or self._last.wait(0)):
            with suppress(Temporary):
                self._last = self._line.ask(self._tick)


def _stopped(line: Line, under_way: Call[T], on_stop: Doing | None) -> bool:
    """Stop the work until it ends, and once more for what it may have made at the last moment; false: it goes on."""
    if on_stop is None:
        return under_way.wait(1.0)
    for _ in range(_STOPS):
        if not _stop(line, on_stop):
            return under_way.wait(0)
        if under_way.wait(1.0):
            _stop(line, on_stop)
            return True
    return False


def _stop(line: Line, on_stop: Doing) -> bool:
    """Whether libvirt took the wish to stop."""
    try:
        return line.ask(on_stop).wait(1.0)
    except Temporary:
        return False
