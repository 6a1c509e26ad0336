"""Group commit on a real SQLite file: what is written, what is acknowledged, what a failure leaves."""
from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest
from pool_ground import Part, Thing, database

from onecore.pool.database import Database
from onecore.pool.record import row_of
from onecore.pool.writer import Batch, BatchSql, InlineWriter, Late, ThreadWriter, Write


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """A database."""
    made = database(tmp_path)
    yield made
    made.close()


def up(record: Thing | Part) -> Write:
    """Write it."""
    return record.TABLE, record.key(), row_of(record)


def run(db: Database, *batches: Batch) -> None:
    """Commit them together."""
    with db.engine.connect() as connection:
        BatchSql(db).run(connection, batches)


def things(db: Database) -> dict[int, str]:
    """{oid: tags} as SQL has them."""
    return {t.oid: t.tags for t in db.load(Thing)}


def test_the_last_of_each_key_wins(db: Database) -> None:
    run(db, Batch(1, [up(Thing(1, 0, "a")), up(Thing(2, 0, "b")), up(Part(1, 0, b"\0\xff"))]),
        Batch(2, [up(Thing(1, 0, "c")), ("thing", 2, None)]), Batch(3, [up(Thing(3, 0, "d")), ("thing", 3, None)]),
        Batch(4, [("thing", 4, None), up(Thing(4, 0, "e"))]))
    assert things(db) == {1: "c", 4: "e"} and list(db.load(Part)) == [Part(1, 0, b"\0\xff")]
    assert db.meta("seq") == 4
    run(db, Batch(5, [("part", (1, 0), None), ("thing", 99, None), up(Thing(1, 7, "f"))]))
    assert list(db.load(Part)) == [] and db.select(Thing, "owner = :o", {"o": 7}) == [Thing(1, 7, "f")]


@pytest.mark.parametrize("count", [1, 3, 4, 63, 64, 65, 149, 700])
def test_many_rows_take_few_statements(db: Database, count: int) -> None:
    run(db, Batch(1, [up(Thing(n, 0, str(n))) for n in range(count)] + [up(Part(n, 1, b"")) for n in range(count)]))
    assert things(db) == {n: str(n) for n in range(count)}
    run(db, Batch(2, [("part", (n, 1), None) for n in range(count)] + [("thing", n, None) for n in range(1, count)]))
    assert things(db) == {0: "0"} and list(db.load(Part)) == []


def test_a_batch_that_fails_writes_nothing(db: Database) -> None:
    run(db, Batch(1, [up(Thing(1, 0, "a"))]))
    with pytest.raises(Exception, match="(?i)bind|type"):
        run(db, Batch(2, [up(Thing(2, 0, "b"))]), Batch(3, [("part", (1, 1), (1, 1, object()))]))
    assert things(db) == {1: "a"} and db.meta("seq") == 1


def test_after_a_failed_commit_nothing_is_written_until_resume(db: Database) -> None:
    said: queue.Queue[tuple[int, BaseException | None]] = queue.Queue()
    writer = ThreadWriter(db, lambda seq: said.put((seq, None)), lambda seq, error: said.put((seq, error)))
    writer.submit(Batch(1, [up(Thing(1, 0, "a"))]))
    assert said.get(timeout=60) == (1, None)
    writer.submit(Batch(2, [("thing", 2, (2, object(), ""))]))
    seq, error = said.get(timeout=60)
    assert seq == 2 and error is not None
    writer.submit(Batch(3, [up(Thing(3, 0, "dropped"))]))
    writer.resume(1)
    assert things(db) == {1: "a"} and db.meta("seq") == 1
    writer.submit(Batch(4, [up(Thing(4, 0, "d"))]))
    assert said.get(timeout=60) == (4, None) and writer.close()
    assert things(db) == {1: "a", 4: "d"} and db.meta("seq") == 4 and said.empty()


def test_what_came_after_all_is_not_written_over(db: Database) -> None:
    """The commit that failed was under way in the server still: memory that was loaded before it is refused."""
    failed: queue.Queue[int] = queue.Queue()
    writer = ThreadWriter(db, lambda seq: None, lambda seq, error: failed.put(seq))
    writer.submit(Batch(1, [("thing", 2, (2, object(), ""))]))
    assert failed.get(timeout=60) == 1
    run(db, Batch(1, [up(Thing(1, 0, "late"))]))
    with pytest.raises(Late, match="up to number 1, not 0"):
        writer.resume(0)
    assert db.meta("seq") == 1
    writer.resume(1)
    assert writer.close() and things(db) == {1: "late"}


def test_closing_writes_what_is_queued(db: Database) -> None:
    durable: list[int] = []
    writer = ThreadWriter(db, durable.append, lambda seq, error: None, limit=3)
    for n in range(1, 21):
        writer.submit(Batch(n, [up(Thing(n, 0, ""))]))
    assert writer.close() and durable == sorted(durable) and durable[-1] == 20 == db.meta("seq")
    assert len(things(db)) == 20


def test_closing_broken_says_so(db: Database) -> None:
    failed: queue.Queue[int] = queue.Queue()
    writer = ThreadWriter(db, lambda seq: None, lambda seq, error: failed.put(seq))
    writer.submit(Batch(1, [("thing", 2, (2, object(), ""))]))
    assert failed.get(timeout=60) == 1 and writer.close() is False


def test_inline_the_test_decides_when(db: Database) -> None:
    durable: list[int] = []
    writer = InlineWriter(db, durable.append)
    writer.submit(Batch(1, [up(Thing(1, 0, ""))]))
    writer.held = []
    writer.submit(Batch(2, [up(Thing(2, 0, ""))]))
    assert durable == [1] and set(things(db)) == {1}
    writer.release()
    assert durable == [1, 2] and set(things(db)) == {1, 2} and writer.held == []
    writer.close()


def test_one_oned_a_home(db: Database, tmp_path: Path) -> None:
    from onecore.pool.database import DatabaseError
    other = Database(tmp_path, "sqlite", (Thing,))
    with pytest.raises(DatabaseError, match=r"another oned \(pid \d+\) runs on"):
        other.lock()
    db.unlock()
    other.lock()
    other.close()
    assert (tmp_path / "onecore.db").stat().st_mode & 0o777 == 0o600
