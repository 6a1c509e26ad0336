"""VM groups in a match: where a VM may be for the sake of others, and which VMs must be placed with it.

A VM of an affined set for which no host is chosen yet counts with all of the set that wait: the first one must find
a host that takes them all.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

import numpy as np

from onecore.wire.affinity import Group, Place, Ruling, numbers, ruling
from scheduler.bodies import Vm
from scheduler.columns import Bools, Ints
from scheduler.plan import Waiting

Key = tuple[int, frozenset[str]]
"""An affined set: the group, and the roles that share a host."""


@dataclass(frozen=True, slots=True)
class Part:
    """Hosts that one rule of a group forbids, and how a refusal tells it after their number."""

    out: Bools
    one: str
    many: str
    last: bool = False
    """Told after all else that rules a host out."""


def place_of(vm: Vm) -> Place:
    """Where a VM counts; one that waits to be moved stays nowhere until a host is chosen."""
    stays = vm.to if vm.to >= 0 else -1 if vm.moves or not vm.holds else vm.host
    return Place(vm.id, tuple(dict.fromkeys(host for host, _ in vm.counts)), stays)


class Company:
    """The groups of a snapshot as one match changes them; only those asked for are looked at."""

    def __init__(self, groups: Mapping[int, Group], members: Mapping[int, Set[int]], vms: Mapping[int, Vm]) -> None:
        self._groups, self._members, self._vms = groups, members, vms
        self._places: dict[int, dict[str, dict[int, Place]]] = {}

    def ruling(self, vm: Waiting) -> Ruling | None:
        """What its group says of the VM's hosts; None when it is in none."""
        group = self._group(vm.group, vm.role)
        return ruling(group, vm.role, self._of(vm.group), vm.id) if group else None

    def take(self, vm: Waiting, host: int) -> None:
        """The VM was given a host."""
        if self._group(vm.group, vm.role):
            hosts = (vm.source, host) if vm.source >= 0 else (host,)
            self._of(vm.group).setdefault(vm.role, {})[vm.id] = Place(vm.id, hosts, host)

    def mates(self, vm: Waiting) -> list[Vm]:
        """The others of its affined set that wait."""
        found = self._set(vm)
        if found is None:
            return []
        places = self._of(vm.group)
        ids = sorted(place.vm for role in found[1] for place in places.get(role, {}).values() if place.stays < 0)
        return [self._vms[one] for one in ids if one != vm.id and self._vms[one].waits]

    def in_order(self, waiting: Iterable[Waiting]) -> Iterator[Waiting]:
        """By priority and age; the VMs of an affined set one after the other, when the first one's turn comes."""
        queue = sorted(waiting, key=lambda vm: (-vm.priority, vm.id))
        sets: dict[Key, list[Waiting]] = {}
        for vm in queue:
            if found := self._set(vm):
                sets.setdefault(found, []).append(vm)
        for vm in queue:
            if found := self._set(vm):
                yield from sets.pop(found, ())
            else:
                yield vm

    def _set(self, vm: Waiting) -> Key | None:
        group = self._group(vm.group, vm.role)
        bundle = group.bundle(vm.role) if group else frozenset[str]()
        return (vm.group, bundle) if bundle else None

    def _group(self, gid: int, role: str) -> Group | None:
        group = self._groups.get(gid) if gid >= 0 else None
        return group if group and role in group.by_name else None

    def _of(self, gid: int) -> dict[str, dict[int, Place]]:
        if gid not in self._places:
            made = self._places[gid] = {}
            for vm in map(self._vms.__getitem__, self._members.get(gid, ())):
                made.setdefault(vm.role, {})[vm.id] = place_of(vm)
        return self._places[gid]


def parts(ids: Ints, names: Callable[[int], str], found: Ruling) -> Iterator[Part]:
    """What FOUND forbids of the hosts with these IDS, in the order in which it is told."""
    label = found.label

    def among(hosts: Iterable[int]) -> Bools:
        return np.isin(ids, list(hosts))

    if found.only is not None:
        rest = f"not in HOST_AFFINED ({numbers(found.only)}) of {label}"
        yield Part(~among(found.only), f"is {rest}", f"are {rest}")
    if found.never:
        rest = f"in HOST_ANTI_AFFINED ({numbers(found.never)}) of {label}"
        yield Part(among(found.never), f"is {rest}", f"are {rest}")
    if found.near:
        host, vm = min(found.near.items())
        rest = f"not host {names(host)} of VM {vm}, with which {label}, is affined"
        yield Part(~among(found.near), f"is {rest}", f"are {rest}")
    if found.far:
        vms = ", ".join(f"VM {vm}" for vm in sorted(set(found.far.values()))[:3])
        yield Part(among(found.far), f"has a VM with which {label}, is anti-affined ({vms})",
                   f"have a VM with which {label}, is anti-affined ({vms})")
