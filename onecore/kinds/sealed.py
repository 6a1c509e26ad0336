"""Encrypted attributes: what in templates is kept sealed, shown so, and opened for drivers and for who manages it.

[tenants] lists them by kind.  Whatever writes a record, its attributes are sealed on the way (`store.seals`), so that
no method can forget it; what opens them is here.  A value is bound to its object and attribute: copied into another
template it is a text like any other, and any text that begins as sealed ones do is kept as it is.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from onecore.auth.vault import FILE, MARK, NEW, Vault, make_key, read_key
from onecore.config import Config, ConfigError, Tenants, names
from onecore.kinds.kind import KINDS, inner_xml, tree_of
from onecore.lifecycle.core import Core
from onecore.pool.record import Record, columns
from onecore.wire.template import Tree, Value

LIST = {"template": "vm"}
"""Kinds that have another's list."""
LISTS = tuple(name.removeprefix("encrypted_") for name in Tenants.__dataclass_fields__ if name.startswith("encrypted_"))
_MARK = MARK.encode()
Paths = dict[str, frozenset[str]]
"""{attribute: its keys; none: the whole of it}."""


@lru_cache(64)
def _parsed(text: str) -> Paths:
    out: dict[str, set[str]] = {}
    whole = {name for name in names(text) if "/" not in name}
    for name in names(text):
        attribute, _, key = name.partition("/")
        out.setdefault(attribute, set())
        if key and attribute not in whole:
            out[attribute].add(key)
    return {name: frozenset(keys) for name, keys in out.items()}


def paths(config: Config, kind: str) -> Paths:
    """What of a kind is encrypted."""
    return _parsed(getattr(config.tenants, f"encrypted_{LIST.get(kind, kind)}", ""))


def check(config: Config, ours: Callable[[str], bool]) -> None:
    """Raise ConfigError for an attribute of VMs that is OURS, which oned itself reads: it would read the cipher."""
    bad = [name for name in names(config.tenants.encrypted_vm) if ours(name)]
    if bad:
        raise ConfigError(f"tenants.encrypted_vm: {bad[0]} cannot be encrypted, oned and onesched read it themselves")


def hidden(config: Config) -> frozenset[str]:
    """The names of all attributes and keys that are encrypted somewhere."""
    return frozenset(part for kind in LISTS for name in names(getattr(config.tenants, f"encrypted_{kind}"))
                     if (part := name.rpartition("/")[2]))


# -- when oned starts

def prepare(core: Core, fields: dict[type[Record], tuple[str, tuple[str, ...]]]) -> None:
    """Give CORE its vault if anything is, or ever was, encrypted, and have records sealed; FIELDS: {class: (kind,
    its fields that are templates)}.  Raises ConfigError when the key cannot be used."""
    wanted = {cls: (kind, its) for cls, (kind, its) in fields.items() if paths(core.config, kind)}
    core.kinds["vault"] = None
    if not wanted and not (core.home / FILE).exists():
        return
    try:
        core.kinds["vault"] = _vault(core)
    except (OSError, ValueError) as error:
        raise ConfigError(f"tenants.encrypted_*: {error}") from None
    for cls, (kind, its) in wanted.items():
        core.store.seals[cls] = _sealer(core.kinds["vault"], paths(core.config, kind), kind, its)


def _vault(core: Core) -> Vault:
    """The vault with the cloud's key, which is made when there never was one; raises ValueError."""
    path, known = core.home / FILE, core.database.meta("vault")
    fresh = path.exists() and path.read_bytes().strip() == NEW
    if fresh or not (known or path.exists()):
        make_key(path, core.random.randbytes)
    elif not path.exists():
        raise ValueError(f"{path} is not there, with the key that attributes are encrypted with; take it from a backup "
                         f"or, to give them up, write the word {NEW.decode()} into it")
    vault = Vault(read_key(path), core.random.randbytes)
    if known and vault.number != known and not fresh:
        raise ValueError(f"{path} holds another key than the one that attributes are encrypted with; take that from a "
                         f"backup or, to give them up, write the word {NEW.decode()} into it")
    return vault


def _sealer(vault: Vault, wanted: Paths, kind: str, fields: tuple[str, ...]) -> Callable[[Any, Any], Any]:
    marks = [f"&lt;{attribute}&gt;".encode() for attribute in wanted]

    def seal(record: Any, old: Any) -> Any:
        """RECORD with what is to be sealed sealed, given what was there before."""
        changed = {}
        for name in fields:
            fragment = getattr(record, name)
            if old is not None and getattr(old, name) is fragment:
                continue
            if any(mark in fragment for mark in marks):
                changed[name] = inner_xml(_sealed(vault, wanted, f"{kind}:{record.oid}", tree_of(fragment)))
        return replace(record, **changed) if changed else record
    return seal


def _sealed(vault: Vault, wanted: Paths, whose: str, tree: Tree) -> Tree:
    def one(text: str, place: str) -> str:
        return text if not text or text.startswith(MARK) else vault.seal(text, place)

    def value(name: str, given: Value) -> Value:
        if isinstance(given, str):
            return one(given, f"{whose}:{name}") if not wanted[name] else given
        return {key: one(text, f"{whose}:{name}/{key}") if not wanted[name] or key in wanted[name] else text
                for key, text in given.items()}

    return Tree((name, value(name, given) if name in wanted else given) for name, given in tree)


# -- opening

def fragment(core: Core, kind: str, oid: int, template: bytes) -> bytes:
    """The fragment TEMPLATE of an object with what is sealed in it in plain."""
    return inner_xml(_open(core, kind, oid, template)) if _closed(core, template) else template


def tree(core: Core, kind: str, oid: int, template: bytes) -> Tree:
    """As `fragment`, as a tree that is not to be changed."""
    return _open(core, kind, oid, template) if _closed(core, template) else tree_of(template)


def of(core: Core, kind: str, record: Any) -> Tree:
    """The template of a record, in plain; not to be changed."""
    return tree(core, kind, record.oid, record.template)


def attributes(core: Core, kind: str, record: Any) -> dict[str, Value]:
    """The template of a record, in plain and by name; of several of a name the first.  As drivers see it."""
    found: dict[str, Value] = {}
    for name, value in of(core, kind, record):
        found.setdefault(name, value)
    return found


def opened(core: Core, kind: str, record: Any) -> Any:
    """A record with its template in plain: for a body, never to be kept."""
    template = getattr(record, "template", b"")
    plain = fragment(core, kind, record.oid, template) if isinstance(template, bytes) else template
    return record if plain is template else replace(record, template=plain)


def _closed(core: Core, template: bytes) -> bool:
    return core.kinds.get("vault") is not None and _MARK in template


def _open(core: Core, kind: str, oid: int, template: bytes) -> Tree:
    vault: Vault = core.kinds["vault"]

    def one(text: str, place: str) -> str:
        plain = vault.open(text, f"{kind}:{oid}:{place}")
        return text if plain is None else plain

    return Tree((name, one(value, name) if isinstance(value, str) else
                 {key: one(text, f"{name}/{key}") for key, text in value.items()}) for name, value in tree_of(template))


def seal_what_is_not(core: Core) -> int:
    """Seal what was written before it was in a list; how many records that were.  From now on there is this key."""
    found, vault = 0, core.kinds["vault"]
    if vault is not None:
        core.database.set_meta("vault", vault.number)
    with core.store.tx() as tx:
        for cls, seal in core.store.seals.items():
            for record in list(core.store.all(cls)):
                fresh = seal(record, None)
                if fresh is not record and fresh != record:
                    tx.put(fresh)
                    found += 1
    return found


def fields_of(more: dict[type[Record], tuple[str, tuple[str, ...]]]) -> dict[type[Record], tuple[str, tuple[str, ...]]]:
    """The records of all kinds that have a list, and MORE."""
    found = {kind.record: (name, ("template",)) for name, kind in KINDS.items()
             if LIST.get(name, name) in LISTS and "template" in columns(kind.record)}
    return found | more
