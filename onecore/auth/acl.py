"""ACL rules in force: which one gives a right.  Rules only allow; what they allow together is allowed."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from onecore.wire.acl import (
    ADMIN,
    ALL,
    CLUSTER,
    CREATE,
    GROUP,
    INDIVIDUAL,
    KINDS,
    MANAGE,
    RESOURCES,
    RIGHTS,
    USE,
    Rule,
    parse,
    text,
)

__all__ = ["ADMIN", "ALL", "CLUSTER", "CREATE", "DEFAULT_RULES", "GROUP", "INDIVIDUAL", "KINDS", "MANAGE", "RESOURCES",
           "RIGHTS", "USE", "Rule", "Rules", "Shown", "parse", "text"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a kind rules give a user a right on: all of it, or these objects, those of these groups or clusters."""

    everything: bool
    ids: frozenset[int]
    groups: frozenset[int]
    clusters: frozenset[int]


class Rules:
    """The rules in force, found by whom they speak of, what kind and which right: a question looks at no others.

    Rules of other zones than ours, 0, are kept by their records only.
    """

    def __init__(self, rules: Iterable[tuple[int, Rule]] = ()) -> None:
        self._found: dict[tuple[int, int, int], dict[int, set[int]]] = {}
        for oid, rule in rules:
            self.add(oid, rule)

    def add(self, oid: int, rule: Rule) -> None:
        """Rule OID is in force."""
        for cell, target in _cells(rule):
            self._found.setdefault(cell, {}).setdefault(target, set()).add(oid)

    def remove(self, oid: int, rule: Rule) -> None:
        """Rule OID is no more."""
        for cell, target in _cells(rule):
            targets = self._found[cell]
            targets[target].discard(oid)
            if not targets[target]:
                del targets[target]
                if not targets:
                    del self._found[cell]

    def allows(self, uid: int, gids: Iterable[int], right: int, kind: int, oid: int, gid: int,
               clusters: Iterable[int] = ()) -> int | None:
        """The rule that gives RIGHT on the object (OID -1: on creating one), None when there is none."""
        for subject in _subjects(uid, gids):
            targets = self._found.get((subject, kind, right))
            if targets is None:
                continue
            for target in (ALL, INDIVIDUAL | oid if oid >= 0 else ALL, GROUP | gid if gid >= 0 else ALL,
                           *(CLUSTER | cluster for cluster in clusters)):
                if target in targets:
                    return min(targets[target])
        return None

    def shown(self, uid: int, gids: Iterable[int], kind: int, right: int = USE) -> Shown:
        """What of KIND the rules give a user RIGHT on."""
        targets = {target for subject in _subjects(uid, gids)
                   for target in self._found.get((subject, kind, right), ())}

        def of(form: int) -> frozenset[int]:
            return frozenset(target & 0xFFFFFFFF for target in targets if target & form)
        return Shown(ALL in targets, of(INDIVIDUAL), of(GROUP), of(CLUSTER))


def _subjects(uid: int, gids: Iterable[int]) -> tuple[int, ...]:
    return ALL, INDIVIDUAL | uid, *(GROUP | gid for gid in gids)


def _cells(rule: Rule) -> list[tuple[tuple[int, int, int], int]]:
    """Where a rule is kept: (whom, kind, right), and on what."""
    if rule.zone not in (ALL, INDIVIDUAL | 0):
        return []
    target = rule.resource & ~KINDS
    return [((rule.user, kind, right), ALL if target & ALL else target)
            for kind in RESOURCES.values() if rule.resource & kind
            for right in RIGHTS.values() if rule.rights & right]


def _rule(user: int, kinds: str, target: int, rights: int, zone: int) -> Rule:
    return Rule(user, sum(RESOURCES[k] for k in kinds.split("+")) | target, rights, zone)


DEFAULT_RULES = (
    _rule(GROUP | 1, "VM+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VROUTER+VMGROUP+BACKUPJOB", ALL, CREATE, ALL),
    _rule(ALL, "ZONE", ALL, USE, ALL),
    _rule(ALL, "MARKETPLACE+MARKETPLACEAPP", ALL, USE, ALL),
    _rule(GROUP | 1, "HOST", ALL, MANAGE, INDIVIDUAL | 0),
    _rule(GROUP | 1, "NET+DATASTORE", ALL, USE, INDIVIDUAL | 0),
)
"""What a new cloud starts with: users create VMs and their parts, use networks and datastores, deploy on hosts."""
