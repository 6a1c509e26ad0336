"""What a record is: a frozen dataclass whose fields are columns.

A record class names its table and says which objects (kind, id) a change of it shows on, so that answers about them
wait for the right commit.
"""
from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import Any, ClassVar

Key = int | str | tuple[Any, ...]
Object = tuple[str, int]


class Record:
    """Base of all records; subclasses are frozen dataclasses with slots."""

    __slots__ = ()
    TABLE: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]] = ("oid",)
    KIND: ClassVar[str] = ""

    def key(self) -> Key:
        """The primary key's value: the bare value of a single column, else a tuple."""
        found: Key = _key_getter(type(self))(self)
        return found

    def touches(self) -> tuple[Object, ...]:
        """The objects whose answers this record is part of."""
        return ((self.KIND, int(self.key())),) if self.KIND else ()  # type: ignore[arg-type]

    @classmethod
    def live(cls, row: Record) -> bool:
        """Whether ROW is kept in memory (a VM that is DONE is not)."""
        return True


_GETTERS: dict[type[Record], Any] = {}
_ROWS: dict[type[Record], Any] = {}


def _key_getter(cls: type[Record]) -> Any:
    if cls not in _GETTERS:
        _GETTERS[cls] = attrgetter(*cls.KEY)
    return _GETTERS[cls]


def columns(cls: type[Record]) -> tuple[str, ...]:
    """The column names, in field order."""
    return tuple(f.name for f in fields(cls))  # type: ignore[arg-type]


def row_of(record: Record) -> tuple[Any, ...]:
    """The values of a record, in column order."""
    getter = _ROWS.get(type(record))
    if getter is None:
        getter = _ROWS[type(record)] = attrgetter(*columns(type(record)))
    row: tuple[Any, ...] = getter(record)
    return row
