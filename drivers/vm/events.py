"""What guests do by themselves, told within a second: libvirt's lifecycle events of each watched host become News.

A transient domain's metadata is gone when its last event comes, so a watch remembers the generation of each domain.
A watched host costs a connection and, while nothing happens there, no thread.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import libvirt

from drivers.base import Context, DriverError
from drivers.vm.domain import domain_name
from drivers.vm.guest import Guest, guest_of, guests
from drivers.vm.line import Line
from drivers.vm.links import links
from drivers.vm.roster import ARRIVING, Emit, Roster, meaning
from drivers.vm.strand import Strand
from onecore.wire.messages import Doc

_BREATH = (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_RESUMED)


@dataclass(frozen=True, slots=True)
class Event:
    """A lifecycle event as it came from libvirt; `run` is the number of that run of the domain."""

    name: str
    run: int
    event: int
    detail: int


class HostWatch:
    """The watch of one host: what it has seen there, kept from one connection to the next."""

    def __init__(self, host: Doc, emit: Emit, log: Callable[[str, str], None], found: Callable[[], object]) -> None:
        self._name, self._log, self._found = str(host.get("name") or "localhost"), log, found
        self._away = self._closed = False
        self._roster = Roster(host["id"], emit)
        self._expected: dict[str, tuple[tuple[int, int], bool]] = {}
        self._held: set[str] = set()
        self._quiet: list[str] = []
        self._strand: Strand | None = None

    def expect(self, name: str, vm: int, generation: int, held: bool) -> None:
        """We start this domain now: whose it is, should it end before its metadata can be read.

        HELD: it is let run a moment later, so that it is paused till then is no news.
        """
        self._expected[name] = (vm, generation), held

    @contextmanager
    def quiet(self, name: str) -> Iterator[None]:
        """While in the block, that a domain stands still and goes on is no news: we have it do that."""
        self._quiet.append(name)
        try:
            yield
        finally:
            self._quiet.remove(name)

    def told(self, error: DriverError | None) -> None:
        """How an attempt to connect went; only what changes is logged."""
        if (error is not None) == self._away or self._closed:
            return
        self._away = error is not None
        if error is not None:
            self._log("warning", f"the watch of {self._name} waits for libvirt: {error}")
        else:
            self._log("info", f"the watch of {self._name} has libvirt back")

    def opened(self, line: Line) -> None:
        """Listen on a new LINE, then tell all that runs; what happens meanwhile comes after that."""
        def failed(error: Exception) -> None:
            line.cut(f"{self._name}: {error}")

        strand = Strand(failed)
        line.at_end(lambda _: strand.close())
        self._subscribe(line, strand)
        rows = line.answer(lambda connection: [_row(guest) for guest in guests(connection)])
        if self._strand is not None:
            self._strand.close()
        self._strand = strand
        strand.start(lambda: self._roster.stock(rows))
        self._found()

    def close(self) -> None:
        """No more news."""
        self._closed = True
        if self._strand is not None:
            self._strand.close()

    def _subscribe(self, line: Line, strand: Strand) -> None:
        def on_event(_: Any, domain: Any, event: int, detail: int, __: Any) -> None:
            seen = Event(domain.name(), domain.ID(), event, detail)
            strand.put(lambda: self._take(line, seen))

        def subscribe(connection: Any) -> int:
            connection.registerCloseCallback(lambda *_: strand.close(), None)
            line.at_end(lambda connection: connection.unregisterCloseCallback())
            return int(connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None))

        number = line.answer(subscribe)
        line.at_end(lambda connection: connection.domainEventDeregisterAny(number))

    def _take(self, line: Line, event: Event) -> None:
        found = meaning(event.event, event.detail)
        if found is None or self._closed or event.name in self._quiet and event.event in _BREATH:
            return
        if event.event == libvirt.VIR_DOMAIN_EVENT_STARTED:
            expected, held = self._expected.pop(event.name, (None, False))
            (self._held.add if held else self._held.discard)(event.name)
            whose = self._whose(line, event, expected)
            if line.alive:
                comes = event.detail == libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED
                (self._roster.arrives if comes else self._roster.started)(event.name, whose)
        elif not self._is_hold(event):
            self._roster.changed(event.name, *found)

    def _is_hold(self, event: Event) -> bool:
        """Whether EVENT, the first after a start, only says that the domain is held as it was started to be."""
        first = event.name in self._held
        self._held.discard(event.name)
        return first and bool(event.event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED)

    def _whose(self, line: Line, event: Event, expected: tuple[int, int] | None) -> tuple[int, int] | None:
        """VM and generation of the domain that started: read from it, or as EXPECTED if it is gone again."""
        try:
            guest = line.answer(lambda connection: guest_of(connection.lookupByName(event.name)))
        except libvirt.libvirtError:
            return expected
        return (guest.vm, guest.generation) if guest and guest.domain.ID() == event.run else None


class Watches:
    """The process's watches by host."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_host: dict[int, HostWatch] = {}

    def put(self, hid: int, watch: HostWatch | None) -> None:
        """WATCH, or none, takes the place of the host's watch."""
        with self._lock:
            old = self._by_host.pop(hid, None)
            if watch is not None:
                self._by_host[hid] = watch
        if old is not None:
            old.close()

    def of(self, hid: int) -> HostWatch | None:
        """The watch of a host."""
        with self._lock:
            return self._by_host.get(hid)


def watch(ctx: Context, host: Doc, found: Callable[[], object]) -> None:
    """Watch HOST from now on, FOUND is called whenever it is reached; a watch there was before is replaced."""
    made = HostWatch(host, ctx.emit, ctx.log, found)
    _watches(ctx).put(host["id"], made)
    links(ctx).watch(ctx, host, made.opened, made.told)


def unwatch(ctx: Context, host: Doc) -> None:
    """Watch HOST no more, and end the connections to its libvirt."""
    _watches(ctx).put(host["id"], None)
    links(ctx).forget(host)


def expect(ctx: Context, host: Doc, vm: Doc, held: bool) -> None:
    """Tell the watch of HOST, if there is one, that we start VM now; HELD: it runs a moment later."""
    found = _watches(ctx).of(host["id"])
    if found is not None:
        found.expect(domain_name(vm["id"]), vm["id"], vm["generation"], held)


def quiet(ctx: Context, host: Doc, vm: Doc) -> AbstractContextManager[None]:
    """While in the block, that VM stands still on HOST and goes on is no news."""
    found = _watches(ctx).of(host["id"])
    return found.quiet(domain_name(vm["id"])) if found is not None else nullcontext()


def _watches(ctx: Context) -> Watches:
    return ctx.keep("kvm-watches", Watches)


def _row(guest: Guest) -> tuple[str, int, int, str]:
    return guest.domain.name(), guest.vm, guest.generation, ARRIVING if guest.loaded else guest.state
