"""Live migration between hosts that share no storage: the guest notices nothing; whatever breaks, one host has it."""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import kvm_remote as remote
import pytest
from bed import Node
from kvm_bench import until
from migrate_ground import OTHER, OWN, Mover, Pings

from drivers.token import Token
from drivers.vm import move_store
from onecore.wire.messages import News, Progress

pytestmark = pytest.mark.live
ONE = 8141
AWAY = 120.0
LONG = 300.0
"""Seconds for a move that is slowed down."""


@pytest.fixture(scope="module")
def mover() -> Iterator[Mover]:
    """Two hosts and a guest that runs on the first, for all tests of this file."""
    with remote.bed(tcp=True) as bed:
        made = Mover(bed, ONE)
        made.boot()
        yield made
        made.bench.close()


@pytest.fixture
def here(mover: Mover) -> Node:
    return mover.at


@pytest.fixture
def there(mover: Mover) -> Node:
    return next(node for node in mover.bed.nodes if node is not mover.at)


def test_it_runs_on_and_hardly_a_ping_is_lost(mover: Mover, here: Node, there: Node) -> None:
    for node in (here, there):
        mover.bench.watch({"id": node.index, "name": node.name, "attrs": {}})
    until(lambda: mover.bench.states(ONE, here.index), 45, "the first news")
    assert mover.bench.ok("premigrate", mover.vm, live=True, **mover.args(there)) == {"problems": []}
    mover.run("echo kept > /word; echo $$ > /run/word; sync")
    before, told = float(mover.run("cut -d' ' -f1 /proc/uptime")), len(mover.bench.messages)
    pings, began = Pings(mover.address), time.monotonic()
    assert mover.move(there).data == {"where": "to", "left": []}
    took, gap = time.monotonic() - began, pings.stop()
    print(f"moved in {took:.1f} s, longest gap between two pings {gap:.2f} s")
    assert mover.runs_on() == [there.index] and mover.has_files() == [there.index]
    assert float(mover.run("cut -d' ' -f1 /proc/uptime")) > before and mover.run("cat /word") == "kept\n"
    def news() -> list[tuple[int, str]]:
        return [(m.hid, m.state) for m in mover.bench.messages[told:] if isinstance(m, News)]
    until(news, 40, "the news of its arrival")
    assert news() == [(there.index, "running")] and here.taps() == []
    steps = dict.fromkeys(m.step for m in mover.bench.messages[told:] if isinstance(m, Progress))
    stages = ("preparing", "copying disks", "copying memory", "switching over", "cleaning up")
    assert [step for step in steps if step in stages] == list(stages), steps


def test_what_is_in_the_way_is_told_and_nothing_done(mover: Mover, here: Node, there: Node) -> None:
    bench = remote.bench(mover.bed, migrate_uri="qemu+tcp://{host}:1/system")
    nic = {**mover.vm["nics"][0], "BRIDGE": "nowhere", "PHYDEV": "eth9"}
    attrs = {**mover.vm["attrs"], "OS": {"KERNEL": "/nowhere/vmlinuz"}}
    problems = bench.ok("premigrate", {**mover.vm, "nics": [nic], "attrs": attrs}, live=True,
                        **mover.args(there))["problems"]
    for said in ("no network device eth9", "no /nowhere/vmlinuz", "does not reach libvirt"):
        assert len([each for each in problems if said in each]) == 1, problems
    bench.close()
    assert mover.runs_on() == [here.index] == mover.has_files()


def test_twice_ends_like_once(mover: Mover, here: Node, there: Node) -> None:
    args = mover.args(there)
    assert mover.move(there).ok
    assert mover.bench.do("migrate", {**mover.vm, "dir": args["to_dir"]}, **args).data == {"where": "to", "left": []}
    assert mover.runs_on() == [there.index]


def test_cancelled_in_the_middle_it_stays(mover: Mover, here: Node, there: Node) -> None:
    mover.slow(2)
    token = Token()
    watcher = threading.Thread(target=lambda: (until(mover.copies, 180), token.cancel()))
    watcher.start()
    result = mover.move(there, token=token, timeout=LONG)
    watcher.join()
    assert result.cancelled and result.data["where"] == "from", result
    until(lambda: mover.runs_on() == [here.index] == mover.has_files() and there.taps() == [], 60, "an end over there")
    mover.slow(1000)
    assert mover.run("cat /word") == "kept\n"


def test_a_driver_that_is_killed_in_the_middle_finds_it_moved(mover: Mover, here: Node, there: Node) -> None:
    mover.slow(4)
    child = mover.begin_elsewhere(there)
    until(mover.copies, 180, "the copy of its memory")
    child.kill()
    child.wait()
    mover.bench._op = 6000
    assert mover.move(there, timeout=LONG).data == {"where": "to", "left": []}
    assert mover.runs_on() == [there.index] == mover.has_files() and here.taps() == []
    assert mover.run("cat /word") == "kept\n"


def test_a_source_without_libvirtd_keeps_it(mover: Mover, here: Node, there: Node) -> None:
    mover.slow(2)
    killer = threading.Thread(target=lambda: (until(mover.copies, 180), here.kill("libvirtd")))
    killer.start()
    result = mover.move(there, timeout=LONG)
    killer.join()
    assert not result.ok and result.temporary and result.data["where"] == "from", result
    here.start("libvirtd")
    until(lambda: mover.bench.do("state", mover.vm, host=mover.args(there)["host"]).ok, AWAY)
    until(lambda: mover.runs_on() == [here.index], 60, "the end of what arrived")
    mover.slow(1000)
    assert mover.run("cat /word") == "kept\n"
    assert mover.move(there).ok and mover.runs_on() == [there.index]


def test_to_another_datastore_of_its_host(mover: Mover, here: Node) -> None:
    assert mover.bench.ok("premigrate", mover.vm, live=True, **mover.args(here, OTHER)) == {"problems": []}
    mover.run("echo before > /before; sync; (while :; do date >> /times; sync; done) > /dev/null 2>&1 &")
    pings = Pings(mover.address)
    assert mover.move(here, OTHER).data == {"where": "to", "left": []}
    print(f"longest gap between two pings {pings.stop():.2f} s")
    assert mover.has_files(OWN) == [] and mover.has_files(OTHER) == [here.index]
    assert mover.run("cat /word /before; mount -t iso9660 /dev/sr0 /mnt && ls /mnt; umount /mnt") == (
        "kept\nbefore\ncontext.sh\n")
    assert f"{mover.vm['dir']}/disk.0" in opened(next(guest.pid for guest in here.guests()))
    assert mover.move(here, OWN).ok and mover.has_files(OTHER) == []


def opened(process: int) -> list[str]:
    """The files that a process has open."""
    found = []
    for each in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(each))
    return found


@pytest.mark.parametrize("pivots", [1, 2])
def test_a_driver_that_ended_between_two_disks_or_before_the_marks_goes_on(mover: Mover, here: Node, pivots: int,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest stands still meanwhile, on files that are there."""
    one = Path(mover.vm["dir"])
    store = OTHER if one.parent.name == OWN else OWN
    two = mover.bed.datastores / store / str(ONE)
    if len(mover.vm["disks"]) == 1:
        second = {"DISK_ID": "5", "TYPE": "fs", "FORMAT": "qcow2", "SIZE": "8", "TARGET": "vdb", "DRIVER": "qcow2"}
        here.run("qemu-img", "create", "-q", "-f", "qcow2", f"{one}/disk.5", "8M")
        mover.vm = {**mover.vm, "disks": [*mover.vm["disks"], second]}
        mover.bench.ok("attach_disk", mover.vm, host=remote.host(here), disk_id=5)
    mover.run(f"echo {pivots} > /word; sync; echo {pivots} > /dev/vdb; sync")
    left, real = [None] * pivots, move_store.pivot

    def pivot(*args: object) -> None:
        real(*args)  # type: ignore[arg-type]
        left.pop()
        if not left:
            raise SystemExit
    with monkeypatch.context() as patch:
        patch.setattr(move_store, "pivot", pivot)
        assert not mover.move(here, store).ok
    assert mover.bench.ok("state", mover.vm, host=remote.host(here))["state"] == "suspended"
    assert all(here.path(str(path)).exists() for path in (one, two))
    assert mover.move(here, store).data == {"where": "to", "left": []}
    assert mover.run("cat /word; head -n 1 /dev/vdb") == f"{pivots}\n{pivots}\n"
    assert not here.path(str(one)).exists() and not here.path(f"{two}/.arriving").exists()
