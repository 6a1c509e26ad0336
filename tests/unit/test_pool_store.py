"""Transactions in memory: all or nothing, indexes included, and who waits for what to be durable."""
from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_ground import Part, Pool, Thing

from onecore.errors import Internal
from onecore.pool.store import Actor, Event

changes = st.lists(st.tuples(st.integers(0, 4), st.none() | st.tuples(st.integers(-1, 2), st.sampled_from(
    ["", "a", "a b", "b c"]))), max_size=8)


@pytest.fixture
def pool() -> Pool:
    """An empty one."""
    return Pool()


def put(pool: Pool, *things: Thing) -> int:
    """Store them in one transaction."""
    with pool.store.tx() as tx:
        for thing in things:
            tx.put(thing)
    return tx.seq


def test_a_transaction_reads_its_own_writes(pool: Pool) -> None:
    with pool.store.tx() as tx:
        assert tx.get(Thing, 1) is None and not tx.wrote
        thing = tx.put(Thing(1, 5, "a b"))
        assert tx.get(Thing, 1) is thing and pool.owners.of(5) == {1} == pool.tags.of("b") and tx.wrote
        tx.put(replace(thing, owner=6, tags="b"))
        assert pool.owners.of(5) == set() and pool.owners.count(6) == 1 and pool.tags.count("a") == 0
        tx.put(Part(1, 0, b"x"))
        tx.delete(Part(1, 0, b"x"))
        assert tx.get(Part, (1, 0)) is None
    assert pool.store.given == tx.seq == 1
    assert {(t, k): r for t, k, r in pool.paper.batches[0].writes} == {
        ("thing", 1): (1, 6, "b"), ("part", (1, 0)): None}


@given(changes, changes, st.booleans())
def test_what_is_undone_leaves_nothing(first: list[tuple[int, tuple[int, str] | None]],
                                       then: list[tuple[int, tuple[int, str] | None]], dry: bool) -> None:
    pool = Pool()

    def change(what: list[tuple[int, tuple[int, str] | None]], stop: bool) -> None:
        with pool.store.tx() as tx:
            tx.dry = stop and dry
            for oid, value in what:
                old = tx.get(Thing, oid)
                if value is not None:
                    tx.put(Thing(oid, *value))
                elif old is not None:
                    tx.delete(old)
            tx.next_id("thing")
            tx.log("thing", 1, "update")
            if stop and not dry:
                raise KeyError
    change(first, False)
    before, batches = pool.seen(), len(pool.paper.batches)
    if dry:
        change(then, True)
    else:
        with pytest.raises(KeyError):
            change(then, True)
    assert pool.seen() == before and len(pool.paper.batches) == batches == pool.store.given
    again = Pool()
    again.store.load(r for table in pool.store.tables.values() for r in table.values())
    assert again.seen() == before
    pool.store.clear()
    assert pool.seen() == Pool().seen()


def test_an_id_is_never_given_twice(pool: Pool) -> None:
    given_ids = []
    for _ in range(3):
        with pool.store.tx() as tx:
            given_ids.append(tx.next_id("thing"))
            tx.put(Thing(given_ids[-1], 0, ""))
        with pool.store.tx() as tx:
            tx.delete(Thing(given_ids[-1], 0, ""))
    with pool.store.tx() as tx:
        assert [tx.next_id("thing"), tx.next_id("thing"), tx.next_id("other")] == [3, 4, 0]
    assert given_ids == [0, 1, 2]


def test_decisions_run_one_at_a_time(pool: Pool) -> None:
    with pool.store.tx() as outer:
        outer.put(Thing(1, 0, ""))
        with pytest.raises(RuntimeError, match="under way"), pool.store.tx():
            pass
        assert pool.store.current is outer
    assert pool.store.get(Thing, 1) is not None and pool.store.current is None


def test_a_transaction_that_changes_nothing_has_no_number(pool: Pool) -> None:
    with pool.store.tx() as tx:
        pass
    assert (tx.seq, pool.store.given, pool.paper.batches) == (0, 0, [])


def test_answers_depend_on_what_they_show(pool: Pool) -> None:
    first = put(pool, Thing(1, 0, ""))
    with pool.store.tx() as tx:
        tx.put(Part(2, 0, b""))
    second = tx.seq
    depends = pool.store.depends
    assert [depends("thing", 1), depends("thing", 2), depends("thing", 3), depends("thing"), depends("vm")] == [
        first, second, 0, second, 0]
    pool.store.became_durable(first)
    assert [depends("thing", 1), depends("thing", 2), depends("thing")] == [0, second, second]
    with pool.store.tx() as tx:
        tx.delete(Part(2, 0, b""))
    pool.store.became_durable(second)
    assert depends("thing", 2) == depends("thing") == tx.seq
    pool.store.became_durable(tx.seq)
    assert depends("thing", 2) == depends("thing") == 0 and not pool.store._marks


def test_who_waits_is_told_in_order(pool: Pool) -> None:
    told: list[tuple[str, BaseException | None]] = []
    for n in range(4):
        put(pool, Thing(n, 0, ""))
    for name, seq in (("c", 3), ("a", 1), ("b", 2), ("a again", 1), ("d", 4)):
        pool.store.when_durable(seq, lambda error, name=name: told.append((name, error)))  # type: ignore[misc]
    assert told == []
    pool.store.became_durable(2)
    assert [name for name, _ in told] == ["a", "a again", "b"]
    pool.store.when_durable(2, lambda error: told.append(("at once", error)))
    lost = OSError("disk full")
    pool.store.settle(3, lost)
    assert told[3:] == [("at once", None), ("c", None), ("d", lost)]


def test_after_runs_only_what_is_durable(pool: Pool) -> None:
    ran: list[str] = []

    def stage(name: str, fail: bool = False) -> int:
        with pool.store.tx() as tx:
            tx.put(Thing(1, 0, name))
            tx.after(lambda: ran.append(name))
            if fail:
                raise KeyError
        return tx.seq
    stage("a")
    with pytest.raises(KeyError):
        stage("undone", fail=True)
    stage("b")
    stage("lost")
    assert ran == []
    pool.store.became_durable(2)
    assert ran == ["a", "b"]
    pool.store.settle(2, OSError())
    pool.store.became_durable(9)
    assert ran == ["a", "b"]


def test_one_that_raises_keeps_no_other_from_its_answer(pool: Pool) -> None:
    told, bugs = [], list[Exception]()
    pool.store.on_bug = bugs.append
    seq = put(pool, Thing(1, 0, ""))
    pool.store.when_durable(seq, lambda error: 1 / 0)  # type: ignore[arg-type,return-value]
    pool.store.when_durable(seq, told.append)
    pool.store.became_durable(seq)
    assert told == [None] and [type(b) for b in bugs] == [ZeroDivisionError]


def test_nothing_is_stored_while_nothing_can_be(pool: Pool) -> None:
    put(pool, Thing(1, 0, "a"))
    before = pool.seen()
    pool.store.refuses = "the disk is full"
    with pytest.raises(Internal, match="disk is full"):
        put(pool, Thing(1, 1, "b"))
    told: list[BaseException | None] = []
    pool.store.when_durable(1, told.append)
    assert pool.seen() == before and len(pool.paper.batches) == 1 and isinstance(told[0], Internal)


def test_events_are_written_at_once_and_published_when_durable(pool: Pool) -> None:
    published: list[list[Event]] = []
    pool.store.on_events = published.append
    with pool.store.tx(Actor(3, 1, "one.vm.hold", "r9")) as tx:
        tx.log("vm", 7, "state", "PENDING", "HOLD", ["STATE", "X"])
        tx.log("vm", 7, "update")
    event = Event(1, 0, 1700000000, "vm", 7, "state", "PENDING", "HOLD", "STATE,X", 3, "one.vm.hold", "r9")
    rows = [row for table, _, row in pool.paper.batches[0].writes if table == "log"]
    assert rows[0] == (1, 0, 1700000000, "vm", 7, "state", "PENDING", "HOLD", "STATE,X", 3, "one.vm.hold", "r9",
                       "", "")
    assert len(rows) == 2 and published == []
    pool.store.became_durable(1)
    assert published[0][0] == event and [e.n for e in published[0]] == [0, 1]
