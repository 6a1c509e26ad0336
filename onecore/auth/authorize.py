"""authorize(): the only place that says yes.  Permission bits first, then ACL rules; members of group 0 may do all."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onecore.auth import acl
from onecore.auth.caller import ADMINS, Caller
from onecore.errors import Forbidden

BIT = {"USE": 4, "MANAGE": 2, "ADMIN": 1}
KIND_NAMES = {"vm": "VM", "host": "HOST", "vnet": "NET", "image": "IMAGE", "user": "USER", "template": "TEMPLATE",
              "group": "GROUP", "acl": "ACL", "datastore": "DATASTORE", "cluster": "CLUSTER", "zone": "ZONE",
              "secgroup": "SECGROUP", "vdc": "VDC", "vmgroup": "VMGROUP", "document": "DOCUMENT", "hook": "HOOK"}


@dataclass(frozen=True, slots=True)
class New:
    """An object that is to be made, in a group."""

    gid: int
    oid: int = -1


def reason(caller: Caller, right: str, kind: str, obj: Any, rules: acl.Rules) -> str:
    """Why CALLER has RIGHT (USE MANAGE ADMIN CREATE) on an object of KIND (None: on the kind itself); "": it has not.

    admin, owner, group, other (a permission bit), self, member (of the group), or `acl N`.
    """
    if caller.admin:
        return "admin"
    oid, gid = getattr(obj, "oid", -1), getattr(obj, "gid", -1)
    bit, perms = BIT.get(right, 0), getattr(obj, "perms", None)
    if perms is not None and bit:
        if obj.uid == caller.uid and perms >> 6 & bit:
            return "owner"
        if gid in caller.gids and perms >> 3 & bit:
            return "group"
        if perms & bit:
            return "other"
    if kind == "user" and oid == caller.uid and right in ("USE", "MANAGE"):
        return "self"
    if kind == "group" and oid in caller.gids and right == "USE":
        return "member"
    if kind == "user" and right != "USE" and (oid == 0 or ADMINS in getattr(obj, "gids", ())):
        return ""  # whoever sets an administrator's password has all rights: no rule gives that
    rule = rules.allows(caller.uid, caller.gids, acl.RIGHTS[right], acl.RESOURCES[KIND_NAMES[kind]], oid, gid,
                        clusters_of(kind, obj))
    return "" if rule is None else f"acl {rule}"


def may(caller: Caller, right: str, kind: str, obj: Any, rules: acl.Rules) -> bool:
    """Whether there is a reason."""
    return bool(reason(caller, right, kind, obj, rules))


def authorize(caller: Caller, right: str, kind: str, obj: Any, rules: acl.Rules) -> str:
    """The reason; raises Forbidden when there is none."""
    found = reason(caller, right, kind, obj, rules)
    if not found:
        name = KIND_NAMES[kind]
        what = f"{name} [{obj.oid}]" if obj is not None and obj.oid >= 0 else name
        raise Forbidden(f"User [{caller.uid}] : Not authorized to perform {right} {what}.", getattr(obj, "oid", -1))
    return found


def clusters_of(kind: str, obj: Any) -> tuple[int, ...]:
    """The clusters that rules about %clusters mean an object by."""
    if kind == "cluster":
        return (obj.oid,) if obj is not None else ()
    if kind == "host":
        return (obj.cid,) if obj is not None else ()
    clusters = getattr(obj, "clusters", "") if kind in ("datastore", "vnet") else ""
    return tuple(map(int, clusters.split())) if clusters else ()
