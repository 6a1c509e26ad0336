"""What a kind of object declares to the command line: its names, methods, columns and commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click

    from cli.session import Caller, Session
    from onecore.wire.xmlbody import Body

Factory = Callable[["Kind"], "click.Command"]
Cell = Callable[["Body", "View"], str]
Show = Callable[["Session", "Kind", "Body"], list[str]]
More = Callable[["Caller"], Mapping[str, str]]
PoolReader = Callable[["Caller", int, float | None], "Body"]
Reader = Callable[["Caller", int], "Body"]


def later(path: str, *first: Any) -> Callable[..., Any]:
    """The function at `module:name` with FIRST as its first arguments, imported when it is called.

    So a command costs the start of the others nothing.
    """

    def call(*arguments: Any) -> Any:
        from importlib import import_module

        module, _, name = path.partition(":")
        return getattr(import_module(module), name)(*first, *arguments)

    return call


SHARED: Mapping[str, Factory] = {
    "list": later("cli.listing:list_"),
    "top": later("cli.listing:top"),
    **{
        name: later(f"cli.shared:{name}")
        for name in ("show", "delete", "rename", "update", "chown", "chgrp", "chmod", "lock", "unlock")
    },
}
"""The commands that most kinds have."""


def shared(*names: str) -> dict[str, Factory]:
    """Those of the shared commands."""
    return {name: SHARED[name] for name in names}


def enabling(enable: str, disable: str) -> dict[str, Factory]:
    """The commands enable and disable with their texts of help."""
    return {
        "enable": later("cli.shared:switch", "enable", True, enable),
        "disable": later("cli.shared:switch", "disable", False, disable),
    }


def limiting() -> dict[str, Factory]:
    """The commands of kinds that have quotas."""
    return {name: later(f"cli.user.quotas:{name}") for name in ("quota", "batchquota", "defaultquota")}


@dataclass(frozen=True, slots=True)
class View:
    """How values are shown: ids instead of names, plain kilobytes instead of units, and the present (epoch seconds).

    `more`: by column and object's id, what does not stand in bodies (Column.more).
    """

    numeric: bool = False
    kilobytes: bool = False
    now: float = 0.0
    more: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a list.  `wide`: takes what a terminal has left.  `state`: coloured by its word.

    `more` asks for what its cells show, when that is in no body; the answer is in View.more.
    """

    name: str
    help: str
    size: int
    cell: Cell
    left: bool = False
    wide: bool = False
    state: bool = False
    more: More | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object.  `tag` is its XML element and its name in messages.

    `method` and `pool` stand between `one.` and the verb.  `filtered`: the pool takes a filter flag and an id range,
    then `tail`.  `extended` is the pool method with full bodies, if there is one.  `edits` is the element that
    `update` changes.  `absent` is said before a name that is none's, else that it was not found.  `decrypt` is what
    `info` takes to show encrypted attributes in plain.  `pool_reader` (filter flag, seconds to wait at most) and
    `reader` (id) are for kinds that no method of `one.` tells of.
    """

    program: str
    title: str
    tag: str
    method: str
    pool: str
    columns: tuple[Column, ...]
    default: tuple[str, ...]
    show: Show
    commands: Mapping[str, Factory]
    views: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    filtered: bool = False
    tail: tuple[int, ...] = ()
    extended: str = ""
    edits: str = "TEMPLATE"
    absent: str = ""
    decrypt: tuple[object, ...] = ()
    pool_reader: PoolReader | None = None
    reader: Reader | None = None

    def call(self, verb: str) -> str:
        """The full name of the kind's method VERB."""
        return f"one.{self.method}.{verb}"

    def column(self, name: str) -> Column | None:
        """The column of that name in any case."""
        return next((c for c in self.columns if c.name.upper() == name.upper()), None)
