"""Hosts as monitoring sees them: watches told to the drivers, samples taken in, silence noticed."""
from __future__ import annotations

import asyncio
from dataclasses import replace

from onecore.kinds.host.commands import command, system_datastores
from onecore.kinds.host.debts import debts, pay
from onecore.kinds.host.record import Host, samples
from onecore.kinds.host.states import HOST
from onecore.kinds.kind import KINDS, inner_xml, lookup, tree_of
from onecore.kinds.usage import usage
from onecore.lifecycle.clock import Timer
from onecore.lifecycle.core import Core
from onecore.pool.series import HOST_FIELDS, VM_FIELDS
from onecore.pool.store import Actor, Tx
from onecore.wire.messages import Command, Doc, Result, Sample
from onecore.wire.states import HostState
from onecore.wire.template import Tree

WATCH_AGAIN = 10.0
"""Seconds until a watch that failed is tried again."""


def watch(core: Core, host: Host, family: str = "") -> None:
    """Tell the drivers to watch HOST (both families, or the one that came up)."""
    if host.state == HostState.OFFLINE:
        return
    samples(core).heard.setdefault(host.oid, core.clock.monotonic())
    if family in ("", "im"):
        _watch(core, host, "im", command(core, host, host.im_mad, "watch", {
            "datastores": system_datastores(core, host), "period": core.config.monitoring.host_period}))
    if family in ("", "vm"):
        _watch(core, host, "vm", command(core, host, host.vm_mad, "watch"))


def _watch(core: Core, host: Host, family: str, command: Command) -> None:
    """A watch that failed is tried again: nothing else would ever make the host be heard of."""
    failing: dict[tuple[int, str], Timer | None] = core.kinds.setdefault("host.watch_again", {})
    key = host.oid, family

    def then(result: Result) -> None:
        if result.ok:
            failing.pop(key, None)
            return
        if key not in failing:
            core.log.warning(f"host {host.oid} ({host.name}) cannot be watched by {family}, again soon: {result.error}")
        if failing.get(key) is None:
            failing[key] = core.clock.call_later(WATCH_AGAIN, again)

    def again() -> None:
        failing[key] = None
        now = core.store.get(Host, host.oid)
        if now is not None:
            watch(core, now, family)
    core.dispatcher.ask(family, command, then)


def unwatch(core: Core, host: Host) -> None:
    """Tell the drivers to leave HOST alone; forget its samples."""
    core.dispatcher.tell("im", command(core, host, host.im_mad, "unwatch"))
    core.dispatcher.tell("vm", command(core, host, host.vm_mad, "unwatch"))
    samples(core).hosts.pop(host.oid, None)
    samples(core).heard.pop(host.oid, None)
    lookup(core, "host").bodies.pop(host.oid, None)


def listen_anew(core: Core) -> None:
    """The core was deaf for a while: no host's silence before now counts."""
    heard = samples(core).heard
    heard.update(dict.fromkeys(heard, core.clock.monotonic()))


def driver_up(core: Core, family: str) -> None:
    """A driver process is new: it watches nothing yet."""
    for host in list(core.store.all(Host)):
        watch(core, host, family)


def fire(tx: Tx, core: Core, host: Host, event: str, error: str = "") -> Host:
    """Move a host by one event; its VMs follow."""
    line = HOST.decide(HostState(host.state), host, event)
    if line.ignore or line.target is None:
        return host
    moved = tx.put(replace(host, state=int(line.target), prev_state=host.state, error=error))
    tx.log("host", host.oid, "state", HostState(host.state).name, line.target.name)
    if event == "lost":
        core.log.warning(f"host {host.oid} ({host.name}) is in ERROR: {error}")
        _lose_vms(tx, core, host)
    return moved


def _lose_vms(tx: Tx, core: Core, host: Host) -> None:
    """Nobody can say how the host's VMs are: those that should run are UNKNOWN."""
    for oid in sorted(usage(core).by_host.of(host.oid)):
        core.kinds["vm.observe"](tx, oid, "seen_lost")


def take(core: Core, sample: Sample) -> None:
    """Take in one sample: totals and facts when they changed, states of its VMs, numbers for the series."""
    host = core.store.get(Host, sample.hid)
    if host is None or host.state == HostState.OFFLINE:
        return
    kept = samples(core)
    if sample.error:
        with core.store.tx(Actor(method="monitor")) as tx:
            fire(tx, core, host, "lost", sample.error)
        return
    kept.hosts[host.oid], kept.heard[host.oid] = sample, core.clock.monotonic()
    kept.pending.append(sample)
    for doc in sample.vms:
        if core.store.get(KINDS["vm"].record, doc.get("id", -1)) is not None:
            kept.vms[doc["id"]] = (sample.time, doc)
            core.kinds["vm.bodies"].changed(doc["id"])
    if debts(core, host.oid):
        pay(core, host)
        if host.state in (HostState.ERROR, HostState.INIT):  # it pays before it is ON
            return
    with core.store.tx(Actor(method="monitor")) as tx:
        host = fire(tx, core, _facts(tx, host, sample.host), "seen")
    core.kinds["vm.roster"](host, sample)


def _facts(tx: Tx, host: Host, doc: Doc) -> Host:
    tree = Tree((name.upper(), str(value)) for name, value in doc.get("attrs", {}).items())
    for name in ("hypervisor", "hostname", "arch", "version"):
        if doc.get(name):
            tree.set(name.upper(), str(doc[name]))
    found = replace(host, total_cpu=int(doc.get("total_cpu", 0)), total_mem=int(doc.get("total_mem_kb", 0)),
                    facts=inner_xml(tree.without(tree_of(host.template).names())))
    return host if found == host else tx.put(found)


def check_silence(core: Core) -> None:
    """Hosts that nothing was heard of for too long are lost."""
    limit, now = core.config.monitoring.host_silence, core.clock.monotonic()
    for host in list(core.store.all(Host)):
        quiet = now - samples(core).heard.get(host.oid, now)
        if host.state in (HostState.INIT, HostState.MONITORED) and quiet > limit:
            with core.store.tx(Actor(method="monitor")) as tx:
                fire(tx, core, host, "lost", f"nothing heard for {quiet:.0f} s")
        elif host.state == HostState.ERROR:  # an action that failed meanwhile may have left a VM in RUNNING
            with core.store.tx(Actor(method="monitor")) as tx:
                _lose_vms(tx, core, host)


async def write_series(core: Core) -> None:
    """Write the samples that came since the last time."""
    pending, samples(core).pending = samples(core).pending, []
    hosts = [(s.hid, s.time, [float(s.host.get(f) or 0) for f in HOST_FIELDS]) for s in pending]
    vms = [(d["id"], s.time, [float(d.get(f) or 0) for f in VM_FIELDS])
           for s in pending for d in s.vms if d.get("id", -1) >= 0]
    if hosts:
        await asyncio.to_thread(core.series.add, "host", hosts)
    if vms:
        await asyncio.to_thread(core.series.add, "vm", vms)
