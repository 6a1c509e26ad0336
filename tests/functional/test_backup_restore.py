"""Backup and restore with real processes, on SQLite and PostgreSQL: busy clouds, other databases, kill -9, refusals."""
from __future__ import annotations

import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cloud_process import Cloud, onecore, unique, until
from makers import MakeCloud
from postgresql import Cluster
from sim_points import LONG

from onecore.pool.backup import unpack
from onecore.pool.restore import READY, STAGING

POOLS = {"one.vmpool.infoextended": (-2, -1, -1, -2), "one.hostpool.info": (), "one.imagepool.info": (-2, -1, -1),
         "one.vnpool.info": (-2, -1, -1), "one.userpool.info": (), "one.datastorepool.info": (),
         "one.templatepool.info": (-2, -1, -1)}
PATIENCE = 300
"""Seconds that a command may need on a busy machine."""
pytestmark = pytest.mark.timeout(2 * PATIENCE)
def backup(cloud: Cloud, *options: str) -> Path:
    """A backup of a cloud."""
    path = cloud.home.parent / f"{unique('cloud')}.backup"
    onecore(cloud, "backup", str(path), "--home", str(cloud.home), *options)
    return path


def restore(cloud: Cloud, path: Path, *options: str, code: int = 0) -> str:
    """Restore into a cloud's home; what was said."""
    done = onecore(cloud, "restore", str(path), "--home", str(cloud.home), *options, code=code)
    return (done.stdout if not code else done.stderr).decode()


def furnish(cloud: Cloud) -> list[int]:
    """Hosts, an image, a network, and VMs: RUNNING, POWEROFF and DONE."""
    hosts, image, network = cloud.add_hosts(2), cloud.make_image(), cloud.make_network()
    vms = [cloud.make_vm("", image, network) for _ in range(3)]
    for vm in vms:
        cloud.deploy(vm, hosts[0])
    cloud.client.call("one.vm.action", "poweroff-hard", vms[1])
    cloud.client.call("one.vm.action", "terminate-hard", vms[2])
    cloud.wait_vm(vms[1], "POWEROFF")
    cloud.wait_vm(vms[2], "DONE")
    return vms


def seen(cloud: Cloud) -> dict[str, list[tuple[str | None, ...]]]:
    """What users see of all objects: ids, names, states, owners, addresses."""
    from xml.etree import ElementTree
    paths = ("ID", "NAME", "UID", "STATE", "LCM_STATE", "TEMPLATE/NIC/IP", "HISTORY_RECORDS/HISTORY/HID")
    return {pool: [tuple(each.findtext(path) for path in paths)
                   for each in ElementTree.fromstring(cloud.client.text(pool, *given))] for pool, given in
            POOLS.items()}


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Rows of an SQLite file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def check_restored(cloud: Cloud, before: dict[str, list[tuple[str | None, ...]]]) -> None:
    """The cloud runs, held, with the objects of the backup; then accepted, it works."""
    until(20, "hosts to be compared", lambda: not json.loads(cloud.client.text("onecore.reconcile"))["unseen"])
    assert seen(cloud) == before
    assert "restored from a backup" in json.loads(cloud.client.text("onecore.status"))["held"]
    said = onecore(cloud, "reconcile", "--accept").stdout.decode()
    assert said.startswith("accepted")
    vm = cloud.make_vm()
    assert vm > 1000
    cloud.deploy(vm, 0)
    for each in (vm, 0):
        cloud.client.call("one.vm.action", "terminate-hard", each)
        cloud.wait_vm(each, "DONE")


@contextmanager
def traffic(cloud: Cloud) -> Iterator[list[int]]:
    """In the block, VMs are made and ended all the time; their ids."""
    made, ends = list[int](), threading.Event()

    def run() -> None:
        client = cloud.client_as(*cloud.credentials())
        while not ends.wait(0.005):
            made.append(client.number("one.vm.allocate", "CPU=1\nMEMORY=64\n"))
            if len(made) % 3 == 0:
                client.call("one.vm.action", "terminate", made[-1])
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield made
    finally:
        ends.set()
        thread.join()


def test_a_busy_cloud(make_cloud: MakeCloud, tmp_path: Path) -> None:
    """Each backup is one moment: whole transactions, nothing after it, what was acknowledged before it."""
    cloud = make_cloud()
    with traffic(cloud) as made:
        for number in range(4):
            until(20, "VMs", lambda number=number: len(made) > 40 * number)  # type: ignore[misc]
            acknowledged = len(made)
            path = backup(cloud)
            (tmp_path / str(number)).mkdir()
            with path.open("rb") as stream:
                manifest = unpack(stream, tmp_path / str(number))
            copy = tmp_path / str(number) / "onecore.db"
            vms = [vm for vm, in rows(copy, "SELECT oid FROM vm_pool ORDER BY oid")]
            assert vms == list(range(len(vms))) and acknowledged <= len(vms) <= len(made) + 1
            assert rows(copy, "SELECT oid FROM vm_text ORDER BY oid") == [(vm,) for vm in vms]
            assert rows(copy, "SELECT last FROM counter WHERE kind = 'vm'") == [(len(vms) - 1,)]
            (sequence, last), = rows(copy, "SELECT (SELECT value FROM meta WHERE name = 'seq'), max(seq) FROM log")
            assert sequence == last == manifest.sequence
            assert path.stat().st_mode & 0o777 == 0o600
    assert not list(cloud.home.glob(".*")) and not list(cloud.home.parent.glob(".*"))


def test_in_place(make_cloud: MakeCloud) -> None:
    """What came after the backup is gone from the records, and kept aside; guests are as they were."""
    cloud = make_cloud()
    furnish(cloud)
    before, password = seen(cloud), cloud.credentials()
    path = backup(cloud)
    late = cloud.make_vm()
    cloud.deploy(late, 1)
    assert "another oned" in restore(cloud, path, "--force", code=255), "not while it runs"
    cloud.kill()
    assert "--force" in restore(cloud, path, code=255), "not over a database"
    said = restore(cloud, path, "--force")
    assert "2 VMs, 2 hosts" in said and "is held" in said
    aside = next(cloud.home.glob("before-restore-*"))
    assert str(aside) in said and (aside / "one_auth").exists()
    cloud.start()
    assert cloud.credentials() == password
    wild = [each["id"] for host in json.loads(cloud.client.text("onecore.reconcile"))["hosts"] for each in host["wild"]]
    assert wild in ([], [late])
    check_restored(cloud, before)
    assert (cloud.home / "dummy").is_dir() and any((cloud.home / "dummy").glob(f"*/{late}"))


def test_somewhere_else(make_cloud: MakeCloud, cluster: Cluster | None) -> None:
    """Into a home that is empty but for its own configuration; with a backup that came through a pipe."""
    cloud = make_cloud()
    furnish(cloud)
    before = seen(cloud)
    cloud.stop()
    through = onecore(cloud, "backup", "-", "--home", str(cloud.home)).stdout
    other = make_cloud(start=False)
    said = onecore(other, "restore", "-", "--home", str(other.home), given=through).stdout.decode()
    if cluster is not None:
        assert f"{other.home}/oned.conf stays as it is" in said and (other.home / "oned.conf.restored").is_file()
    assert not list(other.home.glob("before-restore-*"))
    for host in (cloud.home / "dummy").iterdir():
        host.rename(_made(other.home / "dummy") / host.name)
    other.start()
    check_restored(other, before)


def _made(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


@pytest.mark.parametrize("to_sqlite", [True, False], ids=["to-sqlite", "to-postgresql"])
def test_the_other_database(make_cloud: MakeCloud, cluster: Cluster | None, to_sqlite: bool) -> None:
    """A backup knows no kind of database."""
    if cluster is None:
        pytest.skip("runs when the tests run on PostgreSQL")
    cloud = make_cloud(db="" if to_sqlite else "sqlite")
    furnish(cloud)
    before = seen(cloud)
    path = backup(cloud)
    cloud.stop()
    other = make_cloud(db="sqlite" if to_sqlite else "", start=False)
    restore(other, path)
    assert (other.home / "onecore.db").exists() == to_sqlite
    for host in (cloud.home / "dummy").iterdir():
        host.rename(_made(other.home / "dummy") / host.name)
    other.start()
    check_restored(other, before)


def test_an_empty_home_takes_the_configuration_too(make_cloud: MakeCloud, tmp_path: Path) -> None:
    """And everything else that a manager needs; nothing is readable by others."""
    cloud = make_cloud(db="sqlite")
    (cloud.home / "ssh").mkdir()
    for name in ("ssh/id_ed25519", "ssh/known_hosts", "sched.conf", "dummy.json"):
        (cloud.home / name).write_text("{}")
    path = backup(cloud, "--series")
    home = tmp_path / "new"
    onecore(cloud, "restore", str(path), "--home", str(home))
    for name in ("oned.conf", "one_auth", "sched_auth", "ssh/id_ed25519", "ssh/known_hosts", "sched.conf", "dummy.json",
                 "onecore.db", "monitor.db"):
        assert (home / name).stat().st_mode & 0o077 == 0, name
        if not name.endswith(".db"):
            assert (home / name).read_bytes() == (cloud.home / name).read_bytes()


def test_files_are_not_replaced_unasked(make_cloud: MakeCloud) -> None:
    """--force does."""
    cloud = make_cloud()
    path = backup(cloud)
    old = path.read_bytes()
    said = onecore(cloud, "backup", str(path), "--home", str(cloud.home), code=255).stderr.decode()
    assert "--force" in said and path.read_bytes() == old
    onecore(cloud, "backup", str(path), "--home", str(cloud.home), "--force")
    with path.open("rb") as stream:
        assert unpack(stream).members
    assert "no database" in onecore(cloud, "backup", "x", "--home", str(cloud.home / "none"), code=255).stderr.decode()


def test_a_damaged_backup_touches_nothing(make_cloud: MakeCloud) -> None:
    """Whatever byte is wrong, and wherever it ends."""
    cloud = make_cloud()
    path = backup(cloud)
    cloud.stop()
    whole, names = path.read_bytes(), sorted(os.listdir(cloud.home))
    dice = random.Random(7)
    spoiled = [whole[:dice.randrange(512, len(whole) - 20_000)] for _ in range(2 if LONG else 1)]
    for _ in range(2 if LONG else 1):
        at = dice.randrange(len(whole) - 20_000)
        spoiled.append(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1:])
    for data in spoiled:
        path.write_bytes(data)
        assert restore(cloud, path, "--force", code=255).startswith("onecore restore: ")
        assert sorted(os.listdir(cloud.home)) == names
    cloud.start()
    assert not json.loads(cloud.client.text("onecore.status"))["held"]


def test_kill_9_leaves_the_old_home_or_the_new_one(make_cloud: MakeCloud) -> None:
    """At any moment; oned starts afterwards, and what it serves is either, whole."""
    cloud = make_cloud()
    path = backup(cloud)
    token = cloud.make_vm("after-the-backup")
    cloud.stop()
    began = time.monotonic()
    restore(cloud, path, "--force")
    took, dice = time.monotonic() - began, random.Random(11)
    for _ in range(4 if LONG else 2):
        child = subprocess.Popen([sys.executable, "-m", "onecore", "restore", str(path), "--home", str(cloud.home),
                                  "--force"], env=cloud.environment, stdout=subprocess.DEVNULL)
        time.sleep(took * dice.uniform(0.4, 1.0))
        child.send_signal(signal.SIGKILL)
        child.wait()
        cloud.start()
        held = json.loads(cloud.client.text("onecore.status"))["held"]
        assert not (cloud.home / READY).exists()
        vms = [int(vm[0] or -1) for vm in seen(cloud)["one.vmpool.infoextended"]]
        assert vms == ([] if held else [token]), "no mixture"
        if held:
            onecore(cloud, "reconcile", "--accept", "--force")
            token = cloud.make_vm("after-the-backup")
        cloud.stop()
    restore(cloud, path, "--force")
    assert not (cloud.home / STAGING).exists() and not (cloud.home / READY).exists()


def test_unpack_reads_what_save_wrote(make_cloud: MakeCloud) -> None:
    """Of a stream that cannot be sought in."""
    cloud = make_cloud()
    through = onecore(cloud, "backup", "-", "--home", str(cloud.home)).stdout

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self._data = io.BytesIO(through)

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self._data.read(min(size, 1000) if size > 0 else size)
    assert set(unpack(Pipe()).members) >= {"onecore.db", "one_auth", "sched_auth", "oned.conf"}
