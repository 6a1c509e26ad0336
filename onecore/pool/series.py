"""Monitoring series: monitor.db in the home, whatever the database is, written in batches, kept for a while.

Monitoring is not state: it may be lost in a crash, and never touches an object's row.
"""
from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from onecore.pool.database import private

HOST_FIELDS = ("free_cpu", "used_cpu", "free_mem_kb", "used_mem_kb", "netrx", "nettx")
VM_FIELDS = ("cpu", "memory_kb", "netrx", "nettx", "diskrdbytes", "diskwrbytes", "diskrdiops", "diskwriops")
Row = tuple[int, int, Sequence[float]]
"""(id, time, values in field order)."""

_SCHEMA = {"host": HOST_FIELDS, "vm": VM_FIELDS}


class Series:
    """A store of numeric samples by (id, time).  Its calls block: use a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._prepare()
        except sqlite3.DatabaseError:  # damaged by a crash: series are not worth a stop
            self._path.unlink(missing_ok=True)
            return self._prepare()

    def _prepare(self) -> sqlite3.Connection:
        made = sqlite3.connect(private(self._path), check_same_thread=False)
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("PRAGMA synchronous=OFF")
        for table, names in _SCHEMA.items():
            made.execute(f"CREATE TABLE IF NOT EXISTS {table} (id INTEGER, time INTEGER, "
                         + ", ".join(f"{n} REAL" for n in names) + ", PRIMARY KEY (id, time)) WITHOUT ROWID")
        made.commit()
        return made

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Store samples of `host` or `vm`."""
        marks = ",".join("?" * (2 + len(_SCHEMA[table])))
        with self._lock, self._db:
            self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", [(i, t, *v) for i, t, v in rows])

    def read(self, table: str, ids: Sequence[int], since: int) -> dict[int, list[tuple[int, dict[str, float]]]]:
        """{id: [(time, values by name)]} from SINCE on, oldest first."""
        names, found = _SCHEMA[table], dict[int, list[tuple[int, dict[str, float]]]]()
        with self._lock:
            for oid in ids:
                rows = self._db.execute(f"SELECT * FROM {table} WHERE id = ? AND time >= ? ORDER BY time", (oid, since))
                found[oid] = [(r[1], dict(zip(names, r[2:], strict=True))) for r in rows]
        return found

    def purge(self, before: int, limit: int = 5000) -> int:
        """Drop at most LIMIT samples older than BEFORE of each table; how many went."""
        gone = 0
        with self._lock, self._db:
            for table in _SCHEMA:
                gone += self._db.execute(
                    f"DELETE FROM {table} WHERE (id, time) IN (SELECT id, time FROM {table} WHERE time < ? LIMIT ?)",
                    (before, limit)).rowcount
        return gone

    def size(self) -> int:
        """Bytes on disk."""
        return sum(p.stat().st_size for p in self._path.parent.glob(self._path.name + "*"))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
