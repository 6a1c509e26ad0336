"""authorize(): the only place that says yes.  Permission bits first, then ACL rules; members of group 0 may do all."""
from __future__ import annotations

from collections.abc import Iterable

from onecore.auth import acl
from onecore.auth.caller import Caller
from onecore.errors import Forbidden

BIT = {"USE": 4, "MANAGE": 2, "ADMIN": 1}
KIND_NAMES = {"vm": "VM", "host": "HOST", "vnet": "NET", "image": "IMAGE", "user": "USER", "template": "TEMPLATE",
              "group": "GROUP", "acl": "ACL", "datastore": "DATASTORE", "cluster": "CLUSTER", "zone": "ZONE",
              "secgroup": "SECGROUP", "vdc": "VDC"}


def may(caller: Caller, right: str, kind: str, obj: object | None, rules: Iterable[acl.Rule]) -> bool:
    """Whether CALLER has RIGHT (USE MANAGE ADMIN CREATE) on an object of KIND (None: on the kind itself)."""
    if caller.admin:
        return True
    oid, gid = getattr(obj, "oid", -1), getattr(obj, "gid", -1)
    perms = getattr(obj, "perms", None)
    if perms is not None and right in BIT:
        bit = BIT[right]
        if (obj.uid == caller.uid and perms >> 6 & bit) or (gid in caller.gids and perms >> 3 & bit) or perms & bit:  # type: ignore[union-attr]
            return True
    if kind == "user" and oid == caller.uid and right in ("USE", "MANAGE"):
        return True
    if kind == "group" and oid in caller.gids and right == "USE":
        return True
    return acl.allows(rules, caller.uid, caller.gids, acl.RIGHTS[right], acl.RESOURCES[KIND_NAMES[kind]], oid, gid)


def authorize(caller: Caller, right: str, kind: str, obj: object | None, rules: Iterable[acl.Rule]) -> None:
    """Raise Forbidden unless `may`."""
    if not may(caller, right, kind, obj, rules):
        name = KIND_NAMES[kind]
        what = f"{name} [{obj.oid}]" if obj is not None else name  # type: ignore[attr-defined]
        raise Forbidden(f"User [{caller.uid}] : Not authorized to perform {right} {what}.", getattr(obj, "oid", -1))
