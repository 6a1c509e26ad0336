"""The record of a host and what is derived for it."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from onecore.kinds.cluster import RESERVED, RESERVED_FORM
from onecore.kinds.kind import KINDS, tree_of
from onecore.lifecycle.core import Core
from onecore.pool.record import Object, Record
from onecore.wire.messages import Sample


@dataclass(frozen=True, slots=True)
class Host(Record):
    """`total_cpu` percent, `total_mem` KB and `facts` are what monitoring found; they change seldom.

    `drain`: Unix seconds since when its VMs are moved away (flush), 0: they are not.
    """

    TABLE: ClassVar[str] = "host_pool"
    KIND: ClassVar[str] = "host"
    oid: int
    name: str
    state: int
    prev_state: int
    im_mad: str
    vm_mad: str
    cid: int
    total_cpu: int
    total_mem: int
    facts: bytes
    template: bytes
    error: str
    drain: int = 0

    def touches(self) -> tuple[Object, ...]:
        """The host and its cluster."""
        return (("host", self.oid), ("cluster", self.cid))


@dataclass(frozen=True, slots=True)
class Findings:
    """Domains that a sample shows and that should not be there, by name (kinds/host/orphans.py says which)."""

    wild: tuple[str, ...] = ()
    zombies: tuple[str, ...] = ()


@dataclass
class Samples:
    """The latest good sample of each host and VM, and what is known of hosts besides.  Moments are monotonic."""

    hosts: dict[int, Sample] = field(default_factory=dict)
    heard: dict[int, float] = field(default_factory=dict)
    """Host id -> when its last good sample came."""
    vms: dict[int, tuple[int, dict[str, object]]] = field(default_factory=dict)
    """VM id -> (time, document)."""
    pending: list[Sample] = field(default_factory=list)
    """Waiting to be written to the series."""
    spoke: dict[int, float] = field(default_factory=dict)
    """Host id -> when its last sample came, good or not, or a watch of it was last asked for."""
    told: dict[int, list[dict[str, object]]] = field(default_factory=dict)
    """Host id -> the datastores that its watch was told of."""
    broken: dict[tuple[int, str], str] = field(default_factory=dict)
    """(host id, family) -> why its driver will not watch it."""
    skewed: set[int] = field(default_factory=set)
    """Hosts whose clock is wrong; it was said."""
    found: dict[int, Findings] = field(default_factory=dict)
    """Of the few hosts that show what should not be there: each deploy looks through them."""

    def show(self, hid: int, findings: Findings) -> None:
        """What a host's latest sample shows that should not be there."""
        if findings == Findings():
            self.found.pop(hid, None)
        else:
            self.found[hid] = findings

    def ended(self, hid: int, vid: int) -> None:
        """What ran of a VM on a host, and should not, was ended since the last sample."""
        if hid in self.found:
            found = self.found[hid]
            self.show(hid, replace(found, zombies=tuple(each for each in found.zombies if each != f"one-{vid}")))

    def forget(self, hid: int) -> None:
        """Nothing is known of a host any more."""
        kept: tuple[dict[int, Any], ...] = (self.hosts, self.heard, self.spoke, self.told, self.found)
        for each in kept:
            each.pop(hid, None)
        self.skewed.discard(hid)
        for family in ("im", "vm"):
            self.broken.pop((hid, family), None)


def samples(core: Core) -> Samples:
    """The samples of CORE."""
    made: Samples = core.kinds["samples"]
    return made


def _reserved(given: str, total: int) -> int:
    if not RESERVED_FORM.match(given):
        return 0
    return int(total * float(given[:-1]) / 100) if given.endswith("%") else int(float(given or 0))


def capacity(core: Core, host: Host) -> tuple[int, int]:
    """(MAX_CPU percent, MAX_MEM KB): what there is minus what the host, or else its cluster, reserves."""
    cluster: Any = core.store.get(KINDS["cluster"].record, host.cid)
    own, theirs = tree_of(host.template), tree_of(cluster.template) if cluster else None
    out = []
    for key, total in zip(RESERVED, (host.total_cpu, host.total_mem), strict=True):
        given = own.get(key) or (theirs.get(key) if theirs is not None else "")
        out.append(total - _reserved(given, total))
    return out[0], out[1]
