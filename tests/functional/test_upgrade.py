"""Databases of earlier releases (tests/golden/databases, one a schema): nothing is lost, and the cloud goes on."""
from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sim import Sim
from xsd import schema_of, validate_known

from onecore import app
from onecore.config import Config
from onecore.kinds.kind import KINDS
from onecore.pool import schema
from onecore.wire.xmlrpc import unescape

OLD = sorted((Path(__file__).resolve().parents[1] / "golden" / "databases").glob("schema-*.sql"))
assert OLD, "there are databases of older releases"


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """{table: its rows}, but for what every start writes."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    tables = [name for name, in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')] for name in tables}
    connection.close()
    return {name: found[name] for name in sorted(found) if name != "meta"}


@pytest.fixture(params=OLD, ids=lambda path: path.stem)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A home with an old database."""
    connection = sqlite3.connect(tmp_path / "onecore.db")
    connection.executescript(request.param.read_text())
    connection.close()
    (tmp_path / "one_auth").write_text("oneadmin:secret")
    return tmp_path


def fill(path: Path) -> None:
    """A row in each table that has none: what is owed, held, under way."""
    connection = sqlite3.connect(path)
    made: dict[str, object] = {"BIGINT": 7, "TEXT": "seven", "BLOB": b"7"}
    for name in [name for name, found in rows(path).items() if not found]:
        types = [row[2] for row in connection.execute(f'PRAGMA table_info("{name}")')]
        connection.execute(f'INSERT INTO "{name}" VALUES ({",".join("?" * len(types))})', [made[t] for t in types])
    connection.commit()
    connection.close()


@pytest.mark.sqlite
def test_every_row_is_kept(home: Path) -> None:
    """Each value of each old column of each table; the schema is this release's, and it is upgraded once."""
    fill(home / "onecore.db")
    assert all(rows(home / "onecore.db").values())
    before = rows(home / "onecore.db")
    database, told = app.open_database(Config(), home)
    assert told.startswith("upgraded schema") and database.meta("schema") == schema.VERSION
    tables = {table.name: [column.name for column in table.columns] for table in database.metadata.tables.values()}
    database.close()
    after = rows(home / "onecore.db")
    for table, kept in before.items():
        assert [{name: row[name] for name in old} for old, row in zip(kept, after[table], strict=True)] == kept, table
    connection = sqlite3.connect(home / "onecore.db")
    for name, columns in tables.items():
        assert sorted(row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')) == sorted(columns), name
    connection.close()
    database, told = app.open_database(Config(), home)
    database.close()
    assert told == ""


@pytest.mark.sqlite
def test_every_body_can_be_read(home: Path) -> None:
    """By this release's schemas of bodies; each kind's objects are all there, by the names that they had."""
    names = {name: {row["oid"]: row["name"] for row in found if "name" in row}
             for name, found in rows(home / "onecore.db").items()}
    sim = Sim(home).boot()
    for kind in KINDS.values():
        old = names.get(kind.record.TABLE, {})
        for record in sim.core.store.all(kind.record):
            validate_known(schema_of(kind.name), unescape(b"".join(kind.body(sim.core, record)).decode()))
            assert old.pop(record.oid, None) in (None, record.name), record  # type: ignore[attr-defined]
        assert not old or kind.name == "vm" and list(old.values()) == ["done"], (kind.name, old)
    sim.close()


@pytest.mark.sqlite
def test_its_vms_live_on(home: Path) -> None:
    """What ran runs, what was off is off; each can be used and ended, and the past can be read."""
    for host in ("node1", "node2"):
        (home / "dummy" / host).mkdir(parents=True)
    (home / "dummy" / "node1" / "0").write_text("1 running 1 65536\n")
    sim = Sim(home).boot().ready()
    assert [sim.state(vm) for vm in range(4)] == ["RUNNING", "POWEROFF", "DONE", "PENDING"]
    sim.until(lambda: sim.host_state(0) == "MONITORED")
    sim.call("one.vm.action", "resume", 1)
    sim.wait(1, "RUNNING")
    assert sim.vm(0).hid == 0 and "<NAME><![CDATA[done]]></NAME>" in sim.call("one.vm.info", 2)
    assert sim.vm(0).uid == 2 and "TEAM" in sim.call("one.user.info", 2)
    for vm in (1, 3):
        sim.call("one.vm.action", "terminate-hard", vm)
        sim.wait(vm, "DONE")
    sim.call("one.vm.recover", 0, 3)  # its dummy disks lie in no directory, as this release's do
    sim.wait(0, "DONE")
    sim.close()
