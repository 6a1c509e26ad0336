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
_RESOURCE_BITS = sum(RESOURCES.values())


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
    return f"{_id_text(rule.user)} {kinds}/{_id_text(rule.resource & ~_RESOURCE_BITS)} {rights} {_id_text(rule.zone)}"


def matches_user(rule: Rule, uid: int, gids: Iterable[int]) -> bool:
    """Whether the rule speaks of this user."""
    if rule.user & ALL:
        return True
    number = rule.user & 0xFFFFFFFF
    return number == uid if rule.user & INDIVIDUAL else number in gids


def allows(rules: Iterable[Rule], uid: int, gids: frozenset[int], right: int, kind: int, oid: int, gid: int,
           clusters: frozenset[int] = frozenset()) -> bool:
    """Whether a rule gives RIGHT on the object (OID -1: on creating one)."""
    for rule in rules:
        if not rule.rights & right or not rule.resource & kind or not matches_user(rule, uid, gids):
            continue
        number = rule.resource & 0xFFFFFFFF
        if (rule.resource & ALL or (rule.resource & INDIVIDUAL and number == oid)
                or (rule.resource & GROUP and number == gid) or (rule.resource & CLUSTER and number in clusters)):
            return True
    return False


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
