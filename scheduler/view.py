"""Hosts and system datastores as numpy columns: what a match looks at.  A view is a copy; the match may change it."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from scheduler.bodies import Cluster, Datastore, Demand, Host, Use
from scheduler.columns import Bools, Floats, Ints, Leaves, Live, Table
from scheduler.company import Company
from scheduler.evaluate import holds
from scheduler.requirements import Expression

MANY_MASKS = 2048


class Fixed:
    """The columns that only change when a host or a datastore does; rows are in the order of ids."""

    def __init__(self, hosts: Iterable[Host], datastores: Iterable[Datastore], clusters: Mapping[int, Cluster]) -> None:
        self.hosts = sorted(hosts, key=lambda host: host.id)
        self.stores = sorted((ds for ds in datastores if ds.system), key=lambda ds: ds.id)
        self.partners = {ds.id: ds.partners for ds in datastores if ds.partners}
        self.host_ids = np.array([host.id for host in self.hosts], dtype=np.int64)
        self.store_ids = np.array([ds.id for ds in self.stores], dtype=np.int64)
        self.state = np.array([host.state for host in self.hosts], dtype=np.int64)
        self.max_cpu = np.array([host.cpu for host in self.hosts], dtype=np.int64)
        self.max_memory = np.array([host.memory for host in self.hosts], dtype=np.int64)
        self.host_table = Table([_with_priority(host, clusters) for host in self.hosts])
        self.store_table = Table([ds.attributes for ds in self.stores])
        self.enabled = np.array([ds.enabled for ds in self.stores], dtype=np.bool_)
        self.shared = np.array([ds.shared for ds in self.stores], dtype=np.bool_)
        self.copies = np.array([ds.copies for ds in self.stores], dtype=np.bool_)
        self.reach = self._reach()
        self.space, self.common = self._space()
        self._masks: dict[tuple[int, Expression], Bools] = {}

    def name_of(self, host: int) -> str:
        """The name of a host, its id where there is none of it."""
        return next((one.name for one in self.hosts if one.id == host), str(host))

    def mask(self, table: Table, tree: Expression) -> Bools:
        """Which rows of TABLE (one of the two here) meet TREE, remembered."""
        key = id(table), tree
        if key not in self._masks:
            if len(self._masks) > MANY_MASKS:
                self._masks.clear()
            self._masks[key] = holds(tree, table)
        return self._masks[key]

    def _reach(self) -> Bools:
        """[host, store]: are they in one cluster?"""
        places = np.array([host.cluster for host in self.hosts], dtype=np.int64)
        return np.array([np.isin(places, list(ds.clusters)) for ds in self.stores],
                        dtype=np.bool_).reshape(len(self.stores), len(self.hosts)).T

    def _space(self) -> tuple[Floats, Bools]:
        """([host, store] monitored free MB, infinite where nobody knows; is a store's figure common to all hosts?).

        A datastore marked SHARED has one figure; else a host's own figure for it is the better one.
        """
        space = np.full((len(self.hosts), len(self.stores)), np.inf)
        common = np.zeros(len(self.stores), dtype=np.bool_)
        for column, ds in enumerate(self.stores):
            known = ds.free == ds.free
            told = [host.stores.get(ds.id, np.nan) for host in self.hosts]
            common[column] = known and (ds.shared or bool(np.isnan(told).all()))
            if common[column]:
                space[:, column] = ds.free
            else:
                space[:, column] = np.nan_to_num(told, nan=ds.free if known else np.inf, posinf=np.inf)
        return space, common


def _with_priority(host: Host, clusters: Mapping[int, Cluster]) -> Leaves:
    """The host's attributes, with its cluster's PRIORITY if it has none of its own."""
    cluster = clusters.get(host.cluster)
    if "TEMPLATE/PRIORITY" in host.attributes or cluster is None or not cluster.priority:
        return host.attributes
    return {**host.attributes, "TEMPLATE/PRIORITY": (cluster.priority,)}


@dataclass(slots=True)
class View:
    """Fixed columns, and the ones that every placement changes: percent of a core, KB, MB by [host, store]."""

    fixed: Fixed
    used_cpu: Ints
    used_memory: Ints
    running: Ints
    idle_cpu: Floats
    idle_memory: Floats
    space: Floats
    vms: list[set[int]]
    hosts: Live
    moves: Ints
    """Migrations that each host takes part in."""
    most_moves: int = 2
    """So many it may."""
    company: Company = field(default_factory=lambda: Company({}, {}, {}))
    """The VM groups."""

    @property
    def free_cpu(self) -> Ints:
        """Percent of a core that is not promised to a VM, by host."""
        return self.fixed.max_cpu - self.used_cpu

    @property
    def free_memory(self) -> Ints:
        """KB that are not promised to a VM, by host."""
        return self.fixed.max_memory - self.used_memory

    def stores(self, row: int) -> Live:
        """The system datastores as the host in ROW sees them."""
        free = self.space[row]
        return Live(self.fixed.store_table, {"FREE_MB": np.where(np.isinf(free), np.nan, free)}, {})


def view_of(fixed: Fixed, use: Mapping[int, Use], most_moves: int, company: Company) -> View:
    """A view of FIXED with what VMs USE by host id, and their groups."""
    uses = [use.get(host.id) or Use() for host in fixed.hosts]
    used_cpu = np.array([u.cpu for u in uses], dtype=np.int64)
    used_memory = np.array([u.memory for u in uses], dtype=np.int64)
    running = np.array([len(u.vms) for u in uses], dtype=np.int64)
    idle_cpu, idle_memory = fixed.host_table.numbers("FREE_CPU").copy(), fixed.host_table.numbers("FREE_MEMORY").copy()
    space = fixed.space.copy()
    columns = {store: column for column, store in enumerate(fixed.store_ids.tolist())}
    for row, one in enumerate(uses):
        for vm in one.fresh.values():
            idle_cpu[row] -= vm.demand.cpu
            idle_memory[row] -= vm.demand.memory
            column = columns.get(vm.datastore)
            if column is not None:
                take_space(fixed, space, row, column, int(needed(fixed, vm.demand)[column]))
    vms = [u.vms for u in uses]
    live = Live(fixed.host_table, {
        "CPU_USAGE": used_cpu, "MEM_USAGE": used_memory, "RUNNING_VMS": running, "FREE_CPU": idle_cpu,
        "FREE_MEMORY": idle_memory}, {"CURRENT_VMS": vms})
    moves = np.array([len(u.moves) for u in uses], dtype=np.int64)
    return View(fixed, used_cpu, used_memory, running, idle_cpu, idle_memory, space, vms, live, moves, most_moves,
                company)


def needed(fixed: Fixed, demand: Demand) -> Ints:
    """MB that the VM's disks will take, by store: nothing of a shared one where they are already."""
    found = np.where(fixed.copies, demand.disk + demand.saved, demand.disk)
    return np.where(fixed.shared & (fixed.store_ids == demand.store), 0, found)


def take_space(fixed: Fixed, space: Floats, row: int, column: int, megabytes: int) -> None:
    """Take MEGABYTES for a VM on host ROW in store COLUMN: from all hosts' figures if they are one."""
    if fixed.common[column]:
        space[:, column] -= megabytes
    else:
        space[row, column] -= megabytes
