"""Bringing a database to the schema of this release: forward only, one transaction, a copy made before."""
from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from onecore.pool import schema
from onecore.pool.database import Database, DatabaseError, private


def _fenced(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE owed ADD COLUMN fenced BIGINT NOT NULL DEFAULT 0")


def _restored(connection: sa.Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE hold (oid BIGINT NOT NULL PRIMARY KEY, since BIGINT, taken BIGINT)")
    connection.exec_driver_sql('CREATE TABLE gap (kind TEXT NOT NULL, "first" BIGINT NOT NULL, "last" BIGINT, '
                               'PRIMARY KEY (kind, "first"))')


def _moving(connection: sa.Connection) -> None:
    for column, what in (("op_args", "TEXT NOT NULL DEFAULT ''"), ("to_hid", "BIGINT NOT NULL DEFAULT -1"),
                         ("to_cid", "BIGINT NOT NULL DEFAULT -1"), ("to_ds", "BIGINT NOT NULL DEFAULT -1"),
                         ("next_disk", "BIGINT NOT NULL DEFAULT 0")):
        connection.exec_driver_sql(f"ALTER TABLE vm_pool ADD COLUMN {column} {what}")
    connection.exec_driver_sql("ALTER TABLE vm_text ADD COLUMN snapshots TEXT NOT NULL DEFAULT ''")
    connection.exec_driver_sql("UPDATE vm_pool SET came = 'stopped' WHERE state = 5")  # SUSPENDED: saved by us
    connection.exec_driver_sql("ALTER TABLE owed ADD COLUMN nics TEXT NOT NULL DEFAULT ''")
    connection.exec_driver_sql("ALTER TABLE host_pool ADD COLUMN drain BIGINT NOT NULL DEFAULT 0")
    numbers = ("vid", "repeat", "end_type", "end_value", "runs", "done", "due", "warning", "uid", "gid")
    texts = ("action", "args", "time", "days", "message", "misfire")
    columns = [f'"{n}" BIGINT' for n in numbers] + [f'"{n}" TEXT' for n in texts]
    connection.exec_driver_sql(f"CREATE TABLE scheduled (oid BIGINT NOT NULL PRIMARY KEY, {', '.join(columns)})")


def _blob(connection: sa.Connection) -> str:
    """The type of columns of bytes."""
    return "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"


def _tenants(connection: sa.Connection) -> None:
    for statement in (
            "CREATE TABLE answered (uid BIGINT NOT NULL, method TEXT NOT NULL, word TEXT NOT NULL, digest TEXT, "
            "value TEXT, time BIGINT, PRIMARY KEY (uid, method, word))",
            "CREATE TABLE document_pool (oid BIGINT NOT NULL PRIMARY KEY, uid BIGINT, gid BIGINT, name TEXT, "
            f"perms BIGINT, lock TEXT, type BIGINT, template {_blob(connection)})",
            "CREATE TABLE hook_pool (oid BIGINT NOT NULL PRIMARY KEY, name TEXT, lock TEXT, type TEXT, "
            f"template {_blob(connection)}, cursor BIGINT, runs BIGINT)",
            "CREATE TABLE hook_run (hook BIGINT NOT NULL, number BIGINT NOT NULL, time BIGINT, command TEXT, "
            "arguments TEXT, stdin BIGINT, host TEXT, code BIGINT, stdout TEXT, stderr TEXT, retry BIGINT, "
            "event BIGINT, PRIMARY KEY (hook, number))",
            "ALTER TABLE vnet_pool ADD COLUMN parent BIGINT NOT NULL DEFAULT -1",
            *(f"ALTER TABLE address_range ADD COLUMN {name} BIGINT NOT NULL DEFAULT -1"
              for name in ("parent", "parent_ar", "parent_idx")),
            "ALTER TABLE zone_pool ADD COLUMN state BIGINT NOT NULL DEFAULT 0",
            "CREATE TABLE quota (owner TEXT NOT NULL, oid BIGINT NOT NULL, limits TEXT, PRIMARY KEY (owner, oid))",
            *(f'ALTER TABLE vdc_pool ADD COLUMN "{name}" TEXT NOT NULL DEFAULT \'\''
              for name in ("groups", "clusters", "hosts", "datastores", "vnets")),
            "UPDATE vdc_pool SET \"groups\" = '1', clusters = '0:-10' WHERE oid = 0",
            "ALTER TABLE group_pool ADD COLUMN admins TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE group_pool ADD COLUMN vlans TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE log ADD COLUMN why TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE log ADD COLUMN client TEXT NOT NULL DEFAULT ''"):
        connection.exec_driver_sql(statement)


def _grouped(connection: sa.Connection) -> None:
    connection.exec_driver_sql(
        "CREATE TABLE vmgroup_pool (oid BIGINT NOT NULL PRIMARY KEY, uid BIGINT, gid BIGINT, name TEXT, "
        f"perms BIGINT, lock TEXT, roles TEXT, next_role BIGINT, template {_blob(connection)})")
    connection.exec_driver_sql("ALTER TABLE image_pool ADD COLUMN made BIGINT NOT NULL DEFAULT 0")
    connection.exec_driver_sql(
        "CREATE TABLE plan_pool (oid BIGINT NOT NULL PRIMARY KEY, number BIGINT, state BIGINT, time BIGINT, "
        "uid BIGINT, actions TEXT)")


def _kept(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE owed ADD COLUMN images TEXT NOT NULL DEFAULT ''")


STEPS: dict[int, Callable[[sa.Connection], None]] = {1: _fenced, 2: _restored, 3: _moving, 4: _tenants, 5: _grouped,
                                                     6: _kept}
"""From schema number N to N + 1."""


def migrate(database: Database, target: int = schema.VERSION,
            steps: dict[int, Callable[[sa.Connection], None]] | None = None) -> str:
    """Make or upgrade the schema; returns what was done, "" for nothing.  Raises DatabaseError when it is newer."""
    found = version(database)
    if not found:  # nothing there, or a first start that was cut off
        with database.writing() as connection:
            database.metadata.create_all(connection)
            _stamp(connection, database, target)
        return f"made schema {target}"
    if found > target:
        raise DatabaseError(f"the database has schema {found}, this onecore knows up to {target}: "
                            "it was written by a newer release; use that one")
    if found == target:
        return ""
    copy = backup(database, database.home / f"onecore.db.schema-{found}")
    try:
        with database.engine.begin() as connection:
            if database.sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            for number in range(found, target):
                (STEPS if steps is None else steps)[number](connection)
            _stamp(connection, database, target)
    except (sa.exc.SQLAlchemyError, KeyError) as error:
        raise DatabaseError(f"upgrade from schema {found} to {target} failed, nothing was changed: {error!r}") from None
    return f"upgraded schema {found} to {target}" + (f", copy of the old one in {copy}" if copy else "")


def version(database: Database) -> int | None:
    """The schema number that the database has, None when it is empty."""
    with database.reading() as connection:
        if not sa.inspect(connection).has_table("meta"):
            return None
    return database.meta("schema")


def backup(database: Database, path: Path) -> Path | None:
    """A consistent copy of an SQLite database; None on PostgreSQL (make one with pg_dump)."""
    if not database.sqlite:
        return None
    partial = path.with_name(path.name + ".part")
    source, target = sqlite3.connect(database.path), sqlite3.connect(private(partial))
    try:
        source.backup(target)
    finally:
        source.close()
        target.close()
    shutil.move(partial, path)
    return path


def _stamp(connection: sa.Connection, database: Database, number: int) -> None:
    sql = schema.upsert_sql(database.metadata.tables["meta"], database.paramstyle)
    connection.exec_driver_sql(sql, ("schema", number))
