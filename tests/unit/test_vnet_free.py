"""The next free address: never one that is taken, always one while there is any."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onecore.kinds.vnet.record import Lease, Range
from onecore.kinds.vnet.taken import Free

SIZE = 6
steps = st.lists(st.one_of(
    st.just(("give", 0)), st.tuples(st.just("want"), st.integers(0, SIZE - 1)),
    st.tuples(st.just("free"), st.integers(0, SIZE - 1)), st.just(("undone", 0)),
    st.tuples(st.just("owner"), st.integers(0, SIZE - 1)),
    st.tuples(st.just("size"), st.integers(1, SIZE))), max_size=60)


def span(size: int) -> Range:
    """A range."""
    return Range(1, 0, "ETHER", size, 0, "", "", "", "", "", b"")


@given(steps)
def test_no_address_is_given_twice_or_lost(what: list[tuple[str, int]]) -> None:
    free, model, size = Free(), dict[int, Lease](), SIZE
    for vm, (step, index) in enumerate(what):
        if step == "size" and index > max(model, default=-1):
            size = index
        elif step in ("give", "undone"):
            found = free.next(span(size))
            assert (found is None) == (len([i for i in model if i < size]) == size)
            if found is not None:
                assert found not in model and 0 <= found < size
                lease = Lease(1, 0, found, vm, 0)
                free.change(None, lease)
                if step == "undone":
                    free.change(lease, None)
                else:
                    model[found] = lease
        elif step == "want" and index not in model and index < size:
            model[index] = Lease(1, 0, index, -1, -1)
            free.change(None, model[index])
        elif step == "free" and index in model:
            free.change(model.pop(index), None)
        elif step == "owner" and index in model:
            old, model[index] = model[index], Lease(1, 0, index, vm, 1)
            free.change(old, model[index])
        assert free.taken(1, 0) == model
        owners = {lease.vm for lease in model.values() if lease.vm >= 0}
        assert set(free._by_vm) == owners
        assert all(free.of_vm(o) == [x.key() for x in model.values() if x.vm == o] for o in owners)
    given_now = 0
    while (found := free.next(span(SIZE))) is not None:
        assert found not in model
        model[found] = Lease(1, 0, found, 99, given_now)
        free.change(None, model[found])
        given_now += 1
    assert sorted(model) == list(range(SIZE)), "every address can be reached"


def test_addresses_are_used_in_turn_before_one_comes_back() -> None:
    free, found = Free(), []
    for _ in range(SIZE):
        index = free.next(span(SIZE))
        assert index is not None
        found.append(index)
        free.change(None, Lease(1, 0, index, 7, 0))
        if index == 2:
            free.change(Lease(1, 0, 0, 7, 0), None)
    assert found == list(range(SIZE)) and free.next(span(SIZE)) == 0 and free.next_index(1, 0) == SIZE


def test_giving_back_again_and_again_keeps_no_memory() -> None:
    free, lease = Free(), Lease(1, 0, 4, 7, 0)
    for _ in range(100):
        free.change(None, lease)
        free.change(lease, None)
    assert sum(map(len, free._freed.values())) == 0 and free._by_vm == {}


def test_what_a_shorter_range_hid_comes_back_with_a_longer_one() -> None:
    free = Free()
    leases = [Lease(1, 0, index, 7, 0) for index in range(SIZE)]
    for lease in leases:
        assert free.next(span(SIZE)) == lease.idx
        free.change(None, lease)
    assert free.next(span(SIZE)) is None
    for lease in leases[3:]:
        free.change(lease, None)
    assert free.next(span(SIZE)) == 3
    assert free.next(span(3)) is None
    assert free.next(span(SIZE)) == 3


def _part(first: int, size: int) -> Range:
    """Addresses FIRST on of range 0 of network 1, as a range of another network."""
    return Range(2, first, "ETHER", size, first, "", "", "", "", "", b"", 1, 0, first)


@given(st.lists(st.tuples(st.sampled_from(("lease", "unlease", "reserve", "free")), st.integers(0, 11),
                          st.integers(1, 5)), max_size=40))
def test_what_is_reserved_is_given_to_nobody_until_it_is_freed(what: list[tuple[str, int, int]]) -> None:
    """Against a list of who has each address; a gap is found whenever there is one, and only there."""
    free, owners, parts, where = Free(), dict[int, str](), dict[int, Range](), span(12)
    for step, index, size in what:
        if step == "lease" and (found := free.next(where)) is not None:
            assert found not in owners
            free.change(None, Lease(1, 0, found, 7, 0))
            owners[found] = "lease"
        elif step == "unlease" and owners.get(index) == "lease":
            free.change(free.taken(1, 0)[index], None)
            del owners[index]
        elif step == "reserve":
            for first in (index, -1):
                fits = [n for n in range(12 - size + 1) if not owners.keys() & set(range(n, n + size))]
                fits = [n for n in fits if first in (-1, n)]
                assert free.gap(where, size, first) == (fits[0] if fits else None)
            if fits:
                parts[fits[0]] = _part(fits[0], size)
                free.reserved.change(None, parts[fits[0]])
                owners |= dict.fromkeys(range(fits[0], fits[0] + size), "part")
        elif step == "free" and index in parts:
            free.reserved.change(parts[index], None)
            for gone in range(index, index + parts.pop(index).size):
                del owners[gone]
        assert free.reserved.count(1, 0) == list(owners.values()).count("part")
        assert free.last(where) == max(owners, default=-1)
        assert (free.next(where) is None) == (len(owners) == 12)
        assert {n for n in range(12) if free.reserved.at(1, 0, n)} == {n for n, who in owners.items() if who == "part"}
