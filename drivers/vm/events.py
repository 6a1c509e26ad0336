"""What guests do by themselves, told within a second: libvirt's lifecycle events of each watched host become News.

A transient domain's metadata is gone when its last event comes, so a watch remembers the generation of each domain.
"""
from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import libvirt

from drivers.base import Context, Temporary
from drivers.vm.connection import Call, answer, open_connection, uri_of
from drivers.vm.domain import domain_name
from drivers.vm.guest import Guest, guest_of, guests
from onecore.wire.messages import Doc, News

RETRY_SECONDS = 1.0

Emit = Callable[[News], None]


@dataclass(frozen=True, slots=True)
class Event:
    """A lifecycle event as it came from libvirt; `run` is the number of that run of the domain."""

    name: str
    run: int
    event: int
    detail: int


def meaning(event: int, detail: int) -> tuple[str, str] | None:
    """State and detail that a lifecycle event stands for; None: it is no news."""
    if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
        return _STOPPED.get(detail, ("poweroff", ""))
    if event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED and detail == libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR:
        return "suspended", "I/O error"
    return _EVENTS.get(event)


_EVENTS = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: ("running", ""),
    libvirt.VIR_DOMAIN_EVENT_RESUMED: ("running", "resumed"),
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: ("suspended", ""),
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: ("suspended", "by the guest"),
    libvirt.VIR_DOMAIN_EVENT_CRASHED: ("crashed", "the guest's kernel panicked"),
}
_STOPPED = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: ("poweroff", "shut down"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: ("poweroff", "destroyed"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: ("crashed", "the guest crashed"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: ("crashed", "QEMU ended"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: ("gone", "saved"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: ("gone", "migrated"),
}


class Roster:
    """The domains of one host that a watch has seen run, by name, and the news that follow.  No libvirt in here."""

    def __init__(self, hid: int, emit: Emit) -> None:
        self._hid, self._emit = hid, emit
        self._seen: dict[str, tuple[int, int]] = {}

    def stock(self, running: list[tuple[str, int, int, str]]) -> None:
        """All domains of ours there are, as (name, VM, generation, state): news of each, and of those that vanished."""
        names = {name for name, *_ in running}
        for name in [name for name in self._seen if name not in names]:
            self._tell(*self._seen.pop(name), "gone", "")
        for name, vm, generation, state in running:
            self._seen[name] = (vm, generation)
            self._tell(vm, generation, state, "")

    def started(self, name: str, whose: tuple[int, int] | None, detail: str = "") -> None:
        """A domain started; WHOSE: VM and generation, None when it is not ours or was gone before one could ask."""
        if whose is None:
            self._seen.pop(name, None)
        else:
            self._seen[name] = whose
            self._tell(*whose, "running", detail)

    def changed(self, name: str, state: str, detail: str) -> None:
        """A domain changed; of one never seen to start there is nothing to tell."""
        whose = self._seen.get(name)
        if state not in ("running", "suspended"):
            self._seen.pop(name, None)
        if whose is not None:
            self._tell(*whose, state, detail)

    def _tell(self, vm: int, generation: int, state: str, detail: str) -> None:
        self._emit(News(self._hid, vm, generation, state, detail))


class HostWatch:
    """The watch of one host: a thread that holds a connection of its own and makes it anew when it breaks."""

    def __init__(self, hid: int, uri: str, emit: Emit) -> None:
        self._uri = uri
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
            except (Temporary, libvirt.libvirtError):
                self._closed.wait(RETRY_SECONDS)

    def _session(self) -> None:
        connection = open_connection(self._uri)
        self._events = queue.SimpleQueue()
        try:
            self._subscribe(connection)
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
    _watches(ctx).put(host["id"], HostWatch(host["id"], uri_of(ctx), ctx.emit))


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
