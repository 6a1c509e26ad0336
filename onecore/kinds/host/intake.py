"""Samples as they come in: totals and facts when they changed, states of VMs, findings, numbers for the series."""
from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from onecore.kinds.host import orphans
from onecore.kinds.host.debts import debts, pay
from onecore.kinds.host.moves import ail, heal
from onecore.kinds.host.record import Host, samples
from onecore.kinds.kind import KINDS, inner_xml, tree_of
from onecore.kinds.vm.commands import is_ours
from onecore.lifecycle.core import Core
from onecore.pool.series import HOST_FIELDS, VM_FIELDS
from onecore.pool.store import Actor, Tx
from onecore.wire.messages import Doc, Sample
from onecore.wire.states import HostState
from onecore.wire.template import Tree

SKEW = 2.0
"""Seconds by which a host's clock may be wrong."""
_FACTS = {"hypervisor": "HYPERVISOR", "hostname": "HOSTNAME", "arch": "ARCH", "version": "VERSION",
          "libvirt": "LIBVIRT_VERSION", "python": "PYTHON_VERSION"}


def take(core: Core, sample: Sample) -> None:
    """Take in one sample."""
    host, kept = core.store.get(Host, sample.hid), samples(core)
    if host is None or host.state == HostState.OFFLINE:
        return
    kept.spoke[host.oid] = core.clock.monotonic()
    if sample.error:
        ail(core, host, sample.error)
        return
    news = _keep(core, host, sample)
    if debts(core, host.oid):
        pay(core, host)
        if host.state in (HostState.ERROR, HostState.INIT):  # it pays before it is ON
            return
    if (host.oid, "vm") in kept.broken:
        ail(core, host, kept.broken[host.oid, "vm"])
        return
    with core.store.tx(Actor(method="monitor")) as tx:
        host = heal(tx, core, _facts(tx, host, sample.host))
        if news:
            tx.log("host", host.oid, "update", keys=["DATASTORES"])
    core.kinds["vm.roster"](host, sample)


def _keep(core: Core, host: Host, sample: Sample) -> bool:
    """Remember SAMPLE; whether it tells of other datastores than the last, for which the match-maker waits."""
    kept, before = samples(core), samples(core).hosts.get(host.oid)
    kept.hosts[host.oid], kept.heard[host.oid] = sample, core.clock.monotonic()
    kept.pending.append(sample)
    kept.show(host.oid, orphans.findings(core, host, sample))
    for doc in sample.vms:
        if _is_there(core, doc, host.oid):
            kept.vms[doc["id"]] = (sample.time, doc)
            core.kinds["vm.bodies"].changed(doc["id"])
    _check_clock(core, host, float(sample.host.get("clock_skew") or 0))
    return {ds["id"] for ds in sample.datastores} != {ds["id"] for ds in (before.datastores if before else ())}


def _is_there(core: Core, doc: Doc, hid: int) -> bool:
    """Whether a domain is the VM itself, not something that is left of it elsewhere, or of another cloud."""
    vm: Any = core.store.get(KINDS["vm"].record, doc.get("id", -1))
    return vm is not None and vm.hid == hid and is_ours(core, doc)


def _check_clock(core: Core, host: Host, skew: float) -> None:
    """Warn once when the host's clock is wrong."""
    skewed = samples(core).skewed
    if abs(skew) > SKEW and host.oid not in skewed:
        skewed.add(host.oid)
        core.log.warning(f"the clock of host {host.oid} ({host.name}) is {abs(skew):.1f} s "
                         f"{'ahead of' if skew > 0 else 'behind'} this machine's; an NTP service on both would mend it")
    elif abs(skew) < SKEW / 2:
        skewed.discard(host.oid)


def _facts(tx: Tx, host: Host, doc: Doc) -> Host:
    tree = Tree((name.upper(), str(value)) for name, value in doc.get("attrs", {}).items())
    for key, name in _FACTS.items():
        if doc.get(key):
            tree.set(name, str(doc[key]))
    found = replace(host, total_cpu=int(doc.get("total_cpu", 0)), total_mem=int(doc.get("total_mem_kb", 0)),
                    facts=inner_xml(tree.without(tree_of(host.template).names())))
    return host if found == host else tx.put(found)


async def write_series(core: Core) -> None:
    """Write the samples that came since the last time."""
    pending, samples(core).pending = samples(core).pending, []
    hosts = [(s.hid, s.time, [float(s.host.get(f) or 0) for f in HOST_FIELDS]) for s in pending]
    vms = [(d["id"], s.time, [float(d.get(f) or 0) for f in VM_FIELDS])
           for s in pending for d in s.vms if _is_there(core, d, s.hid)]
    if hosts:
        await asyncio.to_thread(core.series.add, "host", hosts)
    if vms:
        await asyncio.to_thread(core.series.add, "vm", vms)
