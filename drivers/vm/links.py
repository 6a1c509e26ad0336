"""All hosts' links to libvirt in this process, and the one thread that has broken and silent ones tried again.

A host has two lines at most: one for commands, one for its watch, whose events must not wait behind long calls.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from urllib.parse import quote

from drivers.base import Context, DriverError, Executor
from drivers.vm.call import Call
from drivers.vm.line import Line, open_line
from drivers.vm.link import Link
from drivers.vm.settings import parse
from onecore.wire.messages import Doc

SOCKETS = ("/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock")
AT_ONCE = 16
"""Background attempts at the same time; those that failed least come first."""
_BEAT, _BEAT_BUSY = 1.0, 0.1
_CLOSE_SECONDS = 2.0
Told = Callable[[DriverError | None], None]
Opened = Callable[[Line], None]


class Place:
    """Where a host's libvirt is; it outlives the command that it was made for."""

    def __init__(self, ctx: Context, host: Doc) -> None:
        attrs = host.get("attrs") or {}
        self.name = str(host.get("name") or "localhost")
        self.what = (self.name, attrs.get("SSH_USER"), attrs.get("SSH_PORT"))
        """What tells it from another place that the same host may have had."""
        self._uri = parse(ctx.settings).uri
        self._executor: Executor = ctx.lasting(host)

    def uri(self) -> str:
        """libvirt's URI for now: this machine's, or one that leads through a relay; Temporary when the host is lost.

        With `direct` the library looks at no other socket of this machine and starts no daemon.
        """
        if self._executor.is_local:
            return self._uri
        return f"qemu+unix:///system?socket={quote(self._executor.relay(SOCKETS))}&mode=direct"


class Way:
    """A host's place and its links."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._alone = threading.Lock()
        self.commands = Link(place.name, self._open)
        self._watch: Link | None = None
        self._uses: tuple[Opened, Told] | None = None

    @property
    def links(self) -> list[Link]:
        """Those there are."""
        return [self.commands, *([self._watch] if self._watch else [])]

    def watch(self, opened: Opened, told: Told) -> None:
        """Have a line always: OPENED makes use of each new one, TOLD hears how each attempt went."""
        def make() -> Line:
            line = self._open()
            try:
                opened(line)
            except BaseException:
                line.cut("it could not be watched")
                raise
            return line

        old, self._watch = self._watch, Link(self.place.name, make, always=True, told=told)
        self._uses = opened, told
        if old is not None:
            old.end()

    def move(self, place: Place) -> Way:
        """What takes its place when the host is reached in another way."""
        moved = Way(place)
        if self._uses is not None:
            moved.watch(*self._uses)
        self.end()
        return moved

    def end(self) -> None:
        """End its links; commands at work go on."""
        for link in self.links:
            link.end()

    def _open(self) -> Line:
        return open_line(self.place.name, self.place.uri(), self._alone)


class Links:
    """The ways by host id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ways: dict[int, Way] = {}
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def commands(self, ctx: Context, host: Doc) -> Link:
        """The link for commands on HOST."""
        return self._way(ctx, host).commands

    def watch(self, ctx: Context, host: Doc, opened: Opened, told: Told) -> None:
        """Keep a line to HOST from now on; see Way.watch()."""
        self._way(ctx, host).watch(opened, told)
        self._wake.set()

    def forget(self, host: Doc) -> None:
        """End what there is of HOST; commands at work there go on."""
        with self._lock:
            way = self._ways.pop(_key(host), None)
        if way is not None:
            way.end()

    def close(self) -> None:
        """End all."""
        with self._lock:
            self._closed = True
            links = [link for way in self._ways.values() for link in way.links]
            self._ways.clear()
        self._wake.set()
        Call(lambda: _close_all(links)).wait(_CLOSE_SECONDS)

    def _way(self, ctx: Context, host: Doc) -> Way:
        place = Place(ctx, host)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="libvirt-links", daemon=True)
                self._thread.start()
            known = self._ways.get(_key(host))
            if known is None or known.place.what != place.what:
                self._ways[_key(host)] = known.move(place) if known else Way(place)
            return self._ways[_key(host)]

    def _run(self) -> None:
        jobs: list[Call[None]] = []
        while not self._closed:
            self._wake.wait(_BEAT_BUSY if jobs else _BEAT)
            self._wake.clear()
            jobs = [job for job in jobs if not job.wait(0)]
            with self._lock:
                links = [link for way in self._ways.values() for link in way.links]
            for link in sorted(links, key=lambda each: each.failures):
                if len(jobs) >= AT_ONCE:
                    break
                job = link.tend(time.monotonic())
                jobs += [job] if job else []


def links(ctx: Context) -> Links:
    """This process's."""
    return ctx.keep("libvirt", Links)


def _close_all(links: list[Link]) -> None:
    for link in links:
        link.close()


def _key(host: Doc) -> int:
    return int(host.get("id", -1))
