"""Which groups a user is in: one.user.addgroup, delgroup, chgrp."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from onecore.api import Request, method
from onecore.auth.authorize import authorize
from onecore.errors import BadArgument
from onecore.kinds import verbs
from onecore.kinds.group_admins import revoke_all
from onecore.kinds.kind import rules
from onecore.kinds.user import User, change


def _group(req: Request, group_id: int, right: str = "MANAGE") -> Any:
    """A group on which the caller must have RIGHT; raises NoExists or Forbidden."""
    group = verbs.existing("group", req.core, group_id)
    authorize(req.caller, right, "group", group, rules(req.core))
    return group


def _put(req: Request, user: User, gids: list[int], key: str) -> None:
    """GIDS, the primary one first, are the user's groups; it administers none of which it is not."""
    change(req, replace(user, gid=gids[0], groups=" ".join(map(str, gids))), key)
    revoke_all(req.tx, user.oid, frozenset(gids))


@method("one.user.addgroup", right="MANAGE", on="user")
def addgroup(req: Request, user: User, group_id: int) -> int:
    """Put the user into one more group."""
    group = _group(req, group_id)
    if group.oid in user.gids:
        raise BadArgument(f"User {user.oid} is already in group {group.oid}", user.oid)
    _put(req, user, [*map(int, user.groups.split()), group.oid], "GROUPS")
    return user.oid


@method("one.user.delgroup", right="MANAGE", on="user")
def delgroup(req: Request, user: User, group_id: int) -> int:
    """Take the user out of a group that is not its primary one."""
    group = _group(req, group_id)
    if group.oid == user.gid:
        raise BadArgument(f"Cannot remove user {user.oid} from its primary group {group.oid}; give it another with "
                          "chgrp", user.oid)
    if group.oid not in user.gids:
        raise BadArgument(f"User {user.oid} is not part of group {group.oid}", user.oid)
    _put(req, user, [gid for gid in map(int, user.groups.split()) if gid != group.oid], "GROUPS")
    return user.oid


@method("one.user.chgrp", right="MANAGE", on="user")
def chgrp(req: Request, user: User, new_id: int) -> int:
    """Change the primary group; the one before is left, unless the user was in both.

    It takes USE on the group only: users choose among the groups that they are in.
    """
    group = _group(req, new_id, "USE")
    if user.oid == 0 and group.oid != 0:
        raise BadArgument("the primary group of user 0 is group 0", user.oid)
    left = () if group.oid in user.gids else (user.gid,)
    rest = [g for g in map(int, user.groups.split()) if g not in (*left, group.oid)]
    _put(req, user, [group.oid, *rest], "GID")
    return user.oid
