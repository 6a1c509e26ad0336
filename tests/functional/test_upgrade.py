"""Databases of earlier releases (tests/golden/databases, one a schema): nothing is lost, and the cloud goes on."""
from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sim import Sim

from onecore import app
from onecore.config import Config
from onecore.pool import schema

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


@pytest.mark.sqlite
def test_every_row_is_kept(home: Path) -> None:
    """Each value of each old column; the schema is this release's."""
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
