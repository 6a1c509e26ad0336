"""onedb with real processes: a copy of the database is checked while oned runs, and what does not agree is found."""
from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from cloud_process import Cloud
from makers import MakeCloud

from onecore.wire.client import ClientError

pytestmark = pytest.mark.timeout(600)
ONEDB = [sys.executable, "-c", "from cli.onedb import main; raise SystemExit(main())"]


def onedb(cloud: Cloud, *words: str, code: int = 0, home: bool = True) -> str:
    """What `onedb` said, with the exit code that is expected; about the cloud's HOME, or who answers for it."""
    about = ["--home", str(cloud.home)] if home else []
    done = subprocess.run([*ONEDB, *words, *about], cwd=cloud.home.parent, timeout=300, text=True,
                          capture_output=True, env=cloud.environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.sqlite
def test_what_does_not_agree_is_found(make_cloud: MakeCloud) -> None:
    """Nothing while all is well, with a VM that runs and one DONE; then what is missing."""
    cloud = make_cloud()
    host, image, network = cloud.add_hosts(1)[0], cloud.make_image(), cloud.make_network()
    runs, done = (cloud.make_vm("", image, network) for _ in range(2))
    cloud.deploy(runs, host)
    cloud.client.call("one.vm.action", "terminate-hard", done)
    for word in ("check", "fsck"):
        assert onedb(cloud, word) == "the database is whole and its rows agree\n"
    kept = cloud.home.parent / "kept"
    assert " hosts, sequence " in onedb(cloud, "backup", str(kept))
    assert kept.stat().st_size > 0
    cloud.stop()
    with closing(sqlite3.connect(cloud.home / "onecore.db")) as found, found:
        found.execute("UPDATE vm_pool SET uid = 77 WHERE oid = ?", (runs,))
        found.execute("DELETE FROM host_pool WHERE oid = ?", (host,))
        found.execute("DELETE FROM vnet_pool WHERE oid = ?", (network,))
    said = onedb(cloud, "check", code=255).splitlines()
    assert f"vm_pool {runs} belongs to host {host}, which is not there" in said
    assert f"vm_pool {runs} is of user 77, which is not there" in said
    assert any(line.endswith(f"belongs to vnet {network}, which is not there") for line in said)
    assert said[-1] == f"{len(said) - 1} faults"


@pytest.mark.sqlite
def test_a_damaged_database(make_cloud: MakeCloud) -> None:
    """Its pages are looked at too; where there is none, it says so."""
    cloud = make_cloud(start=False)
    assert "there is no database" in onedb(cloud, "check", code=255)
    (cloud.home / "onecore.db").write_bytes(b"nothing" * 1000)
    assert "onecore check" in onedb(cloud, "check", code=255)


@pytest.mark.surface
def test_purge_done(make_cloud: MakeCloud) -> None:
    """VMs that are DONE are forgotten, those of before a time alone if one is given; others stay."""
    cloud = make_cloud()
    done, stays = cloud.make_vm(hold=True), cloud.make_vm(hold=True)
    cloud.client.call("one.vm.action", "terminate-hard", done)
    assert onedb(cloud, "purge-done", "--end_time", "1h", home=False) == "0 VMs purged\n"
    assert cloud.vm_state(done) == "DONE"
    assert onedb(cloud, "purge-done", home=False) == "1 VMs purged\n"
    with pytest.raises(ClientError, match=rf"Error getting virtual machine \[{done}\]"):
        cloud.client.call("one.vm.info", done)
    assert cloud.vm_state(stays) == "HOLD"
    with pytest.raises(ClientError, match="Not authorized"):
        cloud.make_user()[1].call("onecore.purge", 1)
    cloud.stop()
    assert "cannot reach" in onedb(cloud, "purge-done", code=255)
