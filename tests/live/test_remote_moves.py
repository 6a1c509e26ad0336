"""Moves of real guests by the API: not live, to other datastores, broken off, and those that onesched decides."""
from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bed_acts import answers, change, go, host_of, other, pair_of, runs_on
from bed_cloud import SHARED, BedCloud, bed_cloud
from cloud_process import template, until
from crash_ground import check_books_but_guests
from migrate_ground import Pings

from onecore.wire.client import ClientError

pytestmark = pytest.mark.live
SAVE, POWEROFF = 0, 1
"""Kinds of one.vm.migrate."""
SUCCESS = 1
"""Of one.vm.recover."""


@dataclass(frozen=True)
class Mover:
    """A VM that moves, the datastore in which it begins, and another one like that."""

    cloud: BedCloud
    vm: int
    first: int
    second: int

    def move(self, host: int, live: bool = False, store: int = -1, kind: int = SAVE, state: str = "RUNNING") -> None:
        """Move it; afterwards it is there, in the record and on the hosts."""
        before = self.cloud.store_of(self.vm)
        change(self.cloud, self.vm, "migrate", host, live, False, store, kind, state=state)
        self.is_at(host, before if store == -1 else store, state == "RUNNING")

    def is_at(self, host: int, store: int, runs: bool = True) -> None:
        """Record and hosts agree on where it is; nowhere else is anything of it, when what is owed is cleaned."""
        cloud = self.cloud
        assert (host_of(cloud, self.vm), cloud.store_of(self.vm)) == (host, store)
        until(90, f"VM {self.vm} to be there alone", lambda: not self._astray(store, runs),
              lambda: self._astray(store, runs))

    def _astray(self, store: int, runs: bool) -> list[object]:
        """What of it is where it should not be, and what is not where it should."""
        cloud, base, here = self.cloud, self.cloud.home / "datastores", self.cloud.node_of(self.vm)
        domains = runs_on(cloud, self.vm)
        astray: list[object] = [] if domains == ([here.name] if runs else []) else [("domains", domains)]
        for node in cloud.bed.nodes:
            found = [oid for oid in (self.first, self.second) if node.path(base / str(oid) / str(self.vm)).exists()]
            if found != ([store] if node is here or self.first == SHARED else []):
                astray.append((node.name, "directories", found))
            if not (node is here and runs):
                astray += [(node.name, tap) for tap in node.taps() if tap.startswith(f"one-{self.vm}-")]
        return astray

    def slow(self, mb: int) -> None:
        """It moves with so many MB a second at most."""
        self.cloud.node_of(self.vm).run("virsh", "-q", "-c", "qemu:///system", "migrate-setspeed", f"one-{self.vm}",
                                        str(mb))

    def under_way(self) -> dict[str, Any]:
        """The operation on it; empty when there is none."""
        rows: list[dict[str, Any]] = json.loads(self.cloud.client.text("onecore.op.list", -2))
        return next((row for row in rows if row["vm"] == self.vm), {})


@pytest.fixture(scope="module")
def cloud() -> Iterator[BedCloud]:
    """One that waits longer until a move that is cancelled has ended: its copies are slow here."""
    with bed_cloud(2, {"deadlines": {"grace": 30}}) as made:
        yield made


@pytest.fixture(scope="module")
def movers(cloud: BedCloud) -> Iterator[list[Mover]]:
    """One on each kind of storage, each with a word on its disk."""
    others = [_another(cloud, tm_mad) for tm_mad in ("qcow2", "ssh")]
    with pair_of(cloud, "moves") as vms:
        for vm in vms:
            cloud.inside(vm, "echo kept > /word; sync")
        yield [Mover(cloud, *each) for each in zip(vms, (SHARED, cloud.local), others, strict=True)]


def _another(cloud: BedCloud, tm_mad: str) -> int:
    """Another system datastore; one for all hosts lies in a directory that they share already."""
    oid = cloud.client.number("one.datastore.allocate", template(
        {"NAME": f"another-{tm_mad}", "TYPE": "SYSTEM_DS", "TM_MAD": tm_mad}), -1)
    if tm_mad == "qcow2":
        path, shared = cloud.home / "datastores" / str(oid), cloud.home / "datastores/2/another"
        shared.mkdir()
        _link(path, shared)
        for node in cloud.bed.nodes:
            node.run("sh", "-c", f"until [ -L {path} ]; do rmdir {path} 2>/dev/null; ln -sT {shared} {path}; done")
    return oid


def _link(path: Path, shared: Path) -> None:
    """PATH leads to SHARED; whoever measures the new datastore may have made a directory there, again and again."""
    for _ in range(100):
        with suppress(OSError):
            path.rmdir()
        try:
            return path.symlink_to(shared)
        except FileExistsError:
            time.sleep(0.05)
    raise AssertionError(f"{path} is always there")


def test_powered_off_on_the_way_it_starts_elsewhere(cloud: BedCloud, movers: list[Mover]) -> None:
    """migration_type 1: shut down by its own system, another boot there, with what was written."""
    for mover in movers:
        boot = answers(cloud, mover.vm)
        mover.move(other(cloud, mover.vm), kind=POWEROFF)
        assert cloud.booted(mover.vm, boot) != boot
        assert cloud.inside(mover.vm, "cat /word") == "kept\n"


def test_suspended_it_moves_and_the_same_boot_goes_on(cloud: BedCloud, movers: list[Mover]) -> None:
    """To another host, then to another datastore of that."""
    for mover in movers:
        cloud.inside(mover.vm, "echo memory > /run/word")
        before = cloud.told(mover.vm)
        go(cloud, mover.vm, "suspend", "SUSPENDED")
        mover.move(other(cloud, mover.vm), state="SUSPENDED")
        mover.move(host_of(cloud, mover.vm), store=mover.second, state="SUSPENDED")
        go(cloud, mover.vm, "resume", "RUNNING")
        mover.is_at(host_of(cloud, mover.vm), mover.second)
        after = cloud.told(mover.vm)
        assert after["boot_id"] == before["boot_id"] and float(after["uptime"]) > float(before["uptime"])
        assert cloud.inside(mover.vm, "cat /word /run/word") == "kept\nmemory\n"


def test_live_to_another_datastore(cloud: BedCloud, movers: list[Mover]) -> None:
    """On its host, as it runs: the guest's process has its files open there, and goes on writing."""
    for mover in movers:
        boot, host, pings = answers(cloud, mover.vm), host_of(cloud, mover.vm), Pings(cloud.address(mover.vm))
        mover.move(host, live=True, store=mover.first)
        print(f"VM {mover.vm} changed its datastore live, longest gap between two pings {pings.stop():.2f} s")
        process = next(guest.pid for guest in cloud.node_of(mover.vm).guests() if guest.name == f"one-{mover.vm}")
        assert str(cloud.directory(mover.vm) / "disk.0") in _opened(process)
        assert answers(cloud, mover.vm) == boot
        assert cloud.inside(mover.vm, "grep -qx more /word || echo more >> /word; sync; cat /word /run/word") == (
            "kept\nmore\nmemory\n")


def _opened(process: int) -> set[str]:
    """The files that a process has open."""
    found = set()
    for each in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(each))
    return found


def test_off_it_moves_to_both_at_once(cloud: BedCloud, movers: list[Mover]) -> None:
    """POWEROFF, to another host and another datastore, and back by a move that saves the guest."""
    for mover in movers:
        go(cloud, mover.vm, "poweroff-hard", "POWEROFF")
        mover.move(other(cloud, mover.vm), store=mover.second, state="POWEROFF")
        go(cloud, mover.vm, "resume", "RUNNING")
        boot = cloud.booted(mover.vm)
        assert cloud.inside(mover.vm, "cat /word") == "kept\nmore\n"
        mover.move(other(cloud, mover.vm), store=mover.first, kind=SAVE)
        assert answers(cloud, mover.vm) == boot


def test_a_live_migration_is_broken_off(cloud: BedCloud, movers: list[Mover]) -> None:
    """While it copies nobody is believed that it is there; cancelled, the guest goes on where it was, and may move."""
    for mover in movers:
        boot, host = answers(cloud, mover.vm), host_of(cloud, mover.vm)
        mover.slow(1)
        cloud.arrives(mover.vm, "RUNNING")
        cloud.patiently("one.vm.migrate", mover.vm, other(cloud, mover.vm), True)
        until(60, "the copy", lambda mover=mover: mover.under_way().get("step") in (  # type: ignore[misc]
            "copying disks", "copying memory"), mover.under_way)
        with pytest.raises(ClientError, match=r"recover --success .* is not what its host shows: its guest is \w+, not "
                                              "running"):
            cloud.recover(mover.vm, SUCCESS)
        assert cloud.vm_state(mover.vm) == "MIGRATE"
        cloud.client.call("onecore.op.cancel", mover.under_way()["id"])
        cloud.arrives(mover.vm, "RUNNING")
        assert "cancelled" in cloud.error_of(mover.vm)
        mover.is_at(host, mover.first)
        check_books_but_guests(cloud)
        assert answers(cloud, mover.vm) == boot
        mover.slow(1000)
        mover.move(other(cloud, mover.vm), live=True)
        assert answers(cloud, mover.vm) == boot


def test_resched_moves_it_live(cloud: BedCloud, movers: list[Mover]) -> None:
    """onesched finds the other host."""
    for mover in movers:
        boot, host = answers(cloud, mover.vm), other(cloud, mover.vm)
        cloud.act(mover.vm, "resched")
        until(300, "the other host", lambda mover=mover, host=host: (  # type: ignore[misc]
            host_of(cloud, mover.vm), cloud.vm_state(mover.vm)) == (host, "RUNNING"),
            lambda mover=mover: cloud.error_of(mover.vm))  # type: ignore[misc]
        mover.is_at(host, mover.first)
        assert cloud.body("vm", mover.vm).findtext("RESCHED") == "0"
        assert answers(cloud, mover.vm) == boot


def test_a_host_is_flushed_live(cloud: BedCloud, movers: list[Mover]) -> None:
    """Both guests leave it as they run, the drain ends by itself, and the host stays disabled until it is enabled."""
    host = host_of(cloud, movers[0].vm)
    if host_of(cloud, movers[1].vm) != host:
        movers[1].move(host, live=True)
    boots, goal = [answers(cloud, mover.vm) for mover in movers], other(cloud, movers[0].vm)
    cloud.client.call("onecore.host.flush", host)
    until(300, "the end of the drain", lambda: _drain(cloud, host)["since"] == 0, lambda: _drain(cloud, host))
    for mover, boot in zip(movers, boots, strict=True):
        cloud.arrives(mover.vm, "RUNNING")
        mover.is_at(goal, mover.first)
        assert answers(cloud, mover.vm) == boot
    assert cloud.body("host", host).findtext("STATE") == "4"  # DISABLED
    cloud.client.call("one.host.status", host, 0)
    cloud.wait_host(host, "MONITORED", 120)


def _drain(cloud: BedCloud, host: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cloud.client.text("onecore.host.drain", host))
    return found
