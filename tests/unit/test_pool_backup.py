"""Backups as files: what is in them, what is refused, and restores that are killed between any two steps."""
from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pool_ground import CLASSES, Thing, database

from onecore.pool import backup, migrations, restore, schema
from onecore.pool.backup import MANIFEST, BackupError, Manifest, save, unpack
from onecore.pool.database import Database, DatabaseError
from onecore.pool.record import Record
from onecore.pool.restore import PLAN, READY, STAGING, Gap, Hold

ALL: tuple[type[Record], ...] = (*CLASSES, Hold, Gap)
GAPS = {"thing": 100, "vm": 1000}


def cloud(home: Path, things: int, epoch: int = 5) -> Path:
    """A home with so many things in its database, and some files."""
    home.mkdir(parents=True, exist_ok=True)
    made = Database(home, "sqlite", ALL)
    with made.writing() as connection:
        made.metadata.create_all(connection)
        for name, value in (("schema", schema.VERSION), ("epoch", epoch), ("seq", 40 + things)):
            connection.exec_driver_sql("INSERT INTO meta VALUES (?, ?)", (name, value))
        for n in range(things):
            connection.exec_driver_sql("INSERT INTO thing VALUES (?, 0, '')", (n,))
        connection.exec_driver_sql("INSERT INTO counter VALUES ('thing', ?)", (things - 1,))
    made.close()
    (home / "one_auth").write_text(f"oneadmin:{home.name}")
    (home / "ssh").mkdir(exist_ok=True)
    (home / "ssh" / "id_ed25519").write_text(home.name)
    return home


def archive(home: Path, path: Path, **options: Any) -> Path:
    """A backup of a home."""
    made = Database(home, "sqlite", ALL)
    try:
        save(made, path, {"things": "SELECT count(*) FROM thing"}, **options)
    finally:
        made.close()
    return path


def put(home: Path, path: Path, force: bool = True) -> restore.Restored:
    """Restore it."""
    with path.open("rb") as stream:
        return restore.restore(home, stream, ALL, lambda _: "sqlite", GAPS, force)


def things(home: Path) -> int:
    """How many there are."""
    with closing(sqlite3.connect(home / "onecore.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM thing").fetchone()[0])


def rows(home: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of its database."""
    with closing(sqlite3.connect(home / "onecore.db")) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A backup of a home with three things."""
    return archive(cloud(tmp_path / "first", 3), tmp_path / "cloud.backup")


# -- the file

def test_what_a_backup_says(packed: Path) -> None:
    """Sums of all members, first; the file is for its owner only."""
    with packed.open("rb") as stream:
        manifest = unpack(stream)
    assert (manifest.epoch, manifest.sequence, manifest.counts) == (5, 43, {"things": 3})
    assert set(manifest.members) == {"onecore.db", "one_auth", "ssh/id_ed25519"}
    assert packed.stat().st_mode & 0o777 == 0o600
    with tarfile.open(packed) as tar:
        assert tar.getnames()[0] == MANIFEST and all(member.mode == 0o600 for member in tar)
    assert sorted(os.listdir(packed.parent)) == [packed.name, "first"]


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither beside the file nor in its place."""
    target = tmp_path / "out" / "cloud.backup"
    target.parent.mkdir()
    home = cloud(tmp_path / "home", 1)
    data = bytearray((home / "onecore.db").read_bytes())
    data[4096:8192] = os.urandom(4096)
    (home / "onecore.db").write_bytes(data)
    with pytest.raises((BackupError, DatabaseError)):
        archive(home, target)
    assert not list(target.parent.iterdir())


def test_what_a_killed_backup_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """And two at once do not write one file."""
    home, target = cloud(tmp_path / "home", 1), tmp_path / "cloud.backup"
    (tmp_path / ".cloud.backup.part").write_bytes(b"x" * 10**6)
    (tmp_path / ".cloud.backup.part.d").mkdir()
    (tmp_path / ".cloud.backup.part.d" / "onecore.db").write_text("half")
    with (tmp_path / ".cloud.backup.part").open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match="another backup"):
            archive(home, target)
    archive(home, target)
    with target.open("rb") as stream:
        assert unpack(stream).counts == {"things": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cloud.backup", "home"]


def test_an_upgrade_meanwhile_does_not_matter(tmp_path: Path, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup of an older schema is brought up to date before it is put in place; a newer one is refused."""
    monkeypatch.setattr(migrations, "STEPS", {schema.VERSION - 1: lambda connection: connection.exec_driver_sql(
        "CREATE TABLE hold (oid BIGINT NOT NULL PRIMARY KEY, since BIGINT, taken BIGINT)")})
    for number, fits in ((schema.VERSION - 1, True), (schema.VERSION + 1, False)):
        home = tmp_path / f"schema{number}"
        made = Database(cloud(home, 3), "sqlite", ALL)
        with made.writing() as connection:
            connection.exec_driver_sql("UPDATE meta SET value = ? WHERE name = 'schema'", (number,))
            connection.exec_driver_sql("DROP TABLE hold")
        made.close()
        path, new = archive(home, tmp_path / f"{number}.backup"), tmp_path / f"new{number}"
        if fits:
            put(new, path)
            assert rows(new, "SELECT value FROM meta WHERE name = 'schema'") == [(schema.VERSION,)]
            assert rows(new, "SELECT oid FROM hold") == [(0,)] and not list(new.glob("*.schema-*"))
        else:
            with pytest.raises(DatabaseError, match="newer release"):
                put(new, path)
            assert os.listdir(new) == ["oned.lock"]


def _tar(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.type = len(data), kind if name != MANIFEST else tarfile.REGTYPE
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _members(packed: Path) -> tuple[Manifest, dict[str, bytes]]:
    with tarfile.open(packed) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    return Manifest.decode(found[MANIFEST]), found


Spoil = Callable[[Manifest, dict[str, bytes]], dict[str, bytes]]


def _naming(name: str) -> Spoil:
    return lambda m, f: {**f, MANIFEST: replace(m, members={**m.members, name: "0"}).encode()}


SPOILED: dict[str, tuple[Spoil, str]] = {
    "no manifest": (lambda m, f: {k: v for k, v in f.items() if k != MANIFEST}, "does not begin"),
    "a manifest that is no JSON": (lambda m, f: {**f, MANIFEST: b"{"}, "damaged"),
    "a manifest that is a list": (lambda m, f: {**f, MANIFEST: b"[]"}, "damaged"),
    "a manifest that was edited": (
        lambda m, f: {**f, MANIFEST: f[MANIFEST].replace(b'"epoch": 5', b'"epoch": 6')}, "its sum"),
    "another format": (lambda m, f: {**f, MANIFEST: replace(m, format=9).encode()}, "format 9"),
    "a member less": (lambda m, f: {k: v for k, v in f.items() if k != "one_auth"}, "ends before its one_auth"),
    "a member that is not named": (lambda m, f: {**f, "ssh/more": b""}, "names no 'ssh/more'"),
    "another content": (lambda m, f: {**f, "one_auth": b"oneadmin:easy"}, "'one_auth' does not match"),
    "no database": (lambda m, f: {**f, MANIFEST: replace(
        m, members={k: v for k, v in m.members.items() if k != "onecore.db"}).encode()}, "holds no onecore.db"),
    **{f"a member {name}": (_naming(name), "names ")
       for name in ("../x", "/etc/x", "ssh/../../x", "ssh/..", "oned.lock", "run/oned.pid", "log/x", "ssh/a/b")},
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_is_refused(tmp_path: Path, packed: Path, case: str) -> None:
    """With a text that says why, and the home untouched."""
    spoil, text = SPOILED[case]
    path, home = tmp_path / "spoiled", cloud(tmp_path / "home", 7)
    path.write_bytes(_tar(spoil(*_members(packed))))
    before = sorted(os.listdir(home))
    with pytest.raises(BackupError, match=text):
        put(home, path)
    assert sorted({*os.listdir(home)} - {"oned.lock"}) == before and things(home) == 7


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_only_plain_files(tmp_path: Path, packed: Path, kind: bytes) -> None:
    """No links, no directories, no devices."""
    path = tmp_path / "spoiled"
    path.write_bytes(_tar(_members(packed)[1], kind))
    with path.open("rb") as stream, pytest.raises(BackupError, match="is no file"):
        unpack(stream, tmp_path)


@pytest.mark.parametrize("data", [b"", b"nothing of the kind", bytes(10240)])
def test_what_is_no_tar(tmp_path: Path, data: bytes) -> None:
    """Says so."""
    with pytest.raises(BackupError):
        unpack(io.BytesIO(data))


# -- the new life

def test_numbers_go_on_far_ahead(tmp_path: Path, packed: Path) -> None:
    """Of what the backup knows, and of what the database that is replaced knows."""
    home = cloud(tmp_path / "home", 500, epoch=77)
    done = put(home, packed)
    meta = dict(rows(home, "SELECT name, value FROM meta"))
    assert done.epoch == meta["epoch"] == 77 + 1000
    assert meta["seq"] == meta["log_from"] == 540 + 1_000_000
    assert rows(home, "SELECT * FROM counter ORDER BY kind") == [("thing", 499), ("vm", 999)]
    assert rows(home, 'SELECT kind, "first", "last" FROM gap ORDER BY kind') == [("thing", 3, 499), ("vm", 0, 999)]
    assert len(rows(home, "SELECT * FROM hold")) == 1
    assert things(home) == 3 and things(Path(done.aside)) == 500
    assert (home / "one_auth").read_text() == "oneadmin:first"
    assert (Path(done.aside) / "ssh" / "id_ed25519").read_text() == "home"


def test_an_old_database_that_cannot_be_read(tmp_path: Path, packed: Path) -> None:
    """Is kept aside all the same, and it is said what that means."""
    home = cloud(tmp_path / "home", 5)
    (home / "onecore.db").write_bytes(b"spoiled" * 1000)
    with pytest.raises(BackupError, match="--force"):
        put(home, packed, force=False)
    done = put(home, packed)
    assert "cannot be read" in done.notes[0] and (Path(done.aside) / "onecore.db").read_bytes()[:7] == b"spoiled"
    assert things(home) == 3


def test_a_log_of_the_old_database_does_not_spoil_the_new_one(tmp_path: Path, packed: Path) -> None:
    """SQLite would replay it."""
    home = cloud(tmp_path / "home", 5)
    (home / "onecore.db-wal").write_bytes(b"x" * 5000)
    (home / "onecore.db").write_bytes(b"spoiled" * 1000)
    done = put(home, packed)
    assert things(home) == 3 and (Path(done.aside) / "onecore.db-wal").exists()


def test_own_settings_stay(tmp_path: Path, packed: Path) -> None:
    """Those of the backup are put beside them; the same ones are not."""
    first, home = cloud(tmp_path / "first2", 1), cloud(tmp_path / "home", 1)
    for where, text in ((first, "a"), (home, "b")):
        (where / "oned.conf").write_text(text)
        (where / "sched.conf").write_text("same")
    done = put(home, archive(first, tmp_path / "second.backup"))
    assert (home / "oned.conf").read_text() == "b" and (home / "oned.conf.restored").read_text() == "a"
    assert not (home / "sched.conf.restored").exists() and len(done.notes) == 1


def test_a_home_in_use(tmp_path: Path, packed: Path) -> None:
    """Is refused; a backup of it is not."""
    busy = database(tmp_path / "home")
    with pytest.raises(DatabaseError, match="another oned"):
        put(tmp_path / "home", packed)
    busy.close()


# -- killed between any two steps

STEPS = (("rename", Path), ("unlink", Path), ("rmdir", Path), ("mkdir", Path), ("replace", Path), ("fsync", os),
         ("rmtree", shutil))


def _killed(step: int, home: Path, packed: Path) -> bool:
    """Restore in a child that dies before its STEP-th change of a directory or write-through; whether it died."""
    child = os.fork()
    if child == 0:
        left = [step]

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                if not left[0]:
                    os._exit(9)
                left[0] -= 1
                return real(*arguments, **options)
            return call
        for name, where in STEPS:
            setattr(where, name, counted(getattr(where, name)))
        try:
            put(home, packed)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_killed_anywhere(tmp_path: Path, packed: Path) -> None:
    """The old home, or, once that is decided, the new one as soon as somebody takes it; another restore works."""
    step, outcomes = 0, set()
    while True:
        home = cloud(tmp_path / f"home{step}", 7)
        with closing(sqlite3.connect(home / "onecore.db")) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        died = _killed(step, home, packed)
        decided = (home / READY).is_dir() and (home / READY / PLAN).exists()
        if died and not decided and things(home) == 7:
            outcomes.add("old")
            assert (home / "one_auth").read_text() == f"oneadmin:home{step}"
            assert (home / "ssh" / "id_ed25519").read_text() == f"home{step}"
        else:
            outcomes.add("decided" if decided else "new")
            with restore.lock_home(home):
                restore.finish(home, ALL)
                restore.finish(home, ALL)
            _check_new(home, step)
        put(home, packed)
        assert not (home / READY).exists() and not (home / STAGING).exists() and things(home) == 3
        shutil.rmtree(home)
        if not died:
            break
        step += 1
    assert step > 25 and outcomes == {"old", "decided", "new"}


def _check_new(home: Path, step: int) -> None:
    assert things(home) == 3 and not (home / READY).exists()
    assert (home / "one_auth").read_text() == "oneadmin:first" and (home / "ssh" / "id_ed25519").read_text() == "first"
    (aside,) = home.glob("before-restore-*")
    assert things(aside) == 7 and (aside / "one_auth").read_text() == f"oneadmin:home{step}"


def test_a_thing_is_a_record() -> None:
    """What the ground of these tests is made of."""
    assert Thing.TABLE == "thing" and json.loads(Manifest(1, "", 1, 1, 1, 1, "", {}, {}).encode())["sum"]
    assert backup.FORMAT == 1
