"""What is old goes in small batches: DONE VMs with all their rows, the change log, the series."""
from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from onecore import config
from onecore.kinds import retention
from onecore.kinds.vm.record import History, Vm, VmText
from onecore.log import Log
from onecore.pool.changelog import ChangeLog
from onecore.pool.database import Database
from onecore.pool.migrations import migrate
from onecore.pool.record import Record
from onecore.pool.series import Series
from onecore.pool.store import Counter, Store
from onecore.pool.writer import InlineWriter
from onecore.wire.states import VmState

DAY, NOW = 86400, 1_700_000_000


def blank(cls: type[Any]) -> Any:
    """A record of zeros."""
    empty = {"int": 0, "str": "", "bytes": b""}
    return cls(**{f.name: empty[str(f.type)] for f in fields(cls)})


class Cloud:
    """As much of a core as retention needs; `now` may be changed."""

    def __init__(self, home: Path) -> None:
        self.config = config.Config(retention=config.Retention(done_days=10, log_days=5, series_hours=2))
        classes: tuple[type[Record], ...] = (Vm, VmText, History, Counter)
        self.database = Database(home, "sqlite", classes)
        self.database.lock()
        migrate(self.database)
        self.time = NOW
        self.store = Store(classes, lambda: self.time)
        self.writer = InlineWriter(self.database, self.store.became_durable)
        self.store.writer = self.writer
        self.changelog, self.series, self.log = ChangeLog(self.database), Series(home / "monitor.db"), Log(home / "log")
        self.store.on_events = self.changelog.publish

    def now(self) -> int:
        """The time."""
        return self.time

    def add(self, oid: int, state: VmState, ended: int, stays: int = 0) -> None:
        """A VM, durable."""
        with self.store.tx() as tx:
            tx.put(replace(blank(Vm), oid=oid, state=int(state), etime=ended, seq=stays - 1))
            tx.put(replace(blank(VmText), oid=oid, done=1))
            for seq in range(stays):
                tx.put(replace(blank(History), vid=oid, seq=seq, done=1))
            tx.log("vm", oid, "create")
            tx.log("vm", oid, "state")

    def rows(self, table: str, column: str = "oid") -> list[int]:
        """What SQL has."""
        return [row[0] for row in self.database.rows(f'SELECT {column} FROM "{table}" ORDER BY 1')]

    def purge(self) -> int:
        """One round."""
        core: Any = SimpleNamespace(**vars(self), now=self.now)
        return asyncio.run(retention.purge(core))


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A cloud without any past."""
    made = Cloud(tmp_path)
    yield made
    made.writer.close()
    made.series.close()
    made.database.close()
    made.log.close()


def test_done_vms_go_with_all_their_rows(cloud: Cloud) -> None:
    cloud.add(1, VmState.DONE, NOW - 11 * DAY, stays=3)
    cloud.add(2, VmState.DONE, NOW - 9 * DAY, stays=2)
    cloud.add(3, VmState.POWEROFF, 0, stays=1)
    cloud.add(4, VmState.DONE, NOW - 11 * DAY)
    for oid in (1, 2):
        cloud.log.vm(oid, "a line")
    cloud.log.flush_vms()
    assert cloud.purge() == 2
    assert cloud.rows("vm_pool") == cloud.rows("vm_text") == [2, 3] and cloud.rows("history", "vid") == [2, 2, 3]
    paths = [cloud.log.vm_path(oid) for oid in (1, 2)]
    assert [path.exists() for path in paths if path] == [False, True]
    assert cloud.purge() == 0


def test_a_round_is_small(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    for oid in range(8):
        cloud.add(oid, VmState.DONE, NOW - 11 * DAY)
    assert [cloud.purge() for _ in range(4)] == [3, 3, 2, 0] and cloud.rows("vm_pool") == []


def test_the_change_log_says_what_is_gone(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    cloud.time = NOW - 6 * DAY
    for oid in range(3):
        cloud.add(oid, VmState.POWEROFF, 0)
    cloud.time = NOW
    cloud.add(3, VmState.POWEROFF, 0)
    assert not cloud.changelog.too_old(0)
    assert cloud.purge() == 4 and cloud.rows("log", "seq") == [3, 3, 4, 4]
    assert cloud.changelog.too_old(1) and not cloud.changelog.too_old(2)
    assert [e.seq for e in cloud.changelog.read(2)] == [3, 3, 4, 4]
    assert cloud.purge() == 2 and cloud.purge() == 0 and cloud.rows("log", "seq") == [4, 4]
    assert cloud.changelog.too_old(2) and not cloud.changelog.too_old(3)
    again = ChangeLog(cloud.database)
    again.load(4)
    assert (again.first_kept, again.last) == (3, 4)


def test_samples_go_by_the_hour(cloud: Cloud) -> None:
    cloud.series.add("host", [(1, NOW - 3 * 3600, [0.0] * 6), (1, NOW - 3600, [1.0] * 6)])
    assert cloud.purge() == 1
    assert [time for time, _ in cloud.series.read("host", [1], 0)[1]] == [NOW - 3600]


def test_nothing_goes_while_nothing_can_be_stored(cloud: Cloud) -> None:
    cloud.add(1, VmState.DONE, NOW - 11 * DAY)
    cloud.log.vm(1, "a line")
    cloud.log.flush_vms()
    cloud.store.refuses = "the disk is full"
    cloud.purge()
    path = cloud.log.vm_path(1)
    assert cloud.rows("vm_pool") == [1] and path is not None and path.exists()
    assert not cloud.changelog.too_old(0)
