"""Hosts as monitoring sees them: watches told to the drivers, samples taken in, silence noticed, debts paid."""
from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from onecore.kinds.host.record import Host, samples
from onecore.kinds.host.states import HOST
from onecore.kinds.kind import KINDS, inner_xml, lookup, tree_of
from onecore.kinds.usage import usage
from onecore.lifecycle.clock import Timer
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Owed
from onecore.pool.series import HOST_FIELDS, VM_FIELDS
from onecore.pool.store import Actor, Tx
from onecore.wire.messages import Command, Doc, Result, Sample
from onecore.wire.states import HostState
from onecore.wire.template import Tree

WATCH_AGAIN = 10.0
"""Seconds until a watch that failed is tried again."""


def document(host: Host) -> Doc:
    """The host as drivers see it."""
    attrs: dict[str, Any] = {}
    for name, value in tree_of(host.template):
        attrs.setdefault(name, value)
    return {"id": host.oid, "name": host.name, "im_mad": host.im_mad, "vm_mad": host.vm_mad, "attrs": attrs}


def _command(core: Core, host: Host, driver: str, action: str, args: Doc | None = None) -> Command:
    return Command(0, 0, core.epoch, 0, host.name, driver, action, ("host", host.oid), 60.0,
                   args={"host": document(host), **(args or {})})


def watch(core: Core, host: Host, family: str = "") -> None:
    """Tell the drivers to watch HOST (both families, or the one that came up)."""
    if host.state == HostState.OFFLINE:
        return
    samples(core).heard.setdefault(host.oid, core.clock.monotonic())
    if family in ("", "im"):
        _watch(core, host, "im", _command(core, host, host.im_mad, "watch", {
            "datastores": [], "period": core.config.monitoring.host_period}))
    if family in ("", "vm"):
        _watch(core, host, "vm", _command(core, host, host.vm_mad, "watch"))


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
    core.dispatcher.tell("im", _command(core, host, host.im_mad, "unwatch"))
    core.dispatcher.tell("vm", _command(core, host, host.vm_mad, "unwatch"))
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


def debts(core: Core, hid: int) -> list[Owed]:
    """What a host owes."""
    return [owed for owed in core.store.all(Owed) if owed.hid == hid]


def pay(core: Core, host: Host) -> None:
    """Have what a host owes cleaned up; each debt is struck off when its driver confirms."""
    paying: set[tuple[int, int]] = core.kinds.setdefault("host.paying", set())
    for owed in debts(core, host.oid):
        vm: Any = core.store.get(KINDS["vm"].record, owed.vid)
        if vm is not None and vm.generation > owed.generation:  # started anew since: what is there now is not owed
            _strike_off(core, owed)
        elif owed.key() not in paying and (vm is None or not (vm.op or (owed.files and vm.hid >= 0))):
            paying.add((owed.hid, owed.vid))
            _pay_steps(core, owed, _steps(core, host, owed))


def _steps(core: Core, host: Host, owed: Owed) -> list[tuple[str, Command]]:
    base = core.home / "datastores" / str(owed.ds_id)
    vm = {"id": owed.vid, "name": "", "generation": owed.generation, "deploy_id": f"one-{owed.vid}", "nics": [],
          "disks": [], "attrs": {}, "user": {}, "context": {}, "context_disk": None, "context_files": [],
          "dir": str(base / str(owed.vid))}
    steps = [("vm", _command(core, host, host.vm_mad, "cleanup", {"vm": vm}))]
    datastore: Any = core.store.get(KINDS["datastore"].record, owed.ds_id)
    if owed.files and datastore is not None:
        where = {"id": owed.ds_id, "base_path": str(base)}
        steps.append(("tm", _command(core, host, datastore.tm_mad, "delete", {"vm": vm, "datastore": where})))
    return steps


def _pay_steps(core: Core, owed: Owed, steps: list[tuple[str, Command]]) -> None:
    family, command = steps[0]

    def then(result: Result) -> None:
        if result.ok and len(steps) > 1:
            return _pay_steps(core, owed, steps[1:])
        core.kinds["host.paying"].discard(owed.key())
        if result.ok:
            _strike_off(core, owed)
        else:
            core.log.warning(f"host {owed.hid} still owes the clean-up of VM {owed.vid}: {result.error}")
    core.dispatcher.ask(family, replace(command, generation=owed.generation), then)


def _strike_off(core: Core, owed: Owed) -> None:
    with core.store.tx(Actor(method="owed")) as tx:
        if tx.get(Owed, owed.key()) == owed:
            tx.delete(owed)
            tx.log("host", owed.hid, "update", keys=["OWED"])
