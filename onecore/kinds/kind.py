"""What a kind declares, and what every kind's records have in common."""
from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from onecore.auth.acl import Rules
from onecore.auth.authorize import may
from onecore.auth.caller import Caller
from onecore.errors import BadArgument, NoExists, NotAllocated
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.pool.store import Groups, Tx
from onecore.wire import xmlbody
from onecore.wire.template import MAX_ATTRIBUTES, TemplateError, Tree, Value, parse, parse_own, to_xml
from onecore.wire.xmlrpc import escape_bytes, unescape

MAX_ID = 2**31 - 1
LARGEST_KEPT = 32_768
"""Bytes of a fragment whose tree is kept in memory: so the thousands of them that are kept have a bound."""
_TEXT = rb"(?:&lt;!\[CDATA\[.*?\]\]&gt;)+"
_VECTOR = rb"(?:&lt;\w+&gt;(?:" + _TEXT + rb")?&lt;/\w+&gt;)*"
_TOP = re.compile(rb"&lt;(\w+)&gt;(?:" + _TEXT + rb"|" + _VECTOR + rb")&lt;/\1&gt;", re.S)
"""One top-level element of a template's fragment, as inner_xml writes it."""


BodyOf = Callable[[Core, Any], list[bytes]]


@dataclass(frozen=True)
class Kind:
    """One resource kind: its names, its record, how it is shown.  Behaviour is in the kind's own module."""

    name: str
    """onecore's word: vm, host, vnet …"""
    noun: str
    """The element of its body and the word in errors: VM, HOST, VNET …"""
    record: type[Record]
    api: str
    """Prefix of its methods: one.vm."""
    pool_api: str
    """Prefix of its pool's methods: one.vmpool."""
    body: BodyOf
    """Fragments of the full body."""
    pool_body: BodyOf | None = None
    """Fragments inside the pool; the full body when None."""
    open_body: BodyOf | None = None
    """Fragments with encrypted attributes in plain; None: made of the record's template."""
    pool_tag: str = ""
    """The pool's element; NOUN_POOL when empty."""
    owned: bool = True
    """Has owner, group and permission bits."""
    lockable: bool = False
    own: Callable[[Caller], int] | None = None
    """Which object id -1 means to `info`: the caller's own."""
    unique: str = "owner"
    """Where a name is unique: owner, all, or nowhere ("")."""
    archive: Callable[[Core, int], Awaitable[Any]] | None = None
    """Finds an object that left memory."""
    classes: tuple[type[Record], ...] = ()
    """Further record classes of the kind."""

    def find(self, core: Core, oid: int) -> Any:
        """The record; raises NoExists."""
        found = core.store.get(self.record, oid)
        if found is None:
            raise NoExists(f"Error getting {self.label} [{oid}].", oid)
        return found

    @property
    def label(self) -> str:
        """The kind's word in error texts."""
        return {"vm": "virtual machine", "vnet": "virtual network", "template": "virtual machine template",
                "vmgroup": "VM group"}.get(self.name, self.name)


class Gone:
    """Records that were removed lately, the newest LIMIT: whose they were says who may hear of their end."""

    def __init__(self, limit: int = 10_000) -> None:
        self._kept: dict[Any, Any] = {}
        self._limit = limit

    def change(self, old: Any, new: Any) -> None:
        """Keep what is removed, until it comes back."""
        if new is None:
            self._kept[old.key()] = old
            if len(self._kept) > self._limit:
                del self._kept[next(iter(self._kept))]
        elif old is None:
            self._kept.pop(new.key(), None)

    def get(self, oid: int) -> Any:
        """The record, or None."""
        return self._kept.get(oid)


@dataclass
class Lookup:
    """The indexes every kind has: names and who may see what."""

    names: Groups[Any]
    owner: Groups[Any]
    group: Groups[Any]
    open: Groups[Any]
    gone: Gone
    bodies: dict[int, Any] = field(default_factory=dict)
    """Fragments that a kind keeps, by id, with what they were made of."""


KINDS: dict[str, Kind] = {}
"""Every kind by name; kinds/__init__.py fills it."""


def add_indexes(core: Core, kind: Kind) -> None:
    """Give KIND its indexes in CORE."""
    owned = kind.owned
    found = Lookup(
        names=Groups(lambda r: (r.uid, r.name) if kind.unique == "owner" else r.name),
        owner=Groups(lambda r: r.uid if owned else None),
        group=Groups(lambda r: r.gid if owned else None),
        open=Groups(lambda r: True if owned and r.perms & 4 else None), gone=Gone())
    core.kinds[kind.name] = found
    for index in (found.names, found.owner, found.group, found.open, found.gone):
        core.store.index(kind.record, index)


def lookup(core: Core, kind: str) -> Lookup:
    """The indexes of a kind."""
    made: Lookup = core.kinds[kind]
    return made


def named(core: Core, kind: Kind, name: str, uid: int = -1) -> Any:
    """The object of that name (and owner, where names are unique per owner), or None."""
    for oid in lookup(core, kind.name).names.of((uid, name) if kind.unique == "owner" else name):
        return core.store.get(kind.record, oid)
    return None


def check_name(tx: Tx, core: Core, kind: Kind, name: str, uid: int, oid: int = -1) -> str:
    """NAME, if an object of this kind may be called so; raises NotAllocated."""
    if not name or len(name) > 128:
        raise NotAllocated(f"NAME must have 1 to 128 characters, not {len(name)}")
    if any(c in name for c in "\n\r\t\0"):
        raise NotAllocated(f"NAME must be one line without tabs, not {name[:40]!r}")
    taken = named(core, kind, name, uid) if kind.unique else None
    if taken is not None and taken.oid != oid:
        raise NotAllocated(f"NAME is already taken by {kind.noun} {taken.oid}.", taken.oid)
    return name


def rules(core: Core) -> Rules:
    """The ACL rules in force."""
    found: Rules = core.kinds["acl.rules"]
    return found


def allowed(core: Core, caller: Caller, right: str, kind: str, obj: Any) -> bool:
    """Whether CALLER has RIGHT on OBJ."""
    return may(caller, right, kind, obj, rules(core))


def parse_template(text: str, field_name: str = "template") -> Tree:
    """TEXT as a tree; raises NotAllocated with line and column."""
    try:
        return parse(text, field_name)
    except TemplateError as error:
        raise NotAllocated(str(error)) from None


def appended(core: Core, old: Tree, given: Tree) -> Tree:
    """OLD with GIVEN merged over it; raises NotAllocated where the two are more than one call could hand in."""
    new, most = old.merged(given), core.config.server.max_request_mb << 20
    if len(new) > MAX_ATTRIBUTES:
        raise NotAllocated(f"template: with what is there already it has {len(new)} attributes, more than "
                           f"{MAX_ATTRIBUTES}")
    size = sum(len(name) + _size(value) for name, value in new)
    if size > most:
        raise NotAllocated(f"template: with what is there already it has {size} bytes, more than {most}")
    return new


def _size(value: Value) -> int:
    """Its bytes."""
    return len(value.encode()) if isinstance(value, str) else sum(len(key) + _size(one) for key, one in value.items())


@contextmanager
def changing() -> Iterator[None]:
    """Around a change of what exists: what would keep it from being made (NotAllocated) is a bad argument here."""
    try:
        yield
    except NotAllocated as error:
        raise BadArgument(error.text, error.oid) from None


def whole(text: str, least: int, most: int) -> int | None:
    """TEXT as a whole number from LEAST to MOST (ASCII digits only), None when it is none."""
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not least <= int(text) <= most:
        return None
    return int(text)


def identifier(text: str, name: str) -> int:
    """TEXT as an object's id; raises NotAllocated naming the attribute NAME."""
    found = whole(text, 0, MAX_ID)
    if found is None:
        raise NotAllocated(f"{name} must be a number from 0 to {MAX_ID}, not {text[:40]!r}")
    return found


def inner_xml(tree: Tree) -> bytes:
    """What stands inside <TEMPLATE>, escaped for an answer: how a record keeps its template."""
    return escape_bytes(to_xml(tree, "T")[3:-4])


def elements(fragment: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The top-level elements of a template's fragment: the name of each, and the whole of it, escaped as it stands.

    In a value the same words are escaped the same way: only who reads one element after the other can tell.
    """
    return ((found[1], found[0]) for found in _TOP.finditer(fragment))


def tree_of(fragment: bytes) -> Tree:
    """The tree of an escaped fragment; cached by content, so do not change it (use .copy())."""
    return _kept(fragment) if len(fragment) <= LARGEST_KEPT else _decoded(fragment)


def _decoded(fragment: bytes) -> Tree:
    return parse_own(f"<T>{unescape(fragment.decode())}</T>")


_kept = lru_cache(4096)(_decoded)


def permissions_xml(perms: int) -> str:
    """<PERMISSIONS> of nine bits."""
    names = (f"{who}_{right}" for who in ("OWNER", "GROUP", "OTHER") for right in "UMA")
    bits = (perms >> shift & 1 for shift in range(8, -1, -1))
    return "<PERMISSIONS>" + "".join(xmlbody.number(n, b) for n, b in zip(names, bits, strict=True)) + "</PERMISSIONS>"


def lock_xml(record: Any) -> str:
    """<LOCK>, when there is one."""
    if not record.lock:
        return ""
    level, owner, time = (int(part) for part in record.lock.split(":"))
    return f"<LOCK><LOCKED>{level}</LOCKED><OWNER>{owner}</OWNER><TIME>{time}</TIME><REQ_ID>-1</REQ_ID></LOCK>"


def new_perms(core: Core, caller: Caller, umask: str = "") -> int:
    """Permission bits of a new object: 666 (777 for administrators) minus the umask."""
    base = 0o777 if caller.admin else 0o666
    try:
        mask = int(umask or core.config.defaults.umask, 8)
    except ValueError:
        mask = 0o177
    return base & ~mask & 0o777


def user_name(core: Core, uid: int) -> str:
    """UNAME of an id."""
    found = core.store.get(KINDS["user"].record, uid)
    return str(getattr(found, "name", "")) if found else ""


def group_name(core: Core, gid: int) -> str:
    """GNAME of an id."""
    found = core.store.get(KINDS["group"].record, gid)
    return str(getattr(found, "name", "")) if found else ""


def owner_xml(core: Core, record: Any) -> str:
    """ID, UID, GID, UNAME, GNAME, NAME: how most bodies begin."""
    return (f"<ID>{record.oid}</ID><UID>{record.uid}</UID><GID>{record.gid}</GID>"
            f"{xmlbody.text('UNAME', user_name(core, record.uid))}{xmlbody.text('GNAME', group_name(core, record.gid))}"
            f"{xmlbody.text('NAME', record.name)}")
