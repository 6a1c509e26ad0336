"""Group commit: a thread that writes many transactions in one commit and tells when each is durable.

A transaction is a set of upserts and deletes by key.  A batch keeps the last of each key and writes many rows a
statement.
"""
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from onecore.pool import schema
from onecore.pool.database import Database


class Late(Exception):
    """SQL has a transaction after all that nobody knew the end of when memory was loaded: load again."""


Row = tuple[Any, ...]
Write = tuple[str, Any, Row | None]
"""(table, key, row or None to delete)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction stages: its number and its writes."""

    seq: int
    writes: Sequence[Write]


class Writer(Protocol):
    """Where transactions become durable."""

    def submit(self, batch: Batch) -> None:
        """Queue a transaction; `durable` or `failed` is told later."""
        ...

    def close(self) -> bool:
        """Write what is queued, then stop; False when not all of it could be written."""
        ...


SIZES = (64, 16, 4, 1)
"""Rows a statement: each statement is one turn of the interpreter's lock, and the loop wants it too."""


class BatchSql:
    """Runs batches on one connection in one SQL transaction."""

    def __init__(self, database: Database) -> None:
        tables, style = database.metadata.tables, database.paramstyle
        self._upserts = {n: [(size, schema.upsert_sql(t, style, size)) for size in SIZES] for n, t in tables.items()}
        self._deletes = {n: [(size, schema.delete_sql(t, style, size)) for size in SIZES] for n, t in tables.items()}

    def run(self, connection: sa.Connection, batches: Sequence[Batch]) -> None:
        """Commit BATCHES; raises what SQL raises, with nothing written."""
        last: dict[str, dict[Any, Row | None]] = {}
        for batch in batches:
            for table, key, row in batch.writes:
                last.setdefault(table, {})[key] = row
        last["meta"] = {"seq": ("seq", batches[-1].seq)}
        if not connection.in_transaction():
            connection.begin()
        cursor = connection.connection.cursor()  # the driver's own: Core's layers cost more than the rows
        try:
            for table, rows in last.items():
                kept = [r for r in rows.values() if r is not None]
                gone = [k if isinstance(k, tuple) else (k,) for k, r in rows.items() if r is None]
                _execute(cursor, self._upserts[table], kept)
                _execute(cursor, self._deletes[table], gone)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        finally:
            cursor.close()


def _execute(cursor: Any, statements: list[tuple[int, str]], rows: list[Row]) -> None:
    """Run the statements that take ROWS in the fewest steps."""
    at = 0
    for size, text in statements:
        while len(rows) - at >= size:
            cursor.execute(text, [value for row in rows[at:at + size] for value in row])
            at += size


class ThreadWriter:
    """The real writer.  DURABLE(seq) and FAILED(seq, error) are called in its thread."""

    def __init__(self, database: Database, durable: Callable[[int], None],
                 failed: Callable[[int, BaseException], None], limit: int = 2000) -> None:
        self._sql = BatchSql(database)
        self._database, self._durable, self._failed, self._limit = database, durable, failed, limit
        self._queue: deque[Batch] = deque()
        self._wake = threading.Condition()
        self._closing = self._broken = False
        self._connection = database.writer_connection()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Queue a transaction.  After a failed commit everything is dropped until `resume`."""
        with self._wake:
            if not self._broken:
                self._queue.append(batch)
                self._wake.notify()

    def resume(self, last: int) -> None:
        """Accept transactions again after a failure (memory was loaded anew, LAST is the number that SQL has).

        Raises what SQL raises when it takes no writes, and Late: only now that the lock is taken again has the old
        connection's transaction ended for certain.
        """
        with self._wake:
            self._queue.clear()
            self._connection = self._database.writer_again(self._connection)
            if (found := self._database.meta("seq")) != last:
                raise Late(f"what is stored goes up to number {found}, not {last}")
            self._sql.run(self._connection, [Batch(last, ())])
            self._broken = False

    def close(self) -> bool:
        """Write what is queued, then stop; False when not all of it could be written."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._connection.close()
        return not self._broken

    def _take(self) -> list[Batch]:
        with self._wake:
            while not self._queue and not self._closing:
                self._wake.wait()
            return [self._queue.popleft() for _ in range(min(len(self._queue), self._limit))]

    def _run(self) -> None:
        while batches := self._take():
            try:
                self._sql.run(self._connection, batches)
            except Exception as error:  # whatever it is, nothing of this batch may be acknowledged
                with self._wake:
                    self._broken = True
                    self._queue.clear()
                self._failed(batches[0].seq, error)
                if self._closing:
                    return
                continue
            self._durable(batches[-1].seq)


class InlineWriter:
    """Commits each transaction at once in the calling thread: simulations and tools."""

    def __init__(self, database: Database, durable: Callable[[int], None]) -> None:
        self._sql, self._durable = BatchSql(database), durable
        self._connection = database.writer_connection()
        self.held: list[Batch] | None = None
        """A list: transactions wait in it (a test decides when, or whether, they become durable)."""

    def submit(self, batch: Batch) -> None:
        """Commit now, or hold."""
        if self.held is not None:
            self.held.append(batch)
            return
        self._sql.run(self._connection, [batch])
        self._durable(batch.seq)

    def release(self) -> None:
        """Commit what is held and go on holding."""
        if self.held:
            batches, self.held = self.held, []
            self._sql.run(self._connection, batches)
            self._durable(batches[-1].seq)

    def close(self) -> bool:
        """Close the connection."""
        self._connection.close()
        return True
