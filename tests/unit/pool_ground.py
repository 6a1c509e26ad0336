"""Records, a database and a writer that waits, for the tests of the pool."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from onecore.pool.database import Database
from onecore.pool.migrations import migrate
from onecore.pool.record import Object, Record
from onecore.pool.store import Counter, Groups, Members, Store
from onecore.pool.writer import Batch


@dataclass(frozen=True, slots=True)
class Thing(Record):
    """An object with an owner and tags."""

    TABLE: ClassVar[str] = "thing"
    KIND: ClassVar[str] = "thing"
    oid: int
    owner: int
    tags: str


@dataclass(frozen=True, slots=True)
class Part(Record):
    """A row of its own that belongs to a thing."""

    TABLE: ClassVar[str] = "part"
    KEY: ClassVar[tuple[str, ...]] = ("thing", "n")
    thing: int
    n: int
    data: bytes

    def touches(self) -> tuple[Object, ...]:
        """The thing."""
        return (("thing", self.thing),)


CLASSES = (Thing, Part, Counter)


class Paper:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def submit(self, batch: Batch) -> None:
        """Keep it."""
        self.batches.append(batch)

    def close(self) -> bool:
        """Nothing to do."""
        return True


class Pool:
    """A store on paper, with two indexes."""

    def __init__(self) -> None:
        self.paper = Paper()
        self.store = Store(CLASSES, lambda: 1700000000.5)
        self.store.writer = self.paper
        self.owners: Groups[Thing] = Groups(lambda t: t.owner if t.owner >= 0 else None)
        self.tags: Members[Thing] = Members(lambda t: t.tags.split())
        self.store.index(Thing, self.owners)
        self.store.index(Thing, self.tags)

    def seen(self) -> tuple[object, ...]:
        """All that a transaction may change, to compare."""
        return ({c: dict(t) for c, t in self.store.tables.items()},
                {k: set(v) for k, v in self.owners._sets.items()}, {k: set(v) for k, v in self.tags._sets.items()})


def database(home: Path) -> Database:
    """An SQLite database with the schema of CLASSES."""
    made = Database(home, "sqlite", CLASSES)
    made.lock()
    migrate(made)
    return made
