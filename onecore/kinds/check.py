"""Whether the rows of a database agree with each other: owners are there, and what belongs to an object has it."""
from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from onecore.kinds.kind import KINDS
from onecore.pool.database import Database
from onecore.pool.record import Object, Record

MOST = 1000
"""Faults that are told."""


def faults(database: Database) -> list[str]:
    """What does not agree, a line each, at most 1,000; empty when all is well."""
    return list(islice(_faults(database), MOST))


def _faults(database: Database) -> Iterator[str]:
    known = {name: {int(row[0]) for row in database.rows(f'SELECT oid FROM "{kind.record.TABLE}"')}
             for name, kind in KINDS.items()}
    for kind in KINDS.values():
        for cls in (kind.record, *kind.classes):
            for record in database.load(cls):
                yield from _of(record, known)
                if cls is kind.record and kind.owned:
                    yield from _owned(record, known)


def _of(record: Record, known: dict[str, set[int]]) -> Iterator[str]:
    for kind, oid in _missing(record.touches(), known):
        yield f"{record.TABLE} {record.key()} belongs to {kind} {oid}, which is not there"


def _owned(record: Any, known: dict[str, set[int]]) -> Iterator[str]:
    for kind, oid in _missing((("user", record.uid), ("group", record.gid)), known):
        yield f"{record.TABLE} {record.key()} is of {kind} {oid}, which is not there"


def _missing(objects: tuple[Object, ...], known: dict[str, set[int]]) -> list[Object]:
    return [(kind, oid) for kind, oid in objects if kind in known and oid >= 0 and oid not in known[kind]]
