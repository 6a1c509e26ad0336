"""What guests do by themselves, told within a second: libvirt's lifecycle events of each watched host become News.

A transient domain's metadata is gone when its last event comes, so a watch remembers the generation of each domain.
"""
from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import libvirt

from drivers.base import Context, Temporary
from drivers.vm.connection import Call, answer, open_connection, uri_of
from drivers.vm.domain import domain_name
from drivers.vm.guest import Guest, guest_of, guests
from drivers.vm.roster import Emit, Roster, meaning
from onecore.wire.messages import Doc

RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Event:
    """A lifecycle event as it came from libvirt; `run` is the number of that run of the domain."""

    name: str
    run: int
    event: int
    detail: int


class HostWatch:
    """The watch of one host: a thread that holds a connection of its own and makes it anew when it breaks."""

    def __init__(self, hid: int, uri: str, emit: Emit, log: Callable[[str, str], None]) -> None:
        self._uri, self._log = uri, log
        self._away = False
        self._roster = Roster(hid, emit)
        self._expected: dict[str, tuple[int, int]] = {}
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        threading.Thread(target=self._run, name=f"watch-{hid}", daemon=True).start()

    def expect(self, name: str, vm: int, generation: int) -> None:
        """We start this domain now: whose it is, should it end before its metadata can be read."""
        self._expected[name] = (vm, generation)

    def close(self) -> None:
        """No more news."""
        self._closed.set()
        self._events.put(None)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._session()
            except (Temporary, libvirt.libvirtError) as error:
                self._lost(str(error))
            except Exception:
                self._lost(traceback.format_exc())
            self._closed.wait(RETRY_SECONDS)

    def _lost(self, why: str) -> None:
        """Said once, not at every attempt."""
        if not self._away and not self._closed.is_set():
            self._log("warning", f"the watch of {self._uri} waits for libvirt: {why}")
        self._away = True

    def _session(self) -> None:
        connection = open_connection(self._uri)
        self._events = queue.SimpleQueue()
        try:
            self._subscribe(connection)
            self._away = False
            self._roster.stock(answer(lambda: [_row(guest) for guest in guests(connection)]))
            while not self._closed.is_set() and connection.isAlive():
                self._next(connection)
        finally:
            Call(connection.close).wait(1.0)

    def _subscribe(self, connection: Any) -> None:
        events = self._events

        def on_event(_: Any, domain: Any, event: int, detail: int, __: Any) -> None:
            events.put(Event(domain.name(), domain.ID(), event, detail))

        connection.registerCloseCallback(lambda *_: events.put(None), None)
        answer(lambda: connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None))

    def _next(self, connection: Any) -> None:
        try:
            event = self._events.get(timeout=RETRY_SECONDS)
        except queue.Empty:
            return
        found = meaning(event.event, event.detail) if event is not None else None
        if event is None or found is None:
            return
        if event.event == libvirt.VIR_DOMAIN_EVENT_STARTED:
            self._roster.started(event.name, self._whose(connection, event))
        else:
            self._roster.changed(event.name, *found)

    def _whose(self, connection: Any, event: Event) -> tuple[int, int] | None:
        """VM and generation of the domain that started: read from it, or remembered if it is gone again."""
        expected = self._expected.pop(event.name, None)
        try:
            domain = answer(lambda: connection.lookupByName(event.name))
            guest = answer(lambda: guest_of(domain))
        except libvirt.libvirtError:
            return expected
        return (guest.vm, guest.generation) if guest and domain.ID() == event.run else None


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

    def close(self) -> None:
        """End all watches."""
        with self._lock:
            for watch in self._by_host.values():
                watch.close()


def watch(ctx: Context, host: Doc) -> None:
    """Watch HOST from now on; a watch there was before is replaced."""
    _watches(ctx).put(host["id"], HostWatch(host["id"], uri_of(ctx), ctx.emit, ctx.log))


def unwatch(ctx: Context, host: Doc) -> None:
    """Watch HOST no more."""
    _watches(ctx).put(host["id"], None)


def expect(ctx: Context, host: Doc, vm: Doc) -> None:
    """Tell the watch of HOST, if there is one, that we start VM now."""
    found = _watches(ctx).of(host["id"])
    if found is not None:
        found.expect(domain_name(vm["id"]), vm["id"], vm["generation"])


def _watches(ctx: Context) -> Watches:
    return ctx.keep("kvm-watches", Watches)


def _row(guest: Guest) -> tuple[str, int, int, str]:
    return guest.domain.name(), guest.vm, guest.generation, guest.state
