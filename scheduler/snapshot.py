"""The cloud as the match-maker knows it: objects by id, and what its VMs take of each host.

It is read once and then kept up by differences.  Usage is summed from the VMs, so that no host is read again because
a VM changed.  No I/O here: reader.py brings the bodies.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from onecore.wire.affinity import Group
from onecore.wire.states import Lcm, VmState
from scheduler.bodies import Cluster, Datastore, Demand, Host, Use, Vm
from scheduler.company import Company
from scheduler.view import Fixed, View, view_of

MANY_DEMANDS = 16384
LONG_DEMAND = 4096
"""Characters of a demand that is not shared: what a user writes again and again would stay here."""


class Snapshot:
    """The model.  `grown` are the hosts with more room, `changed` tells that hosts or datastores are not as they were,
    since `settle` was last called; `moved` that a migration ended, and `regrouped` in which VM groups a VM is not
    as it was, until who reads it takes it back.  `members` are the VMs of a group."""

    def __init__(self) -> None:
        self.hosts: dict[int, Host] = {}
        self.datastores: dict[int, Datastore] = {}
        self.clusters: dict[int, Cluster] = {}
        self.vms: dict[int, Vm] = {}
        self.groups: dict[int, Group] = {}
        self.members: dict[int, set[int]] = {}
        self.regrouped: set[int] = set()
        self.use: dict[int, Use] = {}
        self.grown: set[int] = set()
        self.changed = True
        self.moved = False
        self._fixed: Fixed | None = None
        self._demands: dict[Demand, Demand] = {}

    def put_host(self, host: Host) -> None:
        """A host as it is now."""
        known = self.hosts.get(host.id)
        self.changed |= known is None or known.differs(host)
        self.hosts[host.id] = host
        use = self.use.get(host.id)
        if use:
            use.fresh = {vm.id: vm for vm in map(self.vms.__getitem__, use.fresh) if (host.id, True) in vm.counts}
        self._fixed = None

    def drop_host(self, host: int) -> None:
        """A host is gone."""
        if self.hosts.pop(host, None):
            self._fixed, self.changed = None, True

    def put_hosts(self, hosts: Iterable[Host]) -> None:
        """All hosts there are."""
        found = {host.id: host for host in hosts}
        for gone in self.hosts.keys() - found.keys():
            self.drop_host(gone)
        for host in found.values():
            self.put_host(host)

    def put_datastores(self, datastores: Iterable[Datastore]) -> None:
        """All datastores there are."""
        found = {datastore.id: datastore for datastore in datastores}
        self.changed |= found != self.datastores
        self.datastores, self._fixed = found, None

    def put_clusters(self, clusters: Iterable[Cluster]) -> None:
        """All clusters there are."""
        found = {cluster.id: cluster for cluster in clusters}
        self.changed |= found != self.clusters
        self.clusters, self._fixed = found, None

    def put_groups(self, groups: Iterable[Group]) -> None:
        """All VM groups there are; which VMs are in them is known from the VMs."""
        found = {group.id: group for group in groups}
        self.changed |= found != self.groups
        self.groups = found

    def put_vm(self, vm: Vm) -> None:
        """A VM as it is now; a deploy or migration of ours that is under way is not forgotten."""
        known = self.vms.get(vm.id)
        vm = _followed(known, vm) if known else vm
        self._set(replace(vm, demand=self._shared(vm.demand)))

    def _shared(self, demand: Demand) -> Demand:
        if demand.length > LONG_DEMAND:
            return demand
        if len(self._demands) > MANY_DEMANDS:
            self._demands.clear()
        return self._demands.setdefault(demand, demand)

    def drop_vm(self, vm: int) -> None:
        """A VM is gone."""
        known = self.vms.pop(vm, None)
        if known:
            self._release(known)
            self._count_moves(known.under_way, (), vm)
            self._leave(known)

    def set_state(self, vm: int, state: int, lcm: int) -> None:
        """A VM changed its state and nothing else."""
        known = self.vms[vm]
        self._set(replace(known, state=state, lcm=lcm, placing=known.placing and state == VmState.PENDING))

    def place(self, vm: int, host: int, datastore: int) -> None:
        """A deploy begins: the VM counts on the host from now on."""
        self._set(replace(self.vms[vm], host=host, datastore=datastore, placing=True))

    def move(self, vm: int, host: int) -> None:
        """A migration is asked for: the VM counts on both hosts from now on."""
        self._set(replace(self.vms[vm], to=host, placing=True))

    def placed(self, vm: int) -> None:
        """The deploy or migration was accepted."""
        known = self.vms.get(vm)
        if known and known.placing and known.to >= 0:
            self._set(replace(known, state=int(VmState.ACTIVE), lcm=int(Lcm.MIGRATE), placing=False, resched=False))
        elif known and known.placing:
            self._set(replace(known, state=int(VmState.ACTIVE), lcm=0, placing=False, message=""))

    def unplace(self, vm: int) -> None:
        """The deploy or migration was not accepted or not sent: the VM waits again."""
        known = self.vms.get(vm)
        if known and known.placing:
            self._set(replace(known, placing=False, to=-1))

    def settle(self) -> tuple[set[int], bool]:
        """(hosts with more room, did hosts or datastores change) since the last call."""
        told = self.grown, self.changed
        self.grown, self.changed = set(), False
        return told

    def most_free(self, hosts: Iterable[int]) -> tuple[int, int]:
        """The most CPU (percent of a core) and the most memory (KB) that any of HOSTS has free."""
        known = [(self.hosts[host], self.use.get(host) or Use()) for host in hosts if host in self.hosts]
        return (max((host.cpu - use.cpu for host, use in known), default=-1),
                max((host.memory - use.memory for host, use in known), default=-1))

    def view(self, most_moves: int = 2) -> View:
        """The columns to decide on, with at most so many migrations a host; changing them changes nothing here."""
        if self._fixed is None:
            self._fixed = Fixed(self.hosts.values(), self.datastores.values(), self.clusters)
        return view_of(self._fixed, self.use, most_moves, Company(self.groups, self.members, self.vms))

    def _set(self, vm: Vm) -> None:
        known = self.vms.get(vm.id)
        self.vms[vm.id] = vm
        self._join(known, vm)
        counts = vm.counts
        if known and known.demand == vm.demand and [h for h, _ in known.counts] == [h for h, _ in counts]:
            for host, fresh in counts:
                if fresh or vm.id in self.use[host].fresh:
                    self.use[host].fresh[vm.id] = vm
        else:
            if known:
                self._release(known)
            self._take(vm)
        self._count_moves(known.under_way if known else (), vm.under_way, vm.id)

    def _join(self, known: Vm | None, vm: Vm) -> None:
        """Keep who is in which VM group, and whether that matters to the others in it."""
        if vm.group < 0 and (known is None or known.group < 0):
            return
        if known and known.group != vm.group:
            self._leave(known)
        if vm.group >= 0:
            self.members.setdefault(vm.group, set()).add(vm.id)
            if known is None or _in_company(known) != _in_company(vm):
                self.regrouped.add(vm.group)

    def _leave(self, vm: Vm) -> None:
        if vm.group >= 0:
            self.members.get(vm.group, set()).discard(vm.id)
            self.regrouped.add(vm.group)

    def _take(self, vm: Vm) -> None:
        for host, fresh in vm.counts:
            use = self.use.setdefault(host, Use())
            use.cpu += vm.demand.cpu
            use.memory += vm.demand.memory
            use.vms.add(vm.id)
            if fresh:
                use.fresh[vm.id] = vm

    def _release(self, vm: Vm) -> None:
        for host, _ in vm.counts:
            use = self.use[host]
            use.cpu -= vm.demand.cpu
            use.memory -= vm.demand.memory
            use.vms.discard(vm.id)
            use.fresh.pop(vm.id, None)
            self.grown.add(host)

    def _count_moves(self, before: tuple[int, ...], now: tuple[int, ...], vm: int) -> None:
        """The VM's migration is between the hosts NOW, it was between those BEFORE."""
        if before == now:
            return
        for host in before:
            self.use[host].moves.discard(vm)
            self.moved = True
        for host in now:
            self.use.setdefault(host, Use()).moves.add(vm)


def _in_company(vm: Vm) -> tuple[object, ...]:
    """What the others of its group look at."""
    return vm.group, vm.role, vm.counts, vm.to, vm.waits, vm.demand


def _followed(known: Vm, vm: Vm) -> Vm:
    """VM as it was read, with what we know of our own: where it goes, until oned shows it there or back."""
    if known.to < 0:
        asked = known.placing and vm.state == VmState.PENDING
        return replace(vm, host=known.host, datastore=known.datastore, placing=True) if asked else vm
    if vm.host != known.host:
        return vm
    if vm.migrating:
        return replace(vm, to=known.to, demand=known.demand)
    return replace(vm, to=known.to, placing=True) if known.placing and vm.moves else vm
