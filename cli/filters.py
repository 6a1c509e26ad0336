"""`--filter A=b,C~d`: conditions over the cells of a list."""

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
