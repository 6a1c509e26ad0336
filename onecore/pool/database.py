"""The connection to SQL: opening, locking, loading records, small reads.  SQLite (WAL, FULL) or PostgreSQL.

One oned a database: an exclusive lock on the home's file (SQLite) or an advisory lock on the writer's connection
(PostgreSQL), taken before anything is read.
"""
from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import sqlalchemy as sa

from onecore.pool import schema
from onecore.pool.record import Record

R = TypeVar("R", bound=Record)
_ADVISORY = 0x0E0C04E


LINGERS = 5.0
"""Seconds for which a busy PostgreSQL may not have noticed yet that an oned that ended, or was killed, is gone."""
PATIENCE = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
            "tcp_user_timeout": 20_000}
"""A PostgreSQL server that is silent is gone (seconds; milliseconds the last), unless the URL says otherwise."""


class DatabaseError(Exception):
    """The database cannot be used; the text says why and what to do."""


class Database:
    """One SQL database and the home that it belongs to."""

    def __init__(self, home: Path, url: str, classes: Sequence[type[Record]]) -> None:
        self.home, self.classes = home, tuple(classes)
        self.sqlite = url in ("", "sqlite")
        self.path = home / "onecore.db"
        where = sa.make_url(f"sqlite:///{self.path}" if self.sqlite else _psycopg(url))
        patience = {} if self.sqlite else {k: v for k, v in PATIENCE.items() if k not in where.query}
        self.engine = sa.create_engine(where, pool_pre_ping=not self.sqlite, connect_args=patience)
        if self.sqlite:
            sa.event.listen(self.engine, "connect", _pragmas)
        self.metadata = schema.metadata(self.classes)
        self.paramstyle = self.engine.dialect.paramstyle
        self._lock: IO[str] | None = None
        self._writer: sa.Connection | None = None

    def lock(self) -> None:
        """Take the home and the database; raises DatabaseError when another oned has one of them."""
        self._lock = lock_home(self.home)
        if self.sqlite:
            private(self.path)
        self._writer = self._connect(LINGERS)

    def unlock(self) -> None:
        """Give the home back."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def writer_connection(self) -> sa.Connection:
        """The connection that writes; on PostgreSQL it holds the advisory lock."""
        made, self._writer = self._writer or self._connect(LINGERS), None
        return made

    def writer_again(self, old: sa.Connection) -> sa.Connection:
        """Another one in place of OLD, which may be broken and must not keep the lock."""
        if not self.sqlite:
            old.invalidate()
        old.close()
        return self._connect()

    def _connect(self, patience: float = 0.0) -> sa.Connection:
        """A connection that has the lock, which may be taken for that many seconds more."""
        end = time.monotonic() + patience
        try:
            made = self.engine.connect()
            while not self.sqlite and not made.exec_driver_sql(f"SELECT pg_try_advisory_lock({_ADVISORY})").scalar():
                made.rollback()
                if time.monotonic() >= end:
                    made.close()
                    raise DatabaseError("another oned holds this PostgreSQL database")
                time.sleep(0.1)
            made.commit()
        except sa.exc.SQLAlchemyError as error:
            raise self._failed(error) from None
        return made

    def _failed(self, error: Exception) -> DatabaseError:
        cause = str(getattr(error, "orig", None) or error).strip()
        return DatabaseError(f"the database {self.engine.url.render_as_string()} cannot be used: {cause}")

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for a short read; raises DatabaseError."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
            raise self._failed(error) from None

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction of its own, before the writer is at work; raises DatabaseError."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise self._failed(error) from None

    def meta(self, name: str, default: int = 0) -> int:
        """A number of the meta table."""
        mark = "?" if self.paramstyle == "qmark" else "%s"
        with self.reading() as connection:
            found = connection.exec_driver_sql(f"SELECT value FROM meta WHERE name = {mark}", (name,)).scalar()
        return default if found is None else int(found)

    def set_meta(self, name: str, value: int) -> None:
        """Write a number of the meta table, durably."""
        sql = schema.upsert_sql(self.metadata.tables["meta"], self.paramstyle)
        with self.writing() as connection:
            connection.exec_driver_sql(sql, (name, value))

    def load(self, cls: type[R]) -> Iterable[R]:
        """All live records of a class, streamed."""
        with self.reading() as connection:
            for row in self._streamed(connection, schema.all_sql(cls)):
                record = cls(*row)
                if cls.live(record):
                    yield record

    def _streamed(self, connection: sa.Connection, sql: str) -> Iterable[Sequence[Any]]:
        """The rows of many: SQLite's driver gives one by one as it is, and Core's layers cost more than the rows."""
        if not self.sqlite:
            return connection.execution_options(yield_per=2000).exec_driver_sql(sql)
        found: Iterable[Sequence[Any]] = connection.connection.cursor().execute(sql)
        return found

    def select(self, cls: type[R], where: str = "", parameters: dict[str, Any] | None = None, order: str = "",
               limit: int | None = None) -> list[R]:
        """Records of a class by an SQL condition with named parameters (searches outside memory)."""
        text = schema.all_sql(cls)
        text += f" WHERE {where}" if where else ""
        text += f" ORDER BY {order}" if order else ""
        text += f" LIMIT {int(limit)}" if limit is not None else ""
        with self.reading() as connection:
            return [cls(*row) for row in connection.execute(sa.text(text), parameters or {})]

    def rows(self, text: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of any SELECT with named parameters."""
        with self.reading() as connection:
            return [tuple(row) for row in connection.execute(sa.text(text), parameters or {})]

    def size(self) -> int:
        """Bytes on disk."""
        if self.sqlite:
            return sum(p.stat().st_size for p in self.home.glob("onecore.db*") if p.suffix in (".db", ".db-wal"))
        return int(self.rows("SELECT pg_database_size(current_database())")[0][0])

    def close(self) -> None:
        """Close all connections and give the lock back."""
        self.engine.dispose()
        self.unlock()


def lock_home(home: Path) -> IO[str]:
    """Take a home for this process until the file that is returned is closed; DatabaseError when another has it."""
    home.mkdir(parents=True, exist_ok=True)
    lock = open(home / "oned.lock", "a+")  # noqa: SIM115 (held for the life of the process)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with lock:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
        raise DatabaseError(f"another oned (pid {holder}) runs on {home}") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def private(path: Path) -> Path:
    """Make sure that a file is there and that only its owner may read it (SQLite's side files get the same mode)."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path


def _psycopg(url: str) -> str:
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url[len(prefix):]
    return url


def _pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=10000", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
