"""Hosts, datastores, clusters and VMs as the match-maker sees them, read from oned's XML bodies."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onecore.wire import affinity
from onecore.wire.affinity import Group, Role
from onecore.wire.states import DatastoreType, HostState, Lcm, VmState
from onecore.wire.xmlbody import Body
from scheduler.columns import Leaves, leaves, number

HOLDING = frozenset((VmState.ACTIVE, VmState.SUSPENDED, VmState.POWEROFF))
"""States in which a VM keeps its capacity on its host."""
ARRIVING = frozenset((Lcm.LCM_INIT, Lcm.PROLOG))
MOVABLE = frozenset(((VmState.ACTIVE, Lcm.RUNNING), (VmState.ACTIVE, Lcm.UNKNOWN), (VmState.POWEROFF, Lcm.LCM_INIT)))
"""(STATE, LCM_STATE) in which a VM that is marked RESCHED is moved."""
MIGRATING = frozenset(lcm for lcm in Lcm if "MIGRATE" in lcm.name)
"""States of a VM that is on its way to another host."""
_KEPT_DISKS = frozenset(("5", "6", "9"))
"""History actions undeploy, undeploy-hard and stop: the disks wait in the datastore where they were."""
_MEASURED = ("HOST_SHARE/", "MONITORING/")
_HOST_SKIP = frozenset(("VMS",))
_DATASTORE_SKIP = frozenset(("IMAGES", "PERMISSIONS"))


@dataclass(frozen=True, slots=True)
class Host:
    """A host: capacity in percent of a core and KB, free space in MB by datastore id."""

    id: int
    name: str
    state: int
    cluster: int
    cpu: int
    memory: int
    stores: Mapping[int, float]
    attributes: Leaves = field(repr=False)

    @property
    def answers(self) -> bool:
        """Can guests on it be asked and ended?"""
        usable = self.state in (HostState.MONITORED, HostState.DISABLED)
        return usable and not any(self.attributes.get("TEMPLATE/ERROR", ()))

    def differs(self, other: Host) -> bool:
        """Is OTHER this host with something else changed than what it has free and what is measured?"""
        mine = self.id, self.name, self.state, self.cluster, self.cpu, self.memory, self.stores
        if mine != (other.id, other.name, other.state, other.cluster, other.cpu, other.memory, other.stores):
            return True
        return any(self.attributes.get(path) != other.attributes.get(path)
                   for path in self.attributes.keys() | other.attributes.keys() if not path.startswith(_MEASURED))


@dataclass(frozen=True, slots=True)
class Datastore:
    """A datastore; `free` in MB, NaN when it is not known, `shared` when all hosts see the same space."""

    id: int
    name: str
    system: bool
    enabled: bool
    clusters: frozenset[int]
    shared: bool
    free: float
    partners: frozenset[int]
    """COMPATIBLE_SYS_DS: the system datastores that images from here may go to; none named is all."""
    attributes: Leaves = field(repr=False)
    copies: bool = False
    """LN_TARGET is SYSTEM: persistent disks are copied here too, as hosts do not see their images."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster; PRIORITY is for those of its hosts that have none.

    `goal` is what its plans are for: PACK, BALANCE or "" (the match-maker's own policy); `most` the most moves of one,
    -1: as many as there are.
    """

    id: int
    name: str
    priority: str
    goal: str = ""
    most: int = -1


@dataclass(frozen=True, slots=True)
class Demand:
    """What a VM asks for.  Identical VMs share one: CPU in percent of a core, memory in KB, disk in MB."""

    cpu: int
    memory: int
    disk: int = 0
    automatic: str = ""
    requirements: str = ""
    rank: str = ""
    store_automatic: str = ""
    store_requirements: str = ""
    store_rank: str = ""
    sources: frozenset[int] = frozenset()
    """Datastores that its images come from."""
    store: int = -1
    """The only system datastore that will do, because its disks are there; -1: any."""
    saved: int = 0
    """MB of persistent disks, which lie in a system datastore only where they are copied."""

    @property
    def length(self) -> int:
        """Characters of its expressions."""
        return sum(map(len, (self.automatic, self.requirements, self.rank, self.store_automatic,
                             self.store_requirements, self.store_rank)))


@dataclass(frozen=True, slots=True)
class Vm:
    """A VM; `host` and `datastore` are its last ones, -1 when it never had any."""

    id: int
    state: int
    lcm: int
    host: int
    datastore: int
    demand: Demand
    priority: float = 0.0
    message: str = ""
    resched: bool = False
    placing: bool = False
    """A deploy or migration of ours is under way: it counts where it goes, whatever oned says of its state."""
    to: int = -1
    """Where we move it: it counts there and on `host`."""
    group: int = -1
    """Its VM group, in which it has `role`; -1: it is in none."""
    role: str = ""

    @property
    def moves(self) -> bool:
        """Does it wait to be moved to another host?"""
        return self.resched and self.host >= 0 and (self.state, self.lcm) in MOVABLE

    @property
    def waits(self) -> bool:
        """Does it wait for a host?  All that it asks for is read then."""
        return self.state == VmState.PENDING or self.moves

    @property
    def migrating(self) -> bool:
        """Is it on its way to another host, by oned?"""
        return self.state == VmState.ACTIVE and self.lcm in MIGRATING

    @property
    def under_way(self) -> tuple[int, ...]:
        """The hosts that take part in its migration."""
        failed = self.migrating and Lcm(self.lcm).name.endswith("_FAILURE")
        if failed or not (self.migrating or self.to >= 0):
            return ()
        return (self.host, self.to) if self.to >= 0 else (self.host,)

    @property
    def holds(self) -> bool:
        """Does it take capacity on `host`?"""
        return self.host >= 0 and (self.placing or self.state in HOLDING)

    @property
    def arriving(self) -> bool:
        """Are its disks still on their way to `host`, so that what is monitored does not show them yet?"""
        deploying = self.placing and self.to < 0
        return deploying or (self.state == VmState.ACTIVE and self.lcm in ARRIVING)

    @property
    def counts(self) -> tuple[tuple[int, bool], ...]:
        """The hosts whose capacity it takes; of each, whether what is monitored there does not show its disks yet."""
        here = ((self.host, self.arriving),) if self.holds else ()
        return (*here, (self.to, True)) if self.to >= 0 else here


@dataclass(slots=True)
class Use:
    """What the VMs on one host take: CPU in percent of a core, memory in KB."""

    cpu: int = 0
    memory: int = 0
    vms: set[int] = field(default_factory=set)
    fresh: dict[int, Vm] = field(default_factory=dict)
    """VMs that the host's monitored figures do not show yet."""
    moves: set[int] = field(default_factory=set)
    """VMs that migrate to or from here."""


def _whole(body: Body, path: str, otherwise: int = 0) -> int:
    return int(number(body.findtext(path) or "", otherwise))


def _id_set(text: str) -> frozenset[int]:
    return frozenset(int(part) for part in text.replace(",", " ").split() if part.isdecimal())


def host(body: Body) -> Host:
    """A HOST body."""
    stores = {_whole(ds, "ID"): number(ds.findtext("FREE_MB") or "") for ds in body.findall("HOST_SHARE/DATASTORES/DS")
              if _whole(ds, "TOTAL_MB") > 0}
    return Host(
        _whole(body, "ID"), body.findtext("NAME") or "", _whole(body, "STATE"), _whole(body, "CLUSTER_ID", -1),
        _whole(body, "HOST_SHARE/MAX_CPU"), _whole(body, "HOST_SHARE/MAX_MEM"), stores, leaves(body, _HOST_SKIP))


def datastore(body: Body) -> Datastore:
    """A DATASTORE body."""
    known = _whole(body, "TOTAL_MB") > 0
    return Datastore(
        _whole(body, "ID"), body.findtext("NAME") or "", _whole(body, "TYPE") == DatastoreType.SYSTEM,
        _whole(body, "STATE") == 0, frozenset(int(e.text or -1) for e in body.findall("CLUSTERS/ID")),
        (body.findtext("TEMPLATE/SHARED") or "").upper() == "YES",
        number(body.findtext("FREE_MB") or "") if known else float("nan"),
        _id_set(body.findtext("TEMPLATE/COMPATIBLE_SYS_DS") or ""), leaves(body, _DATASTORE_SKIP),
        (body.findtext("TEMPLATE/LN_TARGET") or "").upper() == "SYSTEM")


def cluster(body: Body) -> Cluster:
    """A CLUSTER body."""
    return Cluster(_whole(body, "ID"), body.findtext("NAME") or "", body.findtext("TEMPLATE/PRIORITY") or "",
                   (body.findtext("TEMPLATE/ONE_DRS/POLICY") or "").upper(),
                   _whole(body, "TEMPLATE/ONE_DRS/MIGRATION_THRESHOLD", -1))


def group(body: Body) -> tuple[Group, list[int]]:
    """A VM_GROUP body: what it rules, and the VMs in it."""
    roles = [Role(_whole(one, "ID"), one.findtext("NAME") or "", one.findtext("POLICY") or affinity.NONE,
                  affinity.hosts(one.findtext("HOST_AFFINED") or ""),
                  affinity.hosts(one.findtext("HOST_ANTI_AFFINED") or "")) for one in body.findall("ROLES/ROLE")]
    together, apart = (tuple(affinity.rule(one.text or "") for one in body.findall(f"TEMPLATE/{word}") if one.text)
                       for word in (affinity.AFFINED, affinity.ANTI_AFFINED))
    vms = [int(vm) for one in body.findall("ROLES/ROLE") for vm in (one.findtext("VMS") or "").split(",") if vm]
    return Group(_whole(body, "ID"), body.findtext("NAME") or "", tuple(roles), together, apart), vms


def vm(body: Body, in_full: bool = False) -> Vm:
    """A VM body, short or extended; what is only read for placing is left out of a VM that does not wait for it.

    IN_FULL: of any VM, as if it was to be moved.
    """
    records = body.findall("HISTORY_RECORDS/HISTORY")
    last = records[-1] if records else None
    state, lcm = _whole(body, "STATE"), _whole(body, "LCM_STATE")
    at, store = (-1, -1) if last is None else (_whole(last, "HID", -1), _whole(last, "DS_ID", -1))
    resched = _whole(body, "RESCHED") == 1
    moves = resched and (state, lcm) in MOVABLE
    waits = state == VmState.PENDING or moves
    keeps = moves or in_full or (waits and last is not None and (
        last.findtext("ACTION") in _KEPT_DISKS or _whole(body, "PREV_STATE") in (VmState.STOPPED, VmState.UNDEPLOYED)))
    return Vm(
        _whole(body, "ID"), state, lcm, at, store, _demand(body, waits or in_full, store if keeps else -1),
        number(body.findtext("USER_TEMPLATE/USER_PRIORITY") or "", 0.0),
        (body.findtext("USER_TEMPLATE/SCHED_MESSAGE") or "") if waits else "", resched,
        group=_whole(body, "TEMPLATE/VMGROUP/VMGROUP_ID", -1), role=body.findtext("TEMPLATE/VMGROUP/ROLE") or "")


def _demand(body: Body, waits: bool, store: int) -> Demand:
    cpu = round(number(body.findtext("TEMPLATE/CPU") or "", 0.0) * 100)
    memory = _whole(body, "TEMPLATE/MEMORY") * 1024
    disk, saved = _disk_mb(body)
    if not waits:
        return Demand(cpu, memory, disk, saved=saved)

    def text(name: str) -> str:
        return body.findtext(f"USER_TEMPLATE/{name}") or body.findtext(f"TEMPLATE/{name}") or ""

    return Demand(
        cpu, memory, disk, body.findtext("TEMPLATE/AUTOMATIC_REQUIREMENTS") or "", text("SCHED_REQUIREMENTS"),
        text("SCHED_RANK"), body.findtext("TEMPLATE/AUTOMATIC_DS_REQUIREMENTS") or "", text("SCHED_DS_REQUIREMENTS"),
        text("SCHED_DS_RANK"), frozenset(_whole(one, "DATASTORE_ID") for one in body.findall("TEMPLATE/DISK")
                                         if one.find("DATASTORE_ID") is not None), store, saved)


def _disk_mb(body: Body) -> tuple[int, int]:
    """MB of the VM's disks that will lie in any system datastore, and MB of those that lie only in one that copies."""
    disks = [(_whole(disk, "SIZE"), _place(disk)) for disk in body.findall("TEMPLATE/DISK")]
    always, copied = (sum(size for size, place in disks if place == wanted) for wanted in ("always", "copied"))
    return always, copied


def _place(disk: Body) -> str:
    """Where a disk takes room: in a system datastore always, only in one where it is copied, or never."""
    if not (disk.findtext("IMAGE_ID") or disk.findtext("IMAGE")):
        return "always"
    if (disk.findtext("CLONE") or "YES").upper() == "YES":
        return "always" if (disk.findtext("CLONE_TARGET") or "SYSTEM").upper() == "SYSTEM" else "never"
    return "always" if (disk.findtext("LN_TARGET") or "NONE").upper() == "SYSTEM" else "copied"
