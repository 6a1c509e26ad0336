"""Usage is derived: whatever happens to VMs, the indexes equal a count from scratch."""
from __future__ import annotations

from collections import Counter as Count
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_ground import Paper

from onecore.kinds.usage import Sums, Usage
from onecore.kinds.vm.record import Vm, ids
from onecore.pool.store import Counter, Groups, Members, Store

BLANK = Vm(**{f.name: "" if f.type == "str" else 0 for f in fields(Vm)})  # type: ignore[arg-type]


def hosts(vm: Vm) -> set[int]:
    """Where a VM takes capacity: on its host, and where it goes to."""
    return {vm.hid, vm.to_hid} - {-1}



shapes = st.fixed_dictionaries({
    "hid": st.integers(-1, 2), "cpu": st.integers(0, 800), "memory": st.integers(0, 4096),
    "disk_mb": st.integers(0, 10_000), "images": st.sampled_from(["", "1", "2,1", "3,3"]),
    "to_hid": st.integers(-1, 2), "name": st.sampled_from("ab")})
steps = st.lists(st.tuples(st.lists(st.tuples(st.integers(0, 4), st.none() | shapes), max_size=4), st.booleans()),
                 max_size=8)


def fresh(store: Store) -> Usage:
    """The indexes, as add_indexes makes them."""
    made = Usage(Groups(lambda vm: vm.hid if vm.hid >= 0 else None),
                 Groups(lambda vm: vm.to_hid if vm.to_hid >= 0 else None), Members(lambda vm: ids(vm.images)), Sums())
    for index in (made.by_host, made.arriving, made.by_image, made.sums):
        store.index(Vm, index)
    return made


@given(steps)
def test_the_indexes_equal_a_count_from_scratch(what: list[tuple[list[tuple[int, dict[str, object] | None]], bool]],
                                                ) -> None:
    store = Store((Vm, Counter), lambda: 0)
    store.writer = Paper()
    used = fresh(store)
    for changes, undo in what:
        versions = [used.sums.version(h) for h in range(3)]
        before = [used.sums.of(h) for h in range(3)]
        with store.tx() as tx:
            tx.dry = undo
            for oid, shape in changes:
                old = tx.get(Vm, oid)
                if shape is not None:
                    tx.put(replace(BLANK, oid=oid, **shape))  # type: ignore[arg-type]
                elif old is not None:
                    tx.delete(old)
        vms = list(store.all(Vm))
        for host in range(3):
            mine = [v for v in vms if host in hosts(v)]
            assert used.sums.of(host) == (sum(v.cpu for v in mine), sum(v.memory for v in mine) * 1024,
                                          sum(v.disk_mb for v in mine), len(mine))
            assert used.by_host.of(host) == {v.oid for v in vms if v.hid == host}
            assert used.arriving.of(host) == {v.oid for v in vms if v.to_hid == host}
            assert used.sums.of(host) == before[host] or used.sums.version(host) > versions[host]
        held = Count(i for v in vms for i in set(ids(v.images)))
        assert {i: used.by_image.count(i) for i in (1, 2, 3)} == {i: held[i] for i in (1, 2, 3)}
        again = fresh(store)
        assert [again.sums.of(h) for h in range(3)] == [used.sums.of(h) for h in range(3)]
        assert again.by_host._sets == used.by_host._sets and again.by_image._sets == used.by_image._sets
        for index in (again.by_host, again.by_image, again.sums):
            store.indexes[Vm].remove(index)  # type: ignore[arg-type]


def test_a_host_without_vms_uses_nothing() -> None:
    assert Sums().of(5) == (0, 0, 0, 0) and Sums().version(5) == 0


@pytest.mark.parametrize(("change", "moves"), [({"name": "other"}, False), ({"cpu": 5}, True), ({"hid": 2}, True)])
def test_the_version_moves_with_what_a_host_shows(change: dict[str, object], moves: bool) -> None:
    sums, old = Sums(), replace(BLANK, oid=1, hid=1, cpu=100)
    sums.change(None, old)
    before = sums.version(1)
    sums.change(old, replace(old, **change))  # type: ignore[arg-type]
    assert (sums.version(1) != before) == moves
