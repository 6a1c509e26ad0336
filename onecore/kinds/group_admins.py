"""Who administers a group: in its record, and as ACL rules that are made and removed with it."""
from __future__ import annotations

from dataclasses import replace

from onecore.api import Request, method
from onecore.auth import acl
from onecore.auth.acl import ADMIN, ALL, CREATE, GROUP, INDIVIDUAL, MANAGE, RESOURCES, USE
from onecore.auth.authorize import authorize
from onecore.errors import BadArgument
from onecore.kinds import verbs
from onecore.kinds.acl import add, drop_rule
from onecore.kinds.group import Group, members
from onecore.kinds.kind import rules as rules_of
from onecore.pool.store import Tx

MANAGED = ("VM", "NET", "IMAGE", "TEMPLATE", "DOCUMENT", "SECGROUP", "VROUTER", "VMGROUP", "BACKUPJOB")
"""What of the group its administrators may use and manage, whoever's it is."""


def rules(uid: int, gid: int) -> list[acl.Rule]:
    """The rules that make user UID an administrator of group GID."""
    who = INDIVIDUAL | uid
    return [acl.Rule(who, RESOURCES["USER"] | GROUP | gid, USE | MANAGE | ADMIN | CREATE, ALL),
            acl.Rule(who, sum(RESOURCES[name] for name in MANAGED) | GROUP | gid, USE | MANAGE, ALL),
            acl.Rule(who, RESOURCES["VROUTER"] | ALL, CREATE, ALL),
            acl.Rule(who, RESOURCES["GROUP"] | INDIVIDUAL | gid, MANAGE, ALL)]


def _set(tx: Tx, group: Group, admins: frozenset[int]) -> None:
    tx.put(replace(group, admins=" ".join(map(str, sorted(admins)))))
    tx.log("group", group.oid, "update", keys=["ADMINS"])


def revoke(tx: Tx, group: Group, uid: int) -> None:
    """User UID is no administrator of GROUP any more; nothing happens when it was none."""
    if uid not in group.admin_ids:
        return
    _set(tx, group, group.admin_ids - {uid})
    kept = [rule for other in tx.store.all(Group) if uid in other.admin_ids for rule in rules(uid, other.oid)]
    for rule in rules(uid, group.oid):
        if rule not in kept:
            drop_rule(tx, rule)


def revoke_all(tx: Tx, uid: int, but: frozenset[int] = frozenset()) -> None:
    """User UID administers no group any more, but for those that it is still in."""
    for group in [g for g in tx.store.all(Group) if uid in g.admin_ids and g.oid not in but]:
        revoke(tx, group, uid)


def _user(req: Request, user_id: int) -> int:
    """The user, whom the caller must be able to manage; raises NoExists or Forbidden."""
    user = verbs.existing("user", req.core, user_id)
    authorize(req.caller, "MANAGE", "user", user, rules_of(req.core))
    return int(user.oid)


@method("one.group.addadmin", right="ADMIN", on="group")
def addadmin(req: Request, group: Group, user_id: int) -> int:
    """Let a user of the group manage its users, and what belongs to it."""
    uid = _user(req, user_id)
    if uid not in members(req.core, group.oid):
        raise BadArgument(f"User {uid} is not part of Group {group.oid}.", group.oid)
    if uid in group.admin_ids:
        raise BadArgument(f"User {uid} is already an administrator of Group {group.oid}.", group.oid)
    _set(req.tx, group, group.admin_ids | {uid})
    for rule in rules(uid, group.oid):
        add(req.tx, rule)
    return group.oid


@method("one.group.deladmin", right="ADMIN", on="group")
def deladmin(req: Request, group: Group, user_id: int) -> int:
    """Take that from a user again."""
    uid = _user(req, user_id)
    if uid not in group.admin_ids:
        raise BadArgument(f"User {uid} is not an administrator of Group {group.oid}.", group.oid)
    revoke(req.tx, group, uid)
    return group.oid
