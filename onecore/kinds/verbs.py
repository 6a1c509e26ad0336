"""The verbs that kinds share, each written once: info, pool.info, update, rename, chmod, chown, lock, unlock.

`declare(kind, …)` puts them into the API table for a kind.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from onecore import api
from onecore.api import Body, Method, Request
from onecore.auth import acl
from onecore.auth.authorize import KIND_NAMES, New, authorize
from onecore.auth.caller import Caller
from onecore.errors import BadArgument, Forbidden, Locked, NoExists
from onecore.kinds import kind as kinds
from onecore.kinds import sealed
from onecore.kinds.kind import (
    KINDS,
    Kind,
    allowed,
    appended,
    changing,
    check_name,
    inner_xml,
    lookup,
    parse_template,
    tree_of,
)
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx
from onecore.wire.template import Tree

OnUpdate = Callable[[Request, Any, Tree, Tree], Any]
"""(request, record, old tree, new tree) -> the record to keep; may refuse."""

WHOLE_POOLS = ("datastore",)
"""Kinds with owners whose pool, as OpenNebula's, takes no arguments: what clients give is surplus."""
LEVELS = {1: "USE", 2: "MANAGE", 3: "ADMIN", 4: "ALL"}
_BLOCKED = {1: {"USE", "MANAGE", "ADMIN"}, 2: {"MANAGE", "ADMIN"}, 3: {"ADMIN"}, 4: {"USE", "MANAGE", "ADMIN"}}


def check_lock(record: Any, right: str | None, noun: str) -> None:
    """Raise Locked when the object's lock forbids what needs RIGHT."""
    if right and getattr(record, "lock", ""):
        level = int(record.lock.split(":")[0])
        if right in _BLOCKED[level]:
            raise Locked(f"{noun} [{record.oid}] is locked for {LEVELS[level]} actions; unlock it first", record.oid)


def permit(core: Core, caller: Caller, method: Method, obj: Any, arguments: Sequence[Any]) -> str:
    """Why CALLER may call METHOD on OBJ with ARGUMENTS (those after the object's id); raises Forbidden or Locked."""
    right, why = method.right(*arguments) if callable(method.right) else method.right, ""
    if right:
        why = authorize(caller, right, method.on or "", obj, kinds.rules(core))
        if not method.reads and not method.name.endswith((".lock", ".unlock")):
            check_lock(obj, right, KINDS[method.on or ""].noun)
    return why


def declare(kind: Kind, *verbs: str, on_update: OnUpdate | None = None, update_right: str = "MANAGE",
            rename_right: str = "MANAGE") -> None:
    """Register VERBS of KIND: info pool update rename chmod chown lock unlock."""
    for verb in verbs:
        call, right, reads = _MAKERS[verb](kind, on_update) if verb == "update" else _MAKERS[verb](kind)
        right = {"update": update_right, "rename": rename_right}.get(verb, right)
        name = f"{kind.pool_api}.info" if verb == "pool" else f"{kind.api}.{verb}"
        api.register(name, call, right, None if verb == "pool" else kind.name, reads=reads)


def _info(kind: Kind) -> tuple[Callable[..., Any], Any, bool]:
    def info(req: Request, obj: Any, decrypt: bool = False) -> Body:
        """The object's body; DECRYPT: with encrypted attributes in plain, for who manages it."""
        if decrypt and allowed(req.core, req.caller, "MANAGE", kind.name, obj):
            return Body(kind.open_body(req.core, obj) if kind.open_body
                        else kind.body(req.core, sealed.opened(req.core, kind.name, obj)))
        return Body(kind.body(req.core, obj))
    return info, "USE", True


def _pool(kind: Kind) -> tuple[Callable[..., Any], Any, bool]:
    def pool_info(req: Request, filter_flag: int = -2, start: int = -1, end: int = -1) -> Body:
        """The bodies that the caller may see, ascending by id."""
        return pool_body(req, kind, select(req, kind, filter_flag, start, end))

    def whole_pool(req: Request) -> Body:
        """The bodies that the caller may see, ascending by id."""
        return pool_body(req, kind, select(req, kind, -2, -1, -1))
    return pool_info if kind.owned and kind.name not in WHOLE_POOLS else whole_pool, None, True


def pool_body(req: Request, kind: Kind, records: Iterable[Any]) -> Body:
    """The pool's element around each record's fragments."""
    tag = kind.pool_tag or f"{kind.noun}_POOL"
    out = Body([f"&lt;{tag}&gt;".encode()])
    one = kind.pool_body or kind.body
    for record in records:
        out.extend(one(req.core, record))
    out.append(f"&lt;/{tag}&gt;".encode())
    return out


def select(req: Request, kind: Kind, flag: int, start: int, end: int) -> list[Any]:
    """The records of a pool call: FLAG says whose, START and END a range of ids or (END < -1) a page."""
    if flag < -4:
        raise BadArgument("filter_flag must be -4 (primary group), -3 (own), -2 (all), -1 (own and groups') or "
                          f"a user id, not {flag}")
    table = req.core.store.tables[kind.record]
    ids = sorted(_visible(req, kind, flag))
    if end < -1:
        offset = max(start, 0)
        ids = ids[offset:offset - end]
    elif start >= 0 or end >= 0:
        ids = [i for i in ids if i >= start and (end < 0 or i <= end)]
    return [table[i] for i in ids]


def wanted(req: Request, kind: Kind, one: Any, flag: int) -> bool:
    """Whether FLAG means ONE, and the caller may use it: what `select` asks, of a single object."""
    who = req.caller
    return allowed(req.core, who, "USE", kind.name, one) and (
        flag == -2 or (flag == -3 and one.uid == who.uid) or (flag == -1
                                                              and (one.uid == who.uid or one.gid in who.gids))
        or (flag == -4 and one.gid == who.gid) or (flag >= 0 and one.uid == flag))


def _visible(req: Request, kind: Kind, flag: int) -> Iterable[int]:
    who, found, core = req.caller, lookup(req.core, kind.name), req.core
    table: dict[int, Any] = core.store.tables[kind.record]
    if flag == -2 and who.admin:
        return table
    wanted: Iterable[int]
    if flag == -2:
        wanted = _may_be_seen(req, kind)
    elif flag == -3:
        wanted = found.owner.of(who.uid)
    elif flag == -1:
        wanted = found.owner.of(who.uid).union(*(found.group.of(g) for g in who.gids))
    elif flag == -4:
        wanted = found.group.of(who.gid)
    else:
        wanted = found.owner.of(flag)
    return [i for i in wanted if i in table and allowed(core, who, "USE", kind.name, table[i])]


def _may_be_seen(req: Request, kind: Kind) -> Iterable[int]:
    """The ids among which are all that the caller may use, found through the indexes."""
    who, found = req.caller, lookup(req.core, kind.name)
    table: dict[int, Any] = req.core.store.tables[kind.record]
    if not kind.owned:
        return table
    shown = kinds.rules(req.core).shown(who.uid, who.gids, acl.RESOURCES[KIND_NAMES[kind.name]])
    if shown.everything or shown.clusters:
        return table
    return found.owner.of(who.uid).union(found.open.of(True), shown.ids,
                                         *(found.group.of(g) for g in who.gids | shown.groups))


def _update(kind: Kind, on_update: OnUpdate | None) -> tuple[Callable[..., Any], Any, bool]:
    def update(req: Request, obj: Any, template: str, append: int = 0) -> int:
        """Replace (0) or merge (1) the template."""
        if append not in (0, 1):
            raise BadArgument(f"append must be 0 (replace) or 1 (merge), not {append}")
        with changing():
            given = parse_template(template)
            old = tree_of(obj.template)
            new = appended(req.core, old, given) if append else given
            kept = on_update(req, obj, old, new) if on_update else obj
        req.tx.put(replace(kept, template=inner_xml(new)))
        req.tx.log(kind.name, obj.oid, "update", keys=given.names())
        return int(obj.oid)
    return update, "MANAGE", False


def _rename(kind: Kind) -> tuple[Callable[..., Any], Any, bool]:
    def rename(req: Request, obj: Any, name: str) -> int:
        """Give the object another name."""
        with changing():
            check_name(req.tx, req.core, kind, name, getattr(obj, "uid", -1), obj.oid)
        req.tx.put(replace(obj, name=name))
        req.tx.log(kind.name, obj.oid, "update", old=obj.name, new=name, keys=["NAME"])
        return int(obj.oid)
    return rename, "MANAGE", False


def set_permissions(req: Request, kind: Kind, obj: Any, bits: tuple[int, ...]) -> None:
    """Set the nine permission bits of an object; -1 leaves one as it is."""
    perms = obj.perms
    for shift, bit in zip(range(8, -1, -1), bits, strict=True):
        if bit not in (-1, 0, 1):
            raise BadArgument(f"a permission bit is 1, 0 or -1 (as it is), not {bit}")
        if bit >= 0:
            perms = perms & ~(1 << shift) | bit << shift
    req.tx.put(replace(obj, perms=perms))
    req.tx.log(kind.name, obj.oid, "update", old=f"{obj.perms:03o}", new=f"{perms:03o}", keys=["PERMISSIONS"])


def chmod_right(ou: int, om: int, oa: int, gu: int, gm: int, ga: int, tu: int, tm: int, ta: int, *_: Any) -> str:
    """Handing out ADMIN bits takes ADMIN, the others MANAGE."""
    return "ADMIN" if any(bit != -1 for bit in (oa, ga, ta)) else "MANAGE"


def _chmod(kind: Kind) -> tuple[Callable[..., Any], Any, bool]:
    def chmod(req: Request, obj: Any, owner_u: int, owner_m: int, owner_a: int, group_u: int, group_m: int,
              group_a: int, other_u: int, other_m: int, other_a: int) -> int:
        """Set permission bits; -1 leaves one as it is."""
        bits = (owner_u, owner_m, owner_a, group_u, group_m, group_a, other_u, other_m, other_a)
        set_permissions(req, kind, obj, bits)
        return int(obj.oid)
    return chmod, chmod_right, False


def _chown(kind: Kind) -> tuple[Callable[..., Any], Any, bool]:
    def chown(req: Request, obj: Any, user_id: int, group_id: int = -1) -> int:
        """Give the object to another user (takes MANAGE on her) or group (USE); -1 leaves one as it is."""
        uid = obj.uid if user_id == -1 else _heir(req, "MANAGE", "user", user_id, obj.uid)
        gid = obj.gid if group_id == -1 else _heir(req, "USE", "group", group_id, obj.gid)
        if uid != obj.uid and kind.unique == "owner":
            with changing():
                check_name(req.tx, req.core, kind, obj.name, uid, obj.oid)
        req.tx.put(replace(obj, uid=uid, gid=gid))
        req.tx.log(kind.name, obj.oid, "update", old=f"{obj.uid}:{obj.gid}", new=f"{uid}:{gid}", keys=["UID", "GID"])
        return int(obj.oid)
    return chown, "MANAGE", False


def _heir(req: Request, right: str, kind: str, oid: int, now: int) -> int:
    """The user or group that gets an object of NOW; raises NoExists, or Forbidden without RIGHT on who gets it."""
    found = existing(kind, req.core, oid)
    if oid != now:
        authorize(req.caller, right, kind, found, kinds.rules(req.core))
    return oid


def _holds(req: Request, obj: Any) -> bool:
    """Whether the caller set the object's lock, or is an administrator."""
    return req.caller.admin or int(obj.lock.split(":")[1]) == req.caller.uid


def _lock(kind: Kind) -> tuple[Callable[..., Any], Any, bool]:
    def lock(req: Request, obj: Any, level: int, test: bool = False) -> int:
        """Lock against USE (1), MANAGE (2), ADMIN (3) or ALL (4) actions; with `test`, refuse when locked already."""
        if level not in LEVELS:
            raise BadArgument(f"lock level must be 1 (USE), 2 (MANAGE), 3 (ADMIN) or 4 (ALL), not {level}")
        if obj.lock and (test or not _holds(req, obj)):
            raise Locked(f"{kind.noun} [{obj.oid}] is locked already", obj.oid)
        req.tx.put(replace(obj, lock=f"{level}:{req.caller.uid}:{req.core.now()}"))
        req.tx.log(kind.name, obj.oid, "update", new=LEVELS[level], keys=["LOCK"])
        return int(obj.oid)
    return lock, "MANAGE", False


def _unlock(kind: Kind) -> tuple[Callable[..., Any], Any, bool]:
    def unlock(req: Request, obj: Any) -> int:
        """Take the lock away."""
        if obj.lock and not _holds(req, obj):
            raise Forbidden(f"{kind.noun} [{obj.oid}] was locked by another user", obj.oid)
        req.tx.put(replace(obj, lock=""))
        req.tx.log(kind.name, obj.oid, "update", keys=["LOCK"])
        return int(obj.oid)
    return unlock, "MANAGE", False


_MAKERS: dict[str, Callable[..., tuple[Callable[..., Any], Any, bool]]] = {
    "info": _info, "pool": _pool, "update": _update, "rename": _rename, "chmod": _chmod, "chown": _chown,
    "lock": _lock, "unlock": _unlock}


def administers(req: Request, what: str) -> None:
    """Raise Forbidden to all but administrators, who alone may do WHAT."""
    if not req.caller.admin:
        raise Forbidden(f"User [{req.caller.uid}] : Not authorized to perform ADMIN {what}.")


def require_create(req: Request, kind: str) -> None:
    """CREATE on a kind; raises Forbidden."""
    require(req, "CREATE", kind)


def require(req: Request, right: str, kind: str, gid: int = -1) -> None:
    """RIGHT on a kind as such, or on a new one in group GID; raises Forbidden.  What is changed says why it may."""
    why = authorize(req.caller, right, kind, New(gid) if gid >= 0 else None, kinds.rules(req.core))
    if req.tx is not None and not req.tx.actor.why:
        req.tx.actor = replace(req.tx.actor, why=why)


ON_REMOVE: list[Callable[[Tx, str, int], None]] = []
"""Called with the kind and id of each object that is removed: what speaks of it elsewhere goes too."""


def remove(tx: Tx, kind: Kind, record: Any) -> None:
    """Delete a record and log it; nothing else speaks of it any more."""
    tx.delete(record)
    tx.log(kind.name, record.oid, "delete", old=record.name)
    for forget in ON_REMOVE:
        forget(tx, kind.name, record.oid)


def existing(kind: str, core: Any, oid: int) -> Any:
    """An object that an argument or attribute names; raises NoExists."""
    return KINDS[kind].find(core, oid)


def optional(kind: str, core: Any, oid: int) -> Any:
    """As `existing`, None instead of the error."""
    try:
        return existing(kind, core, oid)
    except NoExists:
        return None


__all__ = ["Body", "administers", "check_lock", "chmod_right", "declare", "existing", "optional", "permit", "pool_body",
           "remove", "require_create", "select", "set_permissions"]
