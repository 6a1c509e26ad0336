"""`--filter A=b,C~d`: conditions over the cells of a list; `--search`: over whole bodies."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.errors import CliError
from cli.kind import Column, Kind, View

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_CONDITION = re.compile(r"\s*(\w+)\s*(!=|<=|>=|=|<|>|~)\s*(.*?)\s*\Z", re.S)
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)([KMGTP]?)\Z")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """COLUMN OP VALUE; `~` is a regular expression, the others compare numbers (with units) or else text."""

    column: Column
    op: str
    value: str

    def holds(self, cell: str) -> bool:
        """Whether the cell's text meets it."""
        if self.op == "~":
            return re.search(self.value, cell) is not None
        left, right = _number(cell), _number(self.value)
        if left is None or right is None:
            return _ORDER[self.op](cell, self.value)
        return _ORDER[self.op](left, right)


def _number(text: str) -> float | None:
    found = _NUMBER.match(text)
    return float(found[1]) * 1024 ** ("KMGTP".index(found[2]) + 1 if found[2] else 0) if found else None


def parse(kind: Kind, text: str) -> list[Condition]:
    """The conditions of TEXT; raises CliError for what is not a condition on a column of KIND."""
    return [_condition(kind, part) for part in text.split(",") if part.strip()]


def _condition(kind: Kind, text: str) -> Condition:
    found = _CONDITION.match(text)
    if not found:
        raise CliError(f"{text!r} is not a filter: COLUMN and one of = != < <= > >= ~ and a value")
    chosen = kind.column(found[1])
    if chosen is None:
        raise CliError(f"no column {found[1]}; there are {', '.join(c.name for c in kind.columns)}")
    if found[2] == "~":
        try:
            re.compile(found[3])
        except re.error as error:
            raise CliError(f"{found[3]!r} is not a regular expression: {error}") from None
    return Condition(chosen, found[2], found[3])


def keep(conditions: Sequence[Condition], body: Body, view: View, every: bool) -> bool:
    """Whether BODY meets EVERY condition, or else one of them."""
    if not conditions:
        return True
    return (all if every else any)(c.holds(c.column.cell(body, view)) for c in conditions)


class Search:
    """`VM.NAME=web&VM.TEMPLATE.CPU=1`: each of the paths has a leaf that contains the text; a bare word: any leaf."""

    def __init__(self, kind: Kind, text: str) -> None:
        """Raises CliError for what is no such query."""
        self.wanted = [_wanted(kind, part) for part in text.split("&") if part.strip()]
        if not self.wanted:
            raise CliError("--search needs a word, or PATH=TEXT&PATH=TEXT")

    def finds(self, body: Body) -> bool:
        """Whether BODY is to be kept."""
        return all(_contains(body, path, text) for path, text in self.wanted)


def _wanted(kind: Kind, part: str) -> tuple[str, str]:
    path, equals, text = part.partition("=")
    if not equals:
        return "", part.strip()
    names = path.strip().upper().split(".")
    names = names[1:] if names[0] == kind.tag else names
    if not names or not all(re.fullmatch(r"\w+", name) for name in names):
        raise CliError(f"--search: {path.strip()!r} is not a path, as in {kind.tag}.TEMPLATE.NIC.IP")
    return "/".join(names), text.strip()


def _contains(body: Body, path: str, text: str) -> bool:
    found = body.iterfind(path) if path else body.iter()
    return any(text in (element.text or "") for element in found)
