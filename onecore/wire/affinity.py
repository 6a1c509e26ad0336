"""VM groups as values: roles, the rules between them, and what both mean for where a VM may run.  Pure.

The core checks groups and asked-for hosts with it, the match-maker finds hosts with it.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

AFFINED, ANTI_AFFINED, NONE = "AFFINED", "ANTI_AFFINED", "NONE"
POLICIES = (NONE, AFFINED, ANTI_AFFINED)


@dataclass(frozen=True, slots=True)
class Role:
    """A role: its POLICY, and HOST_AFFINED and HOST_ANTI_AFFINED; no HOST_AFFINED is every host."""

    id: int
    name: str
    policy: str = NONE
    hosts: frozenset[int] = frozenset()
    not_hosts: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a VM of a group is: on `hosts` (two while it moves); it will be on `stays`.

    `stays` is -1 for a VM that is on no host, and for one that waits to be moved: it goes where its group goes.
    """

    vm: int
    hosts: tuple[int, ...] = ()
    stays: int = -1


Places = Mapping[str, Mapping[int, Place]]
"""The VMs of a group: role's name -> VM's id -> where it is."""


@dataclass(frozen=True)
class Group:
    """A VM group; `together` and `apart` are its AFFINED and ANTI_AFFINED rules, as sets of roles' names."""

    id: int
    name: str
    roles: tuple[Role, ...] = ()
    together: tuple[frozenset[str], ...] = ()
    apart: tuple[frozenset[str], ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Role]:
        """The roles."""
        return {role.name: role for role in self.roles}

    def bundle(self, role: str) -> frozenset[str]:
        """The roles all VMs of which share a host with those of ROLE, which is one of them; else none."""
        found = frozenset((role,)) if self.by_name[role].policy == AFFINED else frozenset[str]()
        grown = True
        while grown:
            joined = found.union(*(rule for rule in self.together if rule & (found | {role})))
            grown, found = joined != found, joined
        return found

    def enemies(self, role: str) -> frozenset[str]:
        """The roles no VM of which may share a host with a VM of ROLE, or with those that it shares one with."""
        mine = self.bundle(role) | {role}
        found = {other for rule in self.apart if rule & mine for other in rule - mine}
        return frozenset(found | ({role} if self.by_name[role].policy == ANTI_AFFINED else set()))

    def label(self, role: str) -> str:
        """How texts name a role."""
        return f"VM group {self.id} ({self.name}), role {role}"


@dataclass(frozen=True, slots=True)
class Ruling:
    """Which hosts a VM may be on: of `only` (None: any), of those in `near` if there are any, never of the others.

    `near` and `far` say which VM is there.
    """

    label: str
    only: frozenset[int] | None = None
    never: frozenset[int] = frozenset()
    near: Mapping[int, int] = field(default_factory=dict)
    far: Mapping[int, int] = field(default_factory=dict)

    def against(self, host: int) -> str:
        """What forbids HOST, in words; "" when nothing does."""
        if self.only is not None and host not in self.only:
            return f"HOST_AFFINED of {self.label} is {numbers(self.only)}"
        if host in self.never:
            return f"HOST_ANTI_AFFINED of {self.label} is {numbers(self.never)}"
        if self.near and host not in self.near:
            there = ", ".join(f"{other} (VM {vm})" for other, vm in sorted(self.near.items())[:5])
            return f"{self.label} is affined with VMs on host {there}"
        if host in self.far:
            return f"{self.label} is anti-affined with VM {self.far[host]}, which is on it"
        return ""


def numbers(hosts: Iterable[int]) -> str:
    """Ids as an attribute gives them."""
    return ",".join(map(str, sorted(hosts)))


def ruling(group: Group, role: str, places: Places, but: int = -1) -> Ruling:
    """What GROUP rules for a VM of ROLE, of which the other VMs are at PLACES; BUT is the VM itself."""
    bundle, near, far = group.bundle(role), dict[int, int](), dict[int, int]()
    for mate in _others(places, bundle, but):
        if mate.stays >= 0:
            near.setdefault(mate.stays, mate.vm)
    for enemy in _others(places, group.enemies(role), but):
        far.update(dict.fromkeys(enemy.hosts, enemy.vm))
    chosen = [group.by_name[name] for name in bundle | {role}]
    only = [one.hosts for one in chosen if one.hosts]
    return Ruling(group.label(role), frozenset.intersection(*only) if only else None,
                  frozenset().union(*(one.not_hosts for one in chosen)), near, far)


def _others(places: Places, roles: Iterable[str], but: int) -> Iterator[Place]:
    for role in sorted(roles):
        for place in places.get(role, {}).values():
            if place.vm != but:
                yield place


def conflict(group: Group) -> str:
    """What in the group cannot be, naming the attribute; "" when it can be."""
    for word, rules in ((AFFINED, group.together), (ANTI_AFFINED, group.apart)):
        unknown = sorted(name for rule in rules for name in rule if name not in group.by_name)
        if unknown:
            return f"{word} names role {unknown[0]!r}, the roles are {', '.join(group.by_name) or 'none'}"
        if len(set(rules)) < len(rules):
            return f"{word} is given twice with the same roles"
    return _unjoinable(group) or next(filter(None, (_homeless(group, role) for role in group.roles)), "")


def _unjoinable(group: Group) -> str:
    """What would have VMs both together and apart."""
    for rule in group.together:
        apart = sorted(name for name in rule if group.by_name[name].policy == ANTI_AFFINED)
        if apart:
            return f"AFFINED names role {apart[0]}, whose POLICY is ANTI_AFFINED"
    for rule in group.apart:
        if len(rule) < 2:
            return f"ANTI_AFFINED must name two roles or more, not {', '.join(rule)!r}; a role has POLICY for itself"
        for one, other in combinations(sorted(rule), 2):
            if other in group.bundle(one):
                return f"ANTI_AFFINED names roles {one} and {other}, which AFFINED puts together"
    return ""


def _homeless(group: Group, role: Role) -> str:
    """What leaves a role without any host."""
    found = ruling(group, role.name, {})
    if found.only is not None and not found.only - found.never:
        shared = sorted(group.bundle(role.name) - {role.name})
        others = f" with what AFFINED joins it to, {', '.join(shared)}," if shared else ""
        return (f"HOST_AFFINED of role {role.name}{others} leaves no host"
                + (f" once HOST_ANTI_AFFINED {numbers(found.never)} is taken off" if found.never else ""))
    return ""


def rule(text: str) -> frozenset[str]:
    """The roles that an AFFINED or ANTI_AFFINED attribute names."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def hosts(text: str) -> frozenset[int]:
    """The ids in a list with commas; raises ValueError when it is none."""
    return frozenset(int(part) for part in text.split(",") if part.strip())
