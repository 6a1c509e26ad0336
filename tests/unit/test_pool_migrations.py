"""Schema upgrades: forward, in one transaction, with a copy made before."""
from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pool_ground import CLASSES, database

from onecore.pool import migrations, schema
from onecore.pool.database import Database, DatabaseError
from onecore.pool.migrations import migrate, version


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """A database of the present schema with one row."""
    made = database(tmp_path)
    made.set_meta("epoch", 7)
    yield made
    made.close()


def add_column(connection: sa.Connection) -> None:
    """A step."""
    connection.exec_driver_sql("ALTER TABLE thing ADD COLUMN colour TEXT DEFAULT 'red'")


def fill(connection: sa.Connection) -> None:
    """Another."""
    connection.exec_driver_sql("INSERT INTO thing (oid, owner, tags, colour) VALUES (1, 2, 'x', 'blue')")


def broken(connection: sa.Connection) -> None:
    """One that fails half-way."""
    connection.exec_driver_sql("CREATE TABLE left_behind (a)")
    connection.exec_driver_sql("SELECT nonsense FROM thing")


def tables(path: Path) -> set[str]:
    """As SQLite has them."""
    with sqlite3.connect(path) as connection:
        return {name for name, in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def columns(path: Path) -> list[str]:
    """Of the table thing."""
    with sqlite3.connect(path) as connection:
        return [row[1] for row in connection.execute("PRAGMA table_info(thing)")]


def test_a_new_database_gets_the_schema(tmp_path: Path) -> None:
    made = Database(tmp_path, "sqlite", CLASSES)
    made.lock()
    assert version(made) is None
    assert migrate(made) == f"made schema {schema.VERSION}" and migrate(made) == ""
    assert version(made) == schema.VERSION and {"thing", "part", "counter", "meta", "log"} <= tables(made.path)
    made.close()


def test_a_first_start_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    made = Database(tmp_path, "sqlite", CLASSES)
    made.lock()
    with made.writing() as connection:
        made.metadata.tables["meta"].create(connection)
    assert migrate(made).startswith("made schema")
    made.close()


def test_steps_lead_forward_and_a_copy_is_kept(db: Database) -> None:
    first = schema.VERSION
    done = migrate(db, first + 2, {first: add_column, first + 1: fill})
    assert done.startswith(f"upgraded schema {first} to {first + 2}")
    assert db.rows("SELECT oid, colour FROM thing") == [(1, "blue")]
    assert version(db) == first + 2 and db.meta("epoch") == 7
    copy = db.home / f"onecore.db.schema-{first}"
    assert columns(copy) == ["oid", "owner", "tags"] and str(copy) in done
    assert copy.stat().st_mode & 0o077 == 0, "it holds what the database holds"


@pytest.mark.parametrize("missing", [False, True])
def test_a_step_that_fails_changes_nothing(db: Database, missing: bool) -> None:
    first = schema.VERSION
    steps = {first: add_column, first + 1: fill} | ({} if missing else {first + 2: broken})
    with pytest.raises(DatabaseError, match=f"upgrade from schema {first} to {first + 3} failed, nothing was changed"):
        migrate(db, first + 3, steps)
    assert version(db) == first and columns(db.path) == ["oid", "owner", "tags"]
    assert "left_behind" not in tables(db.path)
    assert migrate(db, first + 1, {first: add_column})


def test_a_newer_database_is_refused(db: Database) -> None:
    db.set_meta("schema", schema.VERSION + 5)
    with pytest.raises(DatabaseError, match=f"has schema {schema.VERSION + 5}.*up to {schema.VERSION}"):
        migrate(db)
    assert not list(db.home.glob("*.schema-*"))


def test_there_is_a_step_from_every_schema() -> None:
    assert set(migrations.STEPS) == set(range(1, schema.VERSION))
