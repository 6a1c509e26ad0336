"""Backups of the manager: one snapshot of the database and the home's own files, in a tar with a manifest and sums.

The snapshot is an SQLite database whatever the cloud's own is.  How one is put in place is in restore.py.
"""
from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

import onecore
from onecore.pool import schema
from onecore.pool.database import Database, DatabaseError, private
from onecore.pool.migrations import version

FORMAT = 1
MANIFEST, DATABASE, SERIES = "manifest.json", "onecore.db", "monitor.db"
FILES = ("one_auth", "sched_auth", "serveradmin_auth", "encryption_key", "oned.conf", "sched.conf", "dummy.json")
"""What else of the home belongs to the manager, as far as it is there."""
FOLDERS = ("ssh", "hypervisor")
"""As FILES: directories of plain files."""
PAGES, REST = 256, 0.005
"""Pages that are copied at once, and the seconds in which others have the disk then."""
_CHUNK = 1 << 20


class BackupError(Exception):
    """A backup cannot be made, or is not what it should be; the text says why."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.  `time` is Unix seconds, `members` the SHA-256 of each file by name."""

    format: int
    version: str
    schema: int
    epoch: int
    sequence: int
    time: int
    database: str
    counts: Mapping[str, int]
    members: Mapping[str, str]

    def encode(self) -> bytes:
        """As JSON, with a sum of its own."""
        body = asdict(self)
        return json.dumps({**body, "sum": _sum_of(body)}, indent=1, sort_keys=True).encode() + b"\n"

    @staticmethod
    def decode(data: bytes) -> Manifest:
        """The manifest in JSON; raises BackupError."""
        try:
            body = json.loads(data)
            whole = body.pop("sum") == _sum_of(body)
            found = Manifest(**body)
        except (ValueError, TypeError, AttributeError, KeyError):
            raise BackupError(f"its {MANIFEST} is damaged") from None
        if not whole:
            raise BackupError(f"its {MANIFEST} does not match its sum")
        if found.format != FORMAT:
            raise BackupError(f"it has format {found.format}, this onecore knows {FORMAT}")
        return found


def _sum_of(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


# -- making one

def save(database: Database, target: Path, counts: Mapping[str, str], force: bool = False,
         series: bool = False) -> Manifest:
    """Write a backup to TARGET, whole or not at all, and read it again; COUNTS: {what: SQL that counts it}.

    Raises BackupError or DatabaseError.
    """
    if target.exists() and not force:
        raise BackupError(f"{target} is there already; --force replaces it")
    if not target.parent.is_dir():
        raise BackupError(f"FILE must be in a directory that is there; {target.parent} is not")
    partial, room = target.with_name(f".{target.name}.part"), target.with_name(f".{target.name}.part.d")
    with _draft(partial) as out:
        shutil.rmtree(room, ignore_errors=True)  # of one that was killed
        room.mkdir(mode=0o700)
        try:
            manifest = write(database, out, room, counts, series)
            out.flush()
            os.fsync(out.fileno())
            out.seek(0)
            if unpack(out) != manifest:
                raise BackupError(f"{target} reads otherwise than it was written")
            partial.replace(target)
            sync(target.parent)
        finally:
            shutil.rmtree(room, ignore_errors=True)
            partial.unlink(missing_ok=True)
    return manifest


@contextmanager
def _draft(path: Path) -> Iterator[IO[bytes]]:
    """A file of ours alone, empty; BackupError when another process writes it."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BackupError(f"another backup to {path} is under way") from None
        os.fchmod(out.fileno(), 0o600)
        out.truncate(0)
        yield out


def write(database: Database, out: IO[bytes], room: Path, counts: Mapping[str, str], series: bool) -> Manifest:
    """Write a backup to OUT, which needs not be seekable; ROOM is a directory for copies meanwhile."""
    copies = {DATABASE: snapshot(database, room / DATABASE)}
    if series and (database.home / SERIES).is_file():
        copies[SERIES] = copy_sqlite(database.home / SERIES, room / SERIES)
    small = dict(_small_files(database.home))
    sums = {**{name: _sum_file(path) for name, path in copies.items()},
            **{name: hashlib.sha256(data).hexdigest() for name, data in small.items()}}
    manifest = _manifest(copies[DATABASE], "sqlite" if database.sqlite else "postgresql", counts, sums)
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name, data in {MANIFEST: manifest.encode(), **small}.items():
            tar.addfile(_entry(name, len(data), manifest.time), io.BytesIO(data))
        for name, path in copies.items():
            with path.open("rb") as file:
                tar.addfile(_entry(name, path.stat().st_size, manifest.time), file)
    return manifest


def _entry(name: str, size: int, moment: int) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.mtime, made.mode = size, moment, 0o600
    return made


def _small_files(home: Path) -> Iterator[tuple[str, bytes]]:
    folders = [path for folder in FOLDERS for path in sorted((home / folder).glob("*"))]
    for path in (*(home / name for name in FILES), *folders):
        if path.is_file():
            yield str(path.relative_to(home)), path.read_bytes()


def _manifest(path: Path, kind: str, counts: Mapping[str, str], sums: Mapping[str, str]) -> Manifest:
    with closing(sqlite3.connect(path)) as copy:
        meta = dict(copy.execute("SELECT name, value FROM meta"))
        found = {what: int(copy.execute(sql).fetchone()[0]) for what, sql in counts.items()}
    return Manifest(FORMAT, onecore.__version__, int(meta["schema"]), int(meta.get("epoch", 0)),
                    int(meta.get("seq", 0)), int(time.time()), kind, found, dict(sums))


# -- the snapshot

def snapshot(database: Database, target: Path) -> Path:
    """One moment of the database as an SQLite file at TARGET, while an oned may be at work; raises BackupError."""
    if database.sqlite:
        if not database.path.is_file():
            raise BackupError(f"there is no database in {database.home}")
        copy_sqlite(database.path, target)
    else:
        _copy_rows(database, target)
    with closing(sqlite3.connect(target)) as copy:
        try:
            known = bool(copy.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone())
            said = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            known, said = False, str(error)
    if not known or said != "ok":
        raise BackupError(f"the database in {database.home} is " + ("damaged: " + said if known else "empty"))
    return target


def copy_sqlite(source: Path, target: Path) -> Path:
    """A copy of an SQLite database as it is at one moment, page by page with rests; others go on writing."""
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=10,
                                 isolation_level=None)) as old, closing(sqlite3.connect(private(target))) as new:
        try:
            old.execute("BEGIN")  # a reader's view, which stays while pages are copied
            old.execute("SELECT count(*) FROM sqlite_master").fetchone()
            old.backup(new, pages=PAGES, progress=lambda *_: time.sleep(REST))
            new.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        except sqlite3.Error as error:
            raise BackupError(f"{source} cannot be copied: {error}") from None
    return target


def _copy_rows(database: Database, target: Path) -> None:
    """All rows of a PostgreSQL database, read in one transaction."""
    found = version(database)
    if found != schema.VERSION:
        raise BackupError("the database is empty" if found is None else
                          f"the database has schema {found}, this onecore {schema.VERSION}: use the oned that it is of")
    copy = sa.create_engine(f"sqlite:///{private(target)}")
    try:
        with database.reading() as plain, copy.begin() as into:
            source = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            database.metadata.create_all(into)
            copy_tables(database.metadata, source, into)
    finally:
        copy.dispose()


def copy_tables(metadata: sa.MetaData, source: sa.Connection, target: sa.Connection) -> None:
    """All rows of all tables from one connection to another, which has the tables, empty."""
    for table in metadata.sorted_tables:
        for part in source.execution_options(yield_per=2000).execute(sa.select(table)).partitions():
            target.execute(sa.insert(table), [dict(row._mapping) for row in part])


# -- reading one

def unpack(stream: IO[bytes], into: Path | None = None) -> Manifest:
    """Check every file of a backup against its sum, and put it INTO a directory if one is given; raises BackupError."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            manifest, left = None, dict[str, str]()
            for member in tar:
                file = tar.extractfile(member) if member.isreg() else None
                if file is None:
                    raise BackupError(f"it holds {member.name!r}, which is no file")
                if manifest is None:
                    manifest = _first(member, file)
                    left = dict(manifest.members)
                    continue
                if member.name not in left:
                    raise BackupError(f"its {MANIFEST} names no {member.name!r}")
                if left.pop(member.name) != _pour(file, _place(member.name, into)):
                    raise BackupError(f"its file {member.name!r} does not match its sum")
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"it is no backup, or not a whole one: {error}") from None
    if manifest is None or left:
        raise BackupError(f"it ends before its {next(iter(left), MANIFEST)}")
    return manifest


def _first(member: tarfile.TarInfo, file: IO[bytes]) -> Manifest:
    if member.name != MANIFEST or member.size > _CHUNK:
        raise BackupError(f"it does not begin with a {MANIFEST}")
    found = Manifest.decode(file.read())
    strange = [name for name in found.members if not _known(name)]
    if strange or DATABASE not in found.members:
        raise BackupError(f"its {MANIFEST} names {strange[0]!r}" if strange else f"it holds no {DATABASE}")
    return found


def _known(name: str) -> bool:
    """Whether a backup may hold that file: nothing else of a home is ever written over."""
    folder, _, leaf = name.rpartition("/")
    return name in (DATABASE, SERIES, *FILES) or (folder in FOLDERS and leaf not in ("", ".", ".."))


def _place(name: str, into: Path | None) -> Path | None:
    if into is None:
        return None
    path = into / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return path


def _pour(file: IO[bytes], path: Path | None) -> str:
    """Read FILE, into PATH if there is one, durably; its SHA-256."""
    digest = hashlib.sha256()
    with _sink(path) as out:
        while data := file.read(_CHUNK):
            digest.update(data)
            if out:
                out.write(data)
    return digest.hexdigest()


@contextmanager
def _sink(path: Path | None) -> Iterator[IO[bytes] | None]:
    if path is None:
        yield None
        return
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        yield out
        out.flush()
        os.fsync(out.fileno())


def _sum_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(directory: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems do not know how
            os.fsync(fd)
    finally:
        os.close(fd)


__all__ = ["BackupError", "DatabaseError", "Manifest", "copy_tables", "save", "snapshot", "sync", "unpack", "write"]
