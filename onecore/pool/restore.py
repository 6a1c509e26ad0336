"""Putting a backup in place: prepared aside, switched by one rename, then carried out, again if it was cut off.

Until `HOME/restore.part` is renamed to `HOME/restore.ready` nothing of the home was touched; from then on the new state
is what counts, and whoever takes the home next (`finish`) completes what is not done yet.
"""
from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

import sqlalchemy as sa

from onecore.pool import schema
from onecore.pool.backup import DATABASE, BackupError, Manifest, copy_tables, sync, unpack
from onecore.pool.database import Database, DatabaseError, lock_home
from onecore.pool.migrations import migrate, version
from onecore.pool.record import Object, Record

STAGING, READY, PLAN = "restore.part", "restore.ready", "plan.json"
KEPT = ("oned.conf", "sched.conf")
"""A home that has them keeps its own: where the database is, and where oned listens, belongs to the machine."""
EPOCHS, SEQUENCES = 1000, 1_000_000
"""How far a restored cloud is ahead of what hosts and clients may have seen since the backup."""
OPS = 1_000_000_000
"""Operation ids of one epoch."""


@dataclass(frozen=True, slots=True)
class Hold(Record):
    """The cloud was restored at `since` from a backup of `taken` (Unix seconds); gone when that was accepted."""

    TABLE: ClassVar[str] = "hold"
    oid: int
    since: int
    taken: int

    def touches(self) -> tuple[Object, ...]:
        """No object's answer depends on it for long."""
        return ()


@dataclass(frozen=True, slots=True)
class Gap(Record):
    """Ids of a kind, from `first` to `last`, that may have been given after the backup and will not be given again."""

    TABLE: ClassVar[str] = "gap"
    KEY: ClassVar[tuple[str, ...]] = ("kind", "first")
    kind: str
    first: int
    last: int

    def touches(self) -> tuple[Object, ...]:
        """Gaps show nowhere."""
        return ()


@dataclass(frozen=True, slots=True)
class Past:
    """What the database that is replaced had given out, as far as it can be read."""

    epoch: int = 0
    sequence: int = 0
    last: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What `finish` does, whoever runs it: into which database, and how what was there is called from then on."""

    id: int
    url: str
    aside: str


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done.  `aside`: where the old state is, empty when there was none; `notes`: what should be known."""

    manifest: Manifest
    epoch: int
    aside: str
    notes: tuple[str, ...]


def restore(home: Path, stream: IO[bytes], classes: Sequence[type[Record]], url_of: Callable[[Path], str],
            gaps: Mapping[str, int], force: bool) -> Restored:
    """Put the backup in STREAM in place of what HOME holds; raises BackupError or DatabaseError, nothing changed.

    URL_OF(directory with the backup's files) says where the database shall be; GAPS: how many ids of each kind
    are left out.  FORCE: even if there is a database; it is kept aside.
    """
    with lock_home(home):
        finish(home, classes)
        staging = home / STAGING
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        try:
            return _restore(home, staging, unpack(stream, staging), classes, url_of(staging), gaps, force)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _restore(home: Path, staging: Path, manifest: Manifest, classes: Sequence[type[Record]], url: str,
             gaps: Mapping[str, int], force: bool) -> Restored:
    target, notes = Database(home, url, classes), list[str]()
    try:
        there = _there(target)
        if there and not force:
            raise BackupError(f"{home} has a database already; --force keeps it aside and puts the backup in its place")
        past = _past(target, staging / "old", notes) if there else Past()
        plan = Plan(secrets.randbits(62), url, _free(home))
        epoch = _prepare(staging, classes, manifest, past, gaps, plan)
    finally:
        target.close()
    notes += _settings(home, staging)
    _write(staging / PLAN, json.dumps(asdict(plan)))
    for path in (*staging.iterdir(), staging):
        if path.is_dir():
            sync(path)
    staging.rename(home / READY)
    sync(home)
    finish(home, classes)
    aside = plan.aside if (home / plan.aside).exists() else ""
    if there and not target.sqlite:
        notes.append(f"the old tables are in the database's schema {_schema_of(plan)}")
    return Restored(manifest, epoch, str(home / aside) if aside else "", tuple(notes))


def _free(home: Path) -> str:
    """A name in HOME for what is kept aside."""
    name = time.strftime("before-restore-%Y%m%d-%H%M%S", time.gmtime())
    return next(each for n in itertools.count() if not (home / (each := f"{name}-{n}" if n else name)).exists())


def _there(database: Database) -> bool:
    """Whether there is a database.  On PostgreSQL it is also made sure that it can be used, and nobody else does."""
    if database.sqlite:
        return database.path.is_file() and database.path.stat().st_size > 0
    database.writer_connection().close()
    return version(database) is not None


def _past(database: Database, copy: Path, notes: list[str]) -> Past:
    """What the old database gave out; of SQLite's files a COPY is read, as looking at damaged ones changes them."""
    if not database.sqlite:
        return _given(database, notes)
    copy.mkdir(mode=0o700)
    for name in (DATABASE, f"{DATABASE}-wal"):
        if (database.home / name).exists():
            shutil.copy(database.home / name, copy)
    copied = Database(copy, "sqlite", database.classes)
    try:
        return _given(copied, notes)
    finally:
        copied.close()
        shutil.rmtree(copy)


def _given(database: Database, notes: list[str]) -> Past:
    try:
        last = {str(kind): int(number) for kind, number in database.rows("SELECT kind, last FROM counter")}
        return Past(database.meta("epoch"), database.meta("seq"), last)
    except DatabaseError:
        notes.append("the old database cannot be read: ids that it gave may be given again beyond the usual gap")
        return Past()


# -- what the restored database begins with

def _prepare(staging: Path, classes: Sequence[type[Record]], manifest: Manifest, past: Past, gaps: Mapping[str, int],
             plan: Plan) -> int:
    """Make the backup's database the beginning of another life; its epoch."""
    made = Database(staging, "sqlite", classes)
    try:
        if not version(made):
            raise BackupError("it holds no database")
        migrate(made)
        now = int(time.time())
        epoch = max(made.meta("epoch"), past.epoch) + EPOCHS
        sequence = max(made.meta("seq"), past.sequence) + SEQUENCES
        with made.writing() as connection:
            for name, value in (("epoch", epoch), ("seq", sequence), ("log_from", sequence), ("restore", plan.id)):
                _put(connection, made, "meta", (name, value))
            _put(connection, made, "hold", (0, now, manifest.time))
            for kind, number in gaps.items():
                _leave_out(connection, made, kind, number, past.last.get(kind, -1))
            _number_anew(connection, made.metadata, epoch)
        with made.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
    finally:
        made.close()
    for copy in staging.glob(f"{DATABASE}.schema-*"):
        copy.unlink()
    return epoch


def _put(connection: sa.Connection, database: Database, table: str, row: tuple[Any, ...]) -> None:
    connection.exec_driver_sql(schema.upsert_sql(database.metadata.tables[table], database.paramstyle), row)


def _leave_out(connection: sa.Connection, database: Database, kind: str, number: int, given: int) -> None:
    """Ids of KIND up to NUMBER after the backup's last one, and up to GIVEN, are not given again."""
    found = connection.execute(sa.text("SELECT last FROM counter WHERE kind = :kind"), {"kind": kind}).scalar()
    before = -1 if found is None else int(found)
    last = max(before + number, given)
    _put(connection, database, "counter", (kind, last))
    _put(connection, database, Gap.TABLE, (kind, before + 1, last))


def _number_anew(connection: sa.Connection, metadata: sa.MetaData, epoch: int) -> None:
    """Give operations under way new ids: those that they had may name files that were completed since the backup."""
    tables = [table for table in metadata.sorted_tables if "op" in table.c]
    old = sorted({int(op) for table in tables
                  for op, in connection.execute(sa.select(table.c.op).where(table.c.op > 0))})
    connection.exec_driver_sql("CREATE TEMP TABLE moved (old BIGINT PRIMARY KEY, new BIGINT)")
    if old:
        connection.execute(sa.text("INSERT INTO moved VALUES (:old, :new)"),
                           [{"old": op, "new": epoch * OPS + n} for n, op in enumerate(old, 1)])
    for table in tables:
        connection.exec_driver_sql(f'UPDATE "{table.name}" SET op = (SELECT new FROM moved WHERE old = op) '
                                   "WHERE op IN (SELECT old FROM moved)")
    connection.exec_driver_sql("DROP TABLE moved")


def _settings(home: Path, staging: Path) -> list[str]:
    """Let the home keep its own configuration; what the backup has instead is put beside it."""
    notes = []
    for name in KEPT:
        own, theirs = home / name, staging / name
        if own.is_file() and theirs.is_file():
            if own.read_bytes() == theirs.read_bytes():
                theirs.unlink()
            else:
                theirs.rename(staging / f"{name}.restored")
                notes.append(f"{own} stays as it is; the backup's is {name}.restored beside it")
    return notes


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


# -- carrying it out; each step is one that may be found done

def finish(home: Path, classes: Sequence[type[Record]]) -> bool:
    """Complete a restore that is decided; the caller holds the home.  False when there is none."""
    ready = home / READY
    if not ready.is_dir():
        return False
    if (ready / PLAN).is_file():
        plan = Plan(**json.loads((ready / PLAN).read_text()))
        if not Database(home, plan.url, classes).sqlite:
            _fill(ready, plan, classes)
            (ready / DATABASE).unlink(missing_ok=True)
        _switch(home, ready, home / plan.aside)
        (ready / PLAN).unlink()
    ready.rmdir()
    sync(home)
    return True


def _switch(home: Path, ready: Path, aside: Path) -> None:
    """What is in READY takes the place of what has that name in HOME; settings first, as oned reads them first."""
    for path in sorted(ready.iterdir(), key=lambda path: (path.name not in KEPT, path.name)):
        if path.name == PLAN:
            continue
        old = [home / path.name]
        if path.suffix == ".db":  # its logs belong to the old one, and would spoil the new one
            old += [home / f"{path.name}-wal", home / f"{path.name}-shm"]
        for each in reversed(old):
            if each.exists():
                aside.mkdir(mode=0o700, exist_ok=True)
                each.rename(aside / each.name)
        for directory in (aside, home):
            if directory.is_dir():
                sync(directory)
        path.rename(home / path.name)
    for directory in (home, ready):
        sync(directory)


def _schema_of(plan: Plan) -> str:
    return plan.aside.replace("-", "_")


def _fill(ready: Path, plan: Plan, classes: Sequence[type[Record]]) -> None:
    """Put the prepared rows into PostgreSQL, and tables that are there into a schema of their own: all or nothing."""
    source, target = Database(ready, "sqlite", classes), Database(ready, plan.url, classes)
    try:
        with target.writer_connection() as connection, source.reading() as rows:
            if sa.inspect(connection).has_table("meta") and target.meta("restore") == plan.id:
                return
            tables = [name for name in target.metadata.tables if sa.inspect(connection).has_table(name)]
            if tables:
                connection.exec_driver_sql(f'CREATE SCHEMA "{_schema_of(plan)}"')
            for name in tables:
                connection.exec_driver_sql(f'ALTER TABLE "{name}" SET SCHEMA "{_schema_of(plan)}"')
            target.metadata.create_all(connection)
            copy_tables(target.metadata, rows, connection)
            connection.commit()
    except sa.exc.SQLAlchemyError as error:
        raise DatabaseError(f"the database {target.engine.url.render_as_string()} cannot be filled; `onecore restore` "
                            f"or the next start of oned goes on: {error.__class__.__name__}: {error}") from None
    finally:
        source.close()
        target.close()
