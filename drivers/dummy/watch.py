"""News of dummy guests: one timer looks at the files of all watched hosts that have guests."""
from __future__ import annotations

import time
from collections.abc import Callable

from drivers.base import Context
from drivers.dummy.guest import INCOMING
from drivers.dummy.stage import act
from drivers.dummy.world import World, world
from drivers.timers import timers
from onecore.wire.messages import Doc, News, Sample

_PERIOD = 0.5
_SHARE = 0.04
"""The part of its time that looking may take: with very many guests it looks less often."""


class Lookout:
    """The hosts that are watched, by name."""

    def __init__(self, world: World, emit: Callable[[News | Sample], None]) -> None:
        self._world = world
        self._emit = emit
        self._hids: dict[str, int] = {}

    def begin(self, host: str, hid: int) -> None:
        """Watch HOST; news of each of its guests at once."""
        self._hids[host] = hid
        for vm, guest in self._world.follow(host).items():
            if guest.state != INCOMING:
                self._emit(News(hid, vm, guest.generation, guest.state))

    def end(self, host: str) -> None:
        """Watch HOST no more."""
        self._hids.pop(host, None)
        self._world.leave(host)

    def look(self) -> float:
        """Tell what changed; the seconds until the next look."""
        began = time.thread_time()
        for host in self._world.inhabited():
            for vm, old, new in self._world.changes(host):
                now = new or old
                if host in self._hids and now and now.state != INCOMING:
                    self._emit(News(self._hids[host], vm, now.generation, new.state if new else "gone"))
        return max(_PERIOD, (time.thread_time() - began) / _SHARE)


def watch(ctx: Context, args: Doc) -> Doc:
    """News of guests that change by themselves, from now on."""
    act(ctx, "vm.watch", args["host"])
    _lookout(ctx).begin(args["host"]["name"], args["host"]["id"])
    return {}


def unwatch(ctx: Context, args: Doc) -> Doc:
    """No more news of the host."""
    _lookout(ctx).end(args["host"]["name"])
    return {}


def _lookout(ctx: Context) -> Lookout:
    def make() -> Lookout:
        lookout = Lookout(world(ctx), ctx.emit)
        timers(ctx).start("dummy.look", _PERIOD, lookout.look)
        return lookout
    return ctx.keep("dummy.lookout", make)
