"""<HOST>."""
from __future__ import annotations

from typing import Any

from onecore.kinds.host.record import Findings, Host, capacity, samples
from onecore.kinds.host.secrets import shown
from onecore.kinds.kind import KINDS, lookup
from onecore.kinds.restore import told
from onecore.kinds.usage import usage
from onecore.lifecycle.core import Core
from onecore.wire import xmlbody
from onecore.wire.messages import Sample
from onecore.wire.xmlrpc import escape_bytes

SEEN = ("ERROR", "HELD", "DRAINING", "CLOCK_SKEW", "TOTAL_WILDS", "WILDS", "TOTAL_ZOMBIES", "ZOMBIES")
"""What TEMPLATE shows and no row holds."""
_MOST_NAMES = 100


def body(core: Core, host: Host) -> list[bytes]:
    """The host's fragments, kept as long as what they were made of stands."""
    kept = lookup(core, "host").bodies
    made_of = (host, samples(core).hosts.get(host.oid), core.store.get(KINDS["cluster"].record, host.cid),
               usage(core).sums.version(host.oid), samples(core).found.get(host.oid), told(core))
    found = kept.get(host.oid)
    if found is None or found[0] != made_of:
        found = kept[host.oid] = (made_of, [b"".join(_body(core, host))])
    fragments: list[bytes] = found[1]
    return fragments


def _body(core: Core, host: Host) -> list[bytes]:
    cpu, memory, _, _ = usage(core).sums.of(host.oid)
    vms = usage(core).by_host.of(host.oid)
    sample = samples(core).hosts.get(host.oid)
    max_cpu, max_mem = capacity(core, host)
    cluster: Any = core.store.get(KINDS["cluster"].record, host.cid)
    head = (f"<HOST><ID>{host.oid}</ID>{xmlbody.text('NAME', host.name)}<STATE>{host.state}</STATE>"
            f"<PREV_STATE>{host.prev_state}</PREV_STATE>{xmlbody.text('IM_MAD', host.im_mad)}"
            f"{xmlbody.text('VM_MAD', host.vm_mad)}<CLUSTER_ID>{host.cid}</CLUSTER_ID>"
            f"{xmlbody.text('CLUSTER', cluster.name if cluster else '')}<HOST_SHARE><MEM_USAGE>{memory}</MEM_USAGE>"
            f"<CPU_USAGE>{cpu}</CPU_USAGE><TOTAL_MEM>{host.total_mem}</TOTAL_MEM><TOTAL_CPU>{host.total_cpu}</TOTAL_CPU>"
            f"<MAX_MEM>{max_mem}</MAX_MEM><MAX_CPU>{max_cpu}</MAX_CPU><RUNNING_VMS>{len(vms)}</RUNNING_VMS>"
            f"<VMS_THREAD>1</VMS_THREAD>{_datastores(core, host, sample)}<PCI_DEVICES></PCI_DEVICES>"
            f"<NUMA_NODES></NUMA_NODES></HOST_SHARE>{xmlbody.ids('VMS', vms)}<TEMPLATE>")
    return [escape_bytes(head), shown(host.template), host.facts,
            escape_bytes(f"{_seen(core, host, sample)}</TEMPLATE>{_monitoring(host, sample)}</HOST>")]


def _seen(core: Core, host: Host, sample: Sample | None) -> str:
    """What is wrong now: the elements of SEEN that have something to say."""
    parts = [xmlbody.text("ERROR", host.error)] if host.error else []
    if told(core):
        parts.append(xmlbody.text("HELD", told(core)))
    if host.drain:
        parts.append(xmlbody.number("DRAINING", host.drain))
    if sample is not None and sample.host.get("clock_skew") is not None:
        parts.append(f"<CLOCK_SKEW>{float(sample.host['clock_skew']):.2f}</CLOCK_SKEW>")
    found = samples(core).found.get(host.oid) or Findings()
    for name, names in (("WILDS", found.wild), ("ZOMBIES", found.zombies)):
        if names:
            shown_names = xmlbody.text(name, ", ".join(names[:_MOST_NAMES]))
            parts.append(f"<TOTAL_{name}>{len(names)}</TOTAL_{name}>{shown_names}")
    return "".join(parts)


def _datastores(core: Core, host: Host, sample: Sample | None) -> str:
    found = sample.datastores if sample else []
    each = "".join(f"<DS><FREE_MB>{d['free_mb']}</FREE_MB><ID>{d['id']}</ID><TOTAL_MB>{d['total_mb']}</TOTAL_MB>"
                   f"<USED_MB>{d['used_mb']}</USED_MB></DS>" for d in found)
    total, used, free = (sum(int(d[key]) for d in found) for key in ("total_mb", "used_mb", "free_mb"))
    return (f"<DATASTORES><DISK_USAGE>{usage(core).sums.of(host.oid)[2]}</DISK_USAGE>{each}"
            f"<FREE_DISK>{free}</FREE_DISK><MAX_DISK>{total}</MAX_DISK><USED_DISK>{used}</USED_DISK></DATASTORES>")


def _monitoring(host: Host, sample: Sample | None) -> str:
    if sample is None or sample.error:
        return "<MONITORING></MONITORING>"
    return "<MONITORING>" + record_xml(host.oid, sample.time, sample.host) + "</MONITORING>"


def record_xml(oid: int, time: int, doc: dict[str, Any]) -> str:
    """TIMESTAMP, ID, CAPACITY, SYSTEM of one sample."""
    names = ("free_cpu", "free_mem_kb", "used_cpu", "used_mem_kb", "netrx", "nettx")
    whole = {key: int(doc.get(key) or 0) for key in names}
    return (f"<TIMESTAMP>{time}</TIMESTAMP><ID>{oid}</ID><CAPACITY><FREE_CPU>{whole['free_cpu']}</FREE_CPU>"
            f"<FREE_MEMORY>{whole['free_mem_kb']}</FREE_MEMORY><USED_CPU>{whole['used_cpu']}</USED_CPU>"
            f"<USED_MEMORY>{whole['used_mem_kb']}</USED_MEMORY></CAPACITY>"
            f"<SYSTEM><NETRX>{whole['netrx']}</NETRX><NETTX>{whole['nettx']}</NETTX></SYSTEM>")
