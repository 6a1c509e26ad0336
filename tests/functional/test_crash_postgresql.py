"""PostgreSQL that goes away under oned: its connection, the whole server; and two oneds on one database."""
from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_process import PATIENCE, Cloud, free_port, until
from crash_ground import check_books
from makers import MakeCloud
from postgresql import Cluster, binaries

from onecore.pool import database
from onecore.pool.database import Database, DatabaseError
from onecore.wire.client import ClientError


@pytest.fixture(scope="module")
def server(cluster: Cluster | None) -> Iterator[Cluster]:
    """A server of these tests' own, where the tests run on one: what others' clouds keep is not cut off."""
    programs = binaries()
    if cluster is None or programs is None:
        pytest.skip("the tests do not run on PostgreSQL (ONECORE_TEST_DB)")
    made = Cluster(programs).start()
    yield made
    made.stop()


def _stored(cloud: Cloud) -> int | None:
    """A new VM's id, None while nothing can be stored."""
    try:
        return cloud.make_vm()
    except ClientError:
        return None


def test_the_connection_and_the_server_go_away(make_cloud: MakeCloud, server: Cluster) -> None:
    """Each time the calls under way fail, what was acknowledged stays, and all goes on by itself."""
    cloud = make_cloud(db=server.database())
    vm, host = cloud.make_vm(), cloud.add_hosts(1)[0]
    cloud.deploy(vm, host)
    cloud.hold("vm.shutdown")  # else its result may be what meets the broken connection, before a call does
    cloud.client.call("one.vm.action", "poweroff", vm)
    acknowledged = []
    for _ in range(2):
        server.cut()
        assert _stored(cloud) is None
        acknowledged.append(until(60.0, "changes to be stored", lambda: _stored(cloud)))
    server.restart()
    cloud.dummy()
    acknowledged.append(until(60.0, "changes to be stored", lambda: _stored(cloud)))
    cloud.wait_vm(vm, "POWEROFF")
    assert [cloud.vm_state(oid) for oid in acknowledged if oid is not None] == ["PENDING"] * 3
    check_books(cloud)
    assert cloud.oned is not None and cloud.oned.poll() is None


def test_a_lock_that_lingers(tmp_path: Path, server: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy server may see late that the one before is gone: that is waited for, another daemon is not."""
    url = server.database()
    old, new = (Database(tmp_path / name, url, ()) for name in ("old", "new"))
    old.lock()
    held = old.writer_connection()
    threading.Timer(1.0, held.invalidate).start()
    with monkeypatch.context() as patch:
        patch.setattr(database, "LINGERS", PATIENCE)
        new.lock()
    with pytest.raises(DatabaseError, match="another oned holds"):
        old.writer_connection()
    for each in (old, new):
        each.close()


def test_two_daemons_on_one_database(make_cloud: MakeCloud, server: Cluster) -> None:
    """The second, with a home of its own, is refused before it touches anything."""
    url = server.database()
    first, second = make_cloud(db=url), make_cloud(db=url, start=False)
    done = subprocess.run([sys.executable, "-m", "onecore", "--home", str(second.home), "--port", str(free_port())],
                          capture_output=True, text=True, timeout=100, env=second.environment)
    assert done.returncode == 1 and "another oned holds this PostgreSQL database" in done.stderr
    assert "Traceback" not in done.stderr
    assert _stored(first) is not None
