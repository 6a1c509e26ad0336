"""The change log as its readers see it: the same events from memory and from SQL, transactions never cut."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_ground import database

from onecore.pool import changelog
from onecore.pool.changelog import ChangeLog
from onecore.pool.database import Database
from onecore.pool.store import Event
from onecore.pool.writer import Batch, BatchSql


def event(seq: int, n: int) -> Event:
    """Any event."""
    return Event(seq, n, 100 + seq, "vm", n, "update", "", "", "", 0, "m", "r")


def filled(db: Database, sizes: list[int], keep: int = 100) -> ChangeLog:
    """A log with transactions 1 … of SIZES events, in memory and in SQL."""
    made = ChangeLog(db, keep)
    with db.engine.connect() as connection:
        connection.exec_driver_sql("DELETE FROM log")
        connection.commit()
        for seq, size in enumerate(sizes, 1):
            events = [event(seq, n) for n in range(size)]
            rows = [("log", (e.seq, e.n), tuple(getattr(e, f) for f in Event.__slots__)) for e in events]
            BatchSql(db).run(connection, [Batch(seq, rows)])
            made.publish(events)
    return made


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database."""
    made = database(tmp_path_factory.mktemp("log"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three events."""
    monkeypatch.setattr(changelog, "PAGE", 3)


def walk(log: ChangeLog, sql: bool) -> list[tuple[int, int]]:
    """All events as a reader with a cursor gets them, page by page."""
    found, since = [], 0
    while page := (log.read(since) if sql else log.after(since)):
        found += [(e.seq, e.n) for e in page]
        since = page[-1].seq
    return found


@settings(max_examples=25)
@given(st.lists(st.integers(0, 9), max_size=8))
def test_a_reader_sees_every_event_once(db: Database, sizes: list[int]) -> None:
    log = filled(db, sizes)
    expected = [(seq, n) for seq, size in enumerate(sizes, 1) for n in range(size)]
    assert walk(log, sql=False) == walk(log, sql=True) == expected
    assert log.last == (expected[-1][0] if expected else 0)


def test_a_page_ends_where_a_transaction_does(db: Database) -> None:
    log = filled(db, [2, 2, 1, 7])
    for reader in (log.after, log.read):
        assert [(e.seq, e.n) for e in reader(0)] == [(1, 0), (1, 1)]
        assert [(e.seq, e.n) for e in reader(1)] == [(2, 0), (2, 1), (3, 0)]
        assert [e.n for e in reader(3)] == list(range(7)) and reader(4) == []


@settings(max_examples=25)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(1, 9))
def test_memory_is_asked_only_for_what_it_holds_whole(db: Database, sizes: list[int], keep: int) -> None:
    log = filled(db, sizes, keep)
    for since in range(len(sizes) + 1):
        if log.in_memory(since):
            assert log.after(since) == log.read(since)
    assert log.in_memory(len(sizes)) and (sum(sizes) <= keep) == log.in_memory(0)


def test_too_old_and_too_new(db: Database) -> None:
    log = filled(db, [1, 1, 1])
    log.first_kept = 2
    assert [log.too_old(n) for n in (0, 1, 2, 3, 4)] == [True, True, False, False, True]


def test_loading_takes_the_newest_and_knows_what_is_gone(db: Database) -> None:
    filled(db, [2, 2, 2])
    log = ChangeLog(db, keep=3)
    log.load(3)
    assert [(e.seq, e.n) for e in log._tail] == [(2, 1), (3, 0), (3, 1)]
    assert (log.last, log.first_kept) == (3, 0) and not log.in_memory(1) and log.in_memory(2)
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM log WHERE seq = 1 AND n = 0")
    log.load(3)
    assert log.first_kept == 1, "a transaction of which a part is gone is not there"
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM log")
    log.load(3)
    assert (log.last, log.first_kept, log.after(0)) == (3, 3, [])


def test_who_waits_is_woken_once(db: Database) -> None:
    log, woken = filled(db, []), []
    log.wait(lambda: woken.append("a"))
    back = log.wait(lambda: woken.append("b"))
    back()
    log.publish([])
    assert woken == []
    log.publish([event(1, 0)])
    log.publish([event(2, 0)])
    assert woken == ["a"] and not log.closing
    log.wait(lambda: woken.append("c"))
    log.close()
    assert woken == ["a", "c"] and log.closing


@pytest.mark.parametrize("sizes", [[1, 2, 7, 1], [7], [2, 3, 2], [1] * 9])
def test_what_meets_a_condition_is_found_page_by_page(db: Database, sizes: list[int]) -> None:
    """The latest first; a transaction larger than a page is not cut either."""
    log, found, before = filled(db, sizes), [], len(sizes) + 1
    while page := log.find("kind = :kind", {"kind": "vm"}, before, 3):
        found += [(e.seq, e.n) for e in page]
        before = page[-1].seq
    assert found == sorted(((seq, n) for seq, size in enumerate(sizes, 1) for n in range(size)), reverse=True)
