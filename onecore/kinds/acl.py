"""ACL rules: record and methods.  What they mean is in onecore/auth/acl.py."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onecore.api import Body, Request, method
from onecore.auth import acl
from onecore.auth.authorize import KIND_NAMES
from onecore.errors import BadArgument, NoExists, NotAllocated
from onecore.kinds import verbs
from onecore.pool.record import Record
from onecore.pool.store import Tx
from onecore.wire import xmlbody
from onecore.wire.xmlrpc import escape_bytes


@dataclass(frozen=True, slots=True)
class AclRule(Record):
    """One rule as numbers."""

    TABLE: ClassVar[str] = "acl"
    KIND: ClassVar[str] = "acl"
    oid: int
    user: int
    resource: int
    rights: int
    zone: int

    def rule(self) -> acl.Rule:
        """The rule without its id."""
        return acl.Rule(self.user, self.resource, self.rights, self.zone)


def add(tx: Tx, rule: acl.Rule) -> int:
    """Put a rule into force, unless the same one is; its id."""
    made = next((r for r in tx.store.all(AclRule) if r.rule() == rule), None)
    if made is None:
        made = tx.put(AclRule(tx.next_id("acl"), rule.user, rule.resource, rule.rights, rule.zone))
        tx.log("acl", made.oid, "create", new=acl.text(rule))
    return made.oid


def drop(tx: Tx, oid: int) -> None:
    """Take a rule out of force; none there is fine."""
    found = tx.get(AclRule, oid)
    if found is not None:
        tx.delete(found)
        tx.log("acl", oid, "delete", old=acl.text(found.rule()))


def drop_rule(tx: Tx, rule: acl.Rule) -> None:
    """Take a rule out of force, whatever its id; none there is fine."""
    for oid in [r.oid for r in tx.store.all(AclRule) if r.rule() == rule]:
        drop(tx, oid)


def forget(tx: Tx, kind: str, oid: int) -> None:
    """Drop the rules that speak of an object that is no more, as whom or on what: of it, or of what is in it."""
    bit = acl.RESOURCES.get(KIND_NAMES.get(kind, ""), 0)
    form = {"user": acl.INDIVIDUAL, "group": acl.GROUP}.get(kind, 0)
    among = {"group": acl.GROUP, "cluster": acl.CLUSTER}.get(kind, 0)
    for found in list(tx.store.all(AclRule)):
        target = found.resource & ~acl.KINDS
        alone = target == acl.INDIVIDUAL | oid and found.resource & acl.KINDS == bit
        if alone or (form and found.user == form | oid) or (among and target == among | oid):
            drop(tx, found.oid)


verbs.ON_REMOVE.append(forget)


@method("one.acl.info", reads=True)
def acl_info(req: Request) -> Body:
    """All ACL rules, for who may manage them: they tell of every tenant's groups and resources."""
    verbs.require(req, "MANAGE", "acl")
    each = []
    for record in sorted(req.core.store.all(AclRule), key=lambda r: r.oid):
        each.append(f"<ACL><ID>{record.oid}</ID><USER>{record.user:x}</USER><RESOURCE>{record.resource:x}</RESOURCE>"
                    f"<RIGHTS>{record.rights:x}</RIGHTS><ZONE>{record.zone:x}</ZONE>"
                    f"{xmlbody.text('STRING', acl.text(record.rule()))}</ACL>")
    return Body([escape_bytes(f"<ACL_POOL>{''.join(each)}</ACL_POOL>")])


@method("one.acl.addrule")
def addrule(req: Request, user: str, resource: str, rights: str, zone: str = "") -> int:
    """Add a rule of four hexadecimal numbers; no ZONE: all zones."""
    verbs.require(req, "MANAGE", "acl")
    try:
        rule = acl.parse(user, resource, rights, zone)
    except ValueError as error:
        raise BadArgument(str(error)) from None
    _check_ids(req, rule)
    if any(known.rule() == rule for known in req.core.store.all(AclRule)):
        raise NotAllocated(f"Rule {acl.text(rule)} already exists")
    return add(req.tx, rule)


def _check_ids(req: Request, rule: acl.Rule) -> None:
    """Raise NoExists when a rule speaks of a user, group or cluster that is not there."""
    oid = rule.user & 0xFFFFFFFF
    if rule.user & acl.INDIVIDUAL:
        verbs.existing("user", req.core, oid)
    elif rule.user & acl.GROUP:
        verbs.existing("group", req.core, oid)
    oid = rule.resource & 0xFFFFFFFF
    if rule.resource & acl.GROUP:
        verbs.existing("group", req.core, oid)
    elif rule.resource & acl.CLUSTER:
        verbs.existing("cluster", req.core, oid)


@method("one.acl.delrule")
def delrule(req: Request, id: int) -> int:
    """Remove a rule."""
    verbs.require(req, "MANAGE", "acl")
    if req.core.store.get(AclRule, id) is None:
        raise NoExists(f"Error getting ACL rule [{id}].", id)
    drop(req.tx, id)
    return id

