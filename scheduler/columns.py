"""Attributes of many objects as numpy columns, made when an expression first asks for them.

An attribute is named by its XML tag, wherever in the object it stands (the least deep place counts), or by the end of
its path, as in `CLUSTERS/ID`.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onecore.wire.xmlbody import Body

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Rows = slice | Ints
Leaves = Mapping[str, tuple[str, ...]]
"""An object: path below its root -> the texts found there, in order."""

ALL = slice(None)
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts: `values[codes[row]]` are the row's texts; a row that lacks the attribute has none."""

    codes: Ints
    values: tuple[tuple[str, ...], ...]


class Columns(Protocol):
    """What an expression needs to know about some objects."""

    def numbers(self, name: str) -> Floats:
        """The first value of NAME as a number, NaN where there is none."""

    def texts(self, name: str) -> Texts:
        """Every value of NAME."""

    def members(self, name: str) -> Sequence[Set[int]] | None:
        """The ids in NAME, for an attribute that is a set of ids (CURRENT_VMS); else None."""


def leaves(body: Body, skip: Set[str] = frozenset()) -> dict[str, tuple[str, ...]]:
    """All texts of BODY by path below it, without the children named in SKIP."""
    found: dict[str, list[str]] = {}
    for child in body:
        if child.tag not in skip:
            _gather(child, child.tag, found)
    return {path: tuple(texts) for path, texts in found.items()}


def _gather(element: Body, path: str, found: dict[str, list[str]]) -> None:
    if not len(element):
        found.setdefault(path, []).append(element.text or "")
        return
    for child in element:
        _gather(child, f"{path}/{child.tag}", found)


def number(text: str, otherwise: float = float("nan")) -> float:
    """The number that TEXT begins with, as C++ streams read it."""
    found = _NUMBER.match(text)
    return float(found.group()) if found else otherwise


def figure(value: float) -> str:
    """VALUE as people write it: no fraction where there is none, at most two digits of it."""
    return str(int(value)) if value == int(value) else f"{value:.2f}".rstrip("0")


def encode(rows: Iterable[tuple[str, ...]]) -> Texts:
    """A column of texts from each row's values."""
    known: dict[tuple[str, ...], int] = {}
    codes = np.array([known.setdefault(values, len(known)) for values in rows], dtype=np.int64)
    return Texts(codes, tuple(known))


class Table:
    """The attributes of objects that do not change; columns are kept."""

    def __init__(self, rows: Sequence[Leaves]) -> None:
        self.rows = rows
        self._numbers: dict[str, Floats] = {}
        self._texts: dict[str, Texts] = {}
        self._paths = sorted({path for row in rows for path in row}, key=lambda path: (path.count("/"), path))

    def numbers(self, name: str) -> Floats:
        """See Columns."""
        if name not in self._numbers:
            texts = self.texts(name)
            lookup = np.array([number(values[0]) if values else np.nan for values in texts.values], dtype=np.float64)
            self._numbers[name] = lookup[texts.codes] if len(self.rows) else np.zeros(0)
        return self._numbers[name]

    def texts(self, name: str) -> Texts:
        """See Columns."""
        if name not in self._texts:
            if len(self._texts) > 512:
                self._texts.clear()
                self._numbers.clear()
            paths = self.paths(name)
            self._texts[name] = encode(first(row, paths) for row in self.rows)
        return self._texts[name]

    def members(self, name: str) -> None:
        """See Columns: none is a set here."""

    def has(self, name: str) -> bool:
        """Does any object have NAME?"""
        return any(self.texts(name).values)

    def paths(self, name: str) -> list[str]:
        """Where NAME may stand, the least deep place first; `/HOST/TEMPLATE/X` is from the root."""
        if name.startswith("/"):
            _, _, inside = name[1:].partition("/")
            return [inside] if inside else []
        return [path for path in self._paths if path == name or path.endswith("/" + name)]


def first(row: Leaves, paths: Sequence[str]) -> tuple[str, ...]:
    """The values at the first of PATHS that ROW has."""
    return next((row[path] for path in paths if path in row), ())


class Live:
    """A table with some columns that change while VMs are placed: `values` replaces numbers, `sets` sets of ids."""

    def __init__(self, table: Table, values: Mapping[str, NDArray[np.float64] | Ints],
                 sets: Mapping[str, Sequence[Set[int]]]) -> None:
        self.table, self.values, self.sets = table, values, sets

    def numbers(self, name: str) -> Floats:
        """See Columns."""
        live = self.values.get(name)
        return self.table.numbers(name) if live is None else live.astype(np.float64, copy=False)

    def texts(self, name: str) -> Texts:
        """See Columns."""
        live = self.values.get(name)
        if live is None:
            return self.table.texts(name)
        return encode((figure(value),) if value == value else () for value in live.tolist())

    def members(self, name: str) -> Sequence[Set[int]] | None:
        """See Columns."""
        return self.sets.get(name)
