"""What a watch knows of a host's domains, and the News that follow from what happens to them.

Nothing is asked of libvirt in here: only the numbers of its events are known.
"""
from __future__ import annotations

from collections.abc import Callable

import libvirt

from onecore.wire.messages import News

Emit = Callable[[News], None]
MOVED = "moved"
"""What becomes of a guest here when it goes on on another host, of which that host tells."""
ARRIVING = "arriving"
"""The state of a guest that gets what it is from another host or a checkpoint and has not run here yet."""


def meaning(event: int, detail: int) -> tuple[str, str] | None:
    """State and detail that a lifecycle event stands for; None: it is no news."""
    if (event, detail) in _OF_A_MOVE:
        return None
    if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
        return _STOPPED.get(detail, ("poweroff", ""))
    if event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED and detail == libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR:
        return "suspended", "I/O error"
    return _EVENTS.get(event)


_OF_A_MOVE = frozenset({
    (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED),
    (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY)})
"""A guest stands still for a moment before it goes on on another host, or on this one after all."""
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
    libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: (MOVED, ""),
}


class Roster:
    """The domains of one host that a watch has seen run, by name, and the news that follow."""

    def __init__(self, hid: int, emit: Emit) -> None:
        self._hid, self._emit = hid, emit
        self._seen: dict[str, tuple[int, int]] = {}
        self._arriving: set[str] = set()

    def stock(self, running: list[tuple[str, int, int, str]]) -> None:
        """All domains of ours there are, as (name, VM, generation, state): news of each, and of those that vanished.

        Of one that is ARRIVING there is nothing to tell until it runs.
        """
        names = {name for name, *_ in running}
        for name in [name for name in self._seen if name not in names]:
            self._tell(*self._seen.pop(name), "gone", "")
        self._arriving = {name for name, *_, state in running if state == ARRIVING}
        for name, vm, generation, state in running:
            self._seen[name] = (vm, generation)
            if state != ARRIVING:
                self._tell(vm, generation, state, "")

    def started(self, name: str, whose: tuple[int, int] | None, detail: str = "") -> None:
        """A domain started; WHOSE: VM and generation, None when it is not ours or was gone before one could ask."""
        self._arriving.discard(name)
        if whose is None:
            self._seen.pop(name, None)
        else:
            self._seen[name] = whose
            self._tell(*whose, "running", detail)

    def arrives(self, name: str, whose: tuple[int, int] | None) -> None:
        """A domain is there that does not run before it has all that it had on another host."""
        if whose is not None:
            self._seen[name] = whose
            self._arriving.add(name)

    def changed(self, name: str, state: str, detail: str) -> None:
        """A domain changed; of one never seen to start, or to run, there is nothing to tell."""
        whose, silent = self._seen.get(name), state == MOVED or name in self._arriving and state != "running"
        if state not in ("running", "suspended"):
            self._seen.pop(name, None)
        if state != "suspended":
            self._arriving.discard(name)
        if whose is not None and not silent:
            self._tell(*whose, state, detail)

    def _tell(self, vm: int, generation: int, state: str, detail: str) -> None:
        self._emit(News(self._hid, vm, generation, state, detail))
