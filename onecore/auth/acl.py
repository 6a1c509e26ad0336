"""ACL rules: OpenNebula's 64-bit masks, their evaluation and their text.

`<user> <RES+RES>/<id> <RIGHTS> <zone>`; ids `#n` individual, `@n` group, `%n` cluster, `*` all.  Only allows; union.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

INDIVIDUAL, GROUP, ALL, CLUSTER = 0x100000000, 0x200000000, 0x400000000, 0x800000000
USE, MANAGE, ADMIN, CREATE = 1, 2, 4, 8
RIGHTS = {"USE": USE, "MANAGE": MANAGE, "ADMIN": ADMIN, "CREATE": CREATE}
RESOURCES = {name: 0x1000000000 << bit for bit, name in enumerate((
    "VM", "HOST", "NET", "IMAGE", "USER", "TEMPLATE", "GROUP", "ACL", "DATASTORE", "CLUSTER", "DOCUMENT", "ZONE",
    "SECGROUP", "VDC", "VROUTER", "MARKETPLACE", "MARKETPLACEAPP", "VMGROUP", "VNTEMPLATE", "HOOK", "BACKUPJOB"))}
KINDS = sum(RESOURCES.values())
"""The bits of a rule's resource that say of which kinds it speaks."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as numbers."""

    user: int
    resource: int
    rights: int
    zone: int


def _id_text(mask: int) -> str:
    number = mask & 0xFFFFFFFF
    return "*" if mask & ALL else f"{'#' if mask & INDIVIDUAL else '@' if mask & GROUP else '%'}{number}"


def text(rule: Rule) -> str:
    """The rule as people write it."""
    kinds = "+".join(name for name, bit in RESOURCES.items() if rule.resource & bit)
    rights = "+".join(name for name, bit in RIGHTS.items() if rule.rights & bit)
    return f"{_id_text(rule.user)} {kinds}/{_id_text(rule.resource & ~KINDS)} {rights} {_id_text(rule.zone)}"


def parse(user: str, resource: str, rights: str, zone: str = "") -> Rule:
    """The rule of four hexadecimal numbers, as clients send them; ValueError names what is wrong.  No zone: all."""
    numbers = [_hex(name, text) for name, text in (("user", user), ("resource", resource), ("rights", rights),
                                                   ("zone", zone or f"{ALL:x}"))]
    rule = Rule(*numbers)
    target = rule.resource & ~KINDS
    for name, mask, forms in (("user", rule.user, (INDIVIDUAL, GROUP, ALL)),
                              ("resource", target, (INDIVIDUAL, GROUP, ALL, CLUSTER)),
                              ("zone", rule.zone, (INDIVIDUAL, ALL))):
        form = mask & ~0xFFFFFFFF
        if form not in forms:
            raise ValueError(f"{name} must be one of {', '.join(_SIGNS[f] for f in forms)}, and no other bits, "
                             f"not {mask:x}")
        if form == ALL and mask & 0xFFFFFFFF:
            raise ValueError(f"{name} is * and has an id, {mask & 0xFFFFFFFF}")
    if not rule.resource & KINDS:
        raise ValueError(f"resource must name at least one of {', '.join(RESOURCES)}")
    if not 0 < rule.rights <= USE | MANAGE | ADMIN | CREATE:
        raise ValueError(f"rights must be a sum of 1 (USE), 2 (MANAGE), 4 (ADMIN) and 8 (CREATE), not {rights!r}")
    return rule


_SIGNS = {INDIVIDUAL: "#id", GROUP: "@group", ALL: "*", CLUSTER: "%cluster"}


def _hex(name: str, text: str) -> int:
    try:
        number = int(text, 16)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{name} must be a hexadecimal number of up to 64 bits, not {text[:40]!r}")
    return number


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a kind rules let a user use: all of it, or these objects, those of these groups or clusters."""

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

    def shown(self, uid: int, gids: Iterable[int], kind: int) -> Shown:
        """What of KIND the rules let a user USE."""
        targets = {target for subject in _subjects(uid, gids)
                   for target in self._found.get((subject, kind, USE), ())}

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
