"""Restricted attributes: what in a kind's templates only administrators may say; [tenants] lists them by kind."""
from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from onecore.api import Request
from onecore.config import names
from onecore.errors import Forbidden
from onecore.lifecycle.core import Core
from onecore.wire.template import Tree, Vector

_WORDS = {"vm": "VM", "image": "Image", "vnet": "Virtual Network", "datastore": "Datastore"}
Restricted = dict[str, tuple[str, ...] | None]
"""{attribute: its keys; None: the whole of it}."""


@lru_cache(64)
def _parsed(text: str) -> Restricted:
    out: Restricted = {}
    for name in names(text):
        attribute, slash, key = name.partition("/")
        known = out.get(attribute, ())
        out[attribute] = None if not slash or known is None else (*known, key)
    return out


def of(core: Core, kind: str) -> Restricted:
    """The restricted attributes of a kind; of VMs also those that quotas limit."""
    tenants = core.config.tenants
    text: str = getattr(tenants, f"restricted_{kind}")
    return _parsed(f"{text},{tenants.quota_vm_attributes}" if kind == "vm" else text)


def keys(core: Core, kind: str, name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Which of the KNOWN keys of a vector are restricted."""
    found = of(core, kind).get(name, ())
    return tuple(known) if found is None else found


def refusal(kind: str, name: str, oid: int = -1) -> Forbidden:
    """What a restricted attribute, NAME or NAME/KEY, is refused with."""
    return Forbidden(f"{_WORDS[kind]} Template includes a restricted attribute {name}.", oid)


def check(req: Request, kind: str, tree: Tree) -> None:
    """Raise Forbidden when TREE says what only administrators may, unless the caller is one."""
    if req.caller.admin:
        return
    restricted = of(req.core, kind)
    for name, value in tree:
        if name in restricted and (bad := _said(name, value, restricted[name])):
            raise refusal(kind, bad)


def _said(name: str, value: str | Vector, of: tuple[str, ...] | None) -> str:
    """The restricted name that VALUE says something of, "" for none."""
    if of is None:
        return name
    return next((f"{name}/{key}" for key in of if isinstance(value, dict) and value.get(key)), "")


def check_changed(req: Request, kind: str, name: str, old: Vector, new: Vector, oid: int = -1) -> None:
    """Raise Forbidden when NEW, a vector, has other restricted keys than OLD, unless the caller is an administrator."""
    for key in () if req.caller.admin else keys(req.core, kind, name, {**old, **new}):
        if old.get(key, "") != new.get(key, ""):
            raise refusal(kind, f"{name}/{key}", oid)


def keep(req: Request, kind: str, old: Tree, new: Tree, oid: int = -1) -> None:
    """Give NEW the restricted single attributes that OLD has; raise Forbidden when it says another value."""
    for name, part in () if req.caller.admin else of(req.core, kind).items():
        if part is None and name in new and new.all(name) != old.all(name):
            raise refusal(kind, name, oid)
        if part is None and name in old and name not in new:
            for value in old.all(name):
                new.add(name, value)
