"""The watches of hosts: told to the drivers, renewed when they would tell something else, silence noticed."""
from __future__ import annotations

from collections.abc import Callable

from onecore.kinds.host.commands import command, system_datastores
from onecore.kinds.host.intake import take, write_series
from onecore.kinds.host.moves import SILENT, ail, fire, lose_vms
from onecore.kinds.host.record import Host, samples
from onecore.kinds.kind import lookup
from onecore.lifecycle.clock import Timer
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor
from onecore.wire.messages import Command, Doc, Result
from onecore.wire.states import HostState

WATCH_AGAIN = 10.0
"""Seconds until a watch that failed is tried again."""


def watch(core: Core, host: Host, family: str = "") -> None:
    """Tell the drivers to watch HOST (both families, or one that came up)."""
    if host.state == HostState.OFFLINE:
        return
    kept, now = samples(core), core.clock.monotonic()
    kept.heard.setdefault(host.oid, now)
    if family in ("", "im"):
        kept.spoke[host.oid], kept.told[host.oid] = now, system_datastores(core, host)
        _watch(core, host, "im", command(core, host, host.im_mad, "watch", {
            "datastores": kept.told[host.oid], "period": core.config.monitoring.host_period}))
    if family in ("", "vm"):
        _watch(core, host, "vm", command(core, host, host.vm_mad, "watch"))


def _watch(core: Core, host: Host, family: str, command: Command) -> None:
    """A watch that failed is tried again: nothing else would ever make the host be heard of."""
    failing: dict[tuple[int, str], Timer | None] = core.kinds.setdefault("host.watch_again", {})
    key, asked = (host.oid, family), _asked(core)

    def then(result: Result) -> None:
        asked[key] -= 1
        now = core.store.get(Host, host.oid)
        if result.ok or now is None or now.state == HostState.OFFLINE:
            failing.pop(key, None)
            samples(core).broken.pop(key, None)
            return
        _failed(core, now, family, result, key not in failing)
        if failing.get(key) is None:
            failing[key] = core.clock.call_later(WATCH_AGAIN, again)

    def again() -> None:
        failing[key] = None
        now = core.store.get(Host, host.oid)
        if now is not None:
            watch(core, now, family)
    asked[key] = asked.get(key, 0) + 1
    core.dispatcher.ask(family, command, then)


def _asked(core: Core) -> dict[tuple[int, str], int]:
    """Watches that were not answered yet."""
    found: dict[tuple[int, str], int] = core.kinds.setdefault("host.asked", {})
    return found


def _failed(core: Core, host: Host, family: str, result: Result, first: bool) -> None:
    """What another try will not mend (there is no such driver) is the host's ERROR."""
    if first:
        core.log.warning(f"host {host.oid} ({host.name}) cannot be watched by {family}, again soon: {result.error}")
    if not result.temporary:
        samples(core).broken[host.oid, family] = result.error
        ail(core, host, result.error)


def unwatch(core: Core, host: Host) -> None:
    """Tell the drivers to leave HOST alone; forget its samples."""
    for family, driver in (("im", host.im_mad), ("vm", host.vm_mad)):
        if (host.oid, family) not in samples(core).broken:
            core.dispatcher.tell(family, command(core, host, driver, "unwatch"))
    samples(core).forget(host.oid)
    lookup(core, "host").bodies.pop(host.oid, None)


def anew(core: Core, host: Host) -> None:
    """Have the drivers end what they have open to HOST, and begin again."""
    left = [2]

    def then(_: Result) -> None:
        left[0] -= 1
        now = core.store.get(Host, host.oid)
        if not left[0] and now is not None:
            watch(core, now)
    for family, driver in (("im", host.im_mad), ("vm", host.vm_mad)):
        core.dispatcher.ask(family, command(core, host, driver, "unwatch"), then)


def listen_anew(core: Core) -> None:
    """The core was deaf for a while: no host's silence before now counts."""
    heard = samples(core).heard
    heard.update(dict.fromkeys(heard, core.clock.monotonic()))


def driver_up(core: Core, family: str) -> None:
    """A driver process is new: it watches nothing yet."""
    for host in list(core.store.all(Host)):
        watch(core, host, family)


def check_silence(core: Core) -> None:
    """Hosts that nothing was heard of for too long are lost; watches that went silent or are outdated are made anew."""
    limit, now, kept = core.config.monitoring.host_silence, core.clock.monotonic(), samples(core)
    datastores = _by_cluster(core)
    for host in list(core.store.all(Host)):
        if host.state in (HostState.ERROR, HostState.OFFLINE) or host.error:
            with core.store.tx(Actor(method="monitor")) as tx:  # an action that ended meanwhile may leave one RUNNING
                lose_vms(tx, core, host)
        if host.state == HostState.OFFLINE:
            continue
        quiet = now - kept.heard.setdefault(host.oid, now)
        if quiet > limit:
            ail(core, host, SILENT.format(quiet))
        silent = now - kept.spoke.get(host.oid, now) > limit and not _asked(core).get((host.oid, "im"))
        if silent or (host.oid in kept.told and kept.told[host.oid] != datastores(host)):  # it may be half open
            watch(core, core.store.get(Host, host.oid) or host, "im")


def _by_cluster(core: Core) -> Callable[[Host], list[Doc]]:
    """system_datastores, looked up once a cluster."""
    known: dict[int, list[Doc]] = {}

    def find(host: Host) -> list[Doc]:
        if host.cid not in known:
            known[host.cid] = system_datastores(core, host)
        return known[host.cid]
    return find


__all__ = ["anew", "check_silence", "driver_up", "fire", "listen_anew", "take", "unwatch", "watch", "write_series"]
