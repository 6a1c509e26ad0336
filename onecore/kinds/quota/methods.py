"""one.user.quota, one.group.quota, and the defaults of all users and groups."""
from __future__ import annotations

from typing import Any

from onecore.api import Body, Request, method
from onecore.errors import BadArgument
from onecore.kinds import verbs
from onecore.kinds.kind import changing, parse_template
from onecore.kinds.quota import body, limits
from onecore.kinds.quota.guard import limits_of, used
from onecore.kinds.quota.record import DEFAULTS, Quota
from onecore.pool.store import Tx
from onecore.wire.xmlrpc import escape_bytes


def _set(req: Request, owner: str, oid: int, template: str) -> None:
    """Let the limits of TEMPLATE hold instead of those about the same things."""
    with changing():
        given = parse_template(template, "quota")
    before = limits_of(req.core.store, owner, oid)
    after = limits.merged(before, given, used(req.core).generic, oid == DEFAULTS)
    if after:
        req.tx.put(Quota(owner, oid, limits.dump(after)))
    else:
        forget(req.tx, owner, oid)
    req.tx.log(owner, oid, "update", keys=["QUOTA"])


def forget(tx: Tx, owner: str, oid: int) -> None:
    """A user or group has no limits of its own any more."""
    found = tx.get(Quota, (owner, oid))
    if found is not None:
        tx.delete(found)


@method("one.user.quota", right="ADMIN", on="user")
def user_quota(req: Request, user: Any, quota: str) -> int:
    """Set limits of a user: those that are given, the others stay."""
    if user.oid == 0:
        raise BadArgument("Cannot set quotas for user 0, who has no limits", 0)
    _set(req, "user", user.oid, quota)
    return int(user.oid)


@method("one.group.quota", right="ADMIN", on="group")
def group_quota(req: Request, group: Any, quota: str) -> int:
    """Set limits of what a group's objects take together: those that are given, the others stay."""
    if group.oid == 0:
        raise BadArgument("Cannot set quotas for group 0, which has no limits", 0)
    _set(req, "group", group.oid, quota)
    return int(group.oid)


def _defaults(req: Request, owner: str) -> Body:
    return Body([escape_bytes(body.defaults(req.core, owner))])


def _set_defaults(req: Request, owner: str, template: str) -> Body:
    verbs.administers(req, owner.upper())
    _set(req, owner, DEFAULTS, template)
    return _defaults(req, owner)


@method("one.userquota.info", reads=True)
def user_defaults(req: Request) -> Body:
    """The limits of users that have none of their own."""
    return _defaults(req, "user")


@method("one.userquota.update")
def set_user_defaults(req: Request, quota_template: str) -> Body:
    """Set limits of users that have none of their own; all of them as they are then."""
    return _set_defaults(req, "user", quota_template)


@method("one.groupquota.info", reads=True)
def group_defaults(req: Request) -> Body:
    """The limits of groups that have none of their own."""
    return _defaults(req, "group")


@method("one.groupquota.update")
def set_group_defaults(req: Request, quota_template: str) -> Body:
    """Set limits of groups that have none of their own; all of them as they are then."""
    return _set_defaults(req, "group", quota_template)
