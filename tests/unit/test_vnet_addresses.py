"""Addresses of networks: as text and number, by range; the next free one, never the same twice, freed ones again."""
from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from onecore.kinds.vnet.record import Lease, Range, addresses, index_of, mac_number, mac_text
from onecore.kinds.vnet.taken import Free

PLAIN = Range(1, 0, "IP4", 10, mac_number("02:00:0a:00:00:01"), "10.0.0.1", "", "", "", "", b"")


@given(st.integers(0, 2**48 - 1))
def test_macs_as_text(number: int) -> None:
    """There and back."""
    assert mac_number(mac_text(number)) == number and len(mac_text(number)) == 17


@pytest.mark.parametrize("text", ["", "02:00", "02:00:0a:00:00:01:02", "02:00:0a:00:00:xx", "02-00-0a-00-00-01",
                                  "002:00:0a:00:00:01"])
def test_what_is_no_mac(text: str) -> None:
    """ValueError."""
    with pytest.raises(ValueError):
        mac_number(text)


def test_what_an_address_is_by_type_of_range() -> None:
    """IPv4 and MAC count together; IPv6 ones come from the MAC or count themselves."""
    assert addresses(PLAIN, 3) == {"MAC": "02:00:0a:00:00:04", "IP": "10.0.0.4"}
    assert addresses(replace(PLAIN, type="ETHER", ip=""), 0) == {"MAC": "02:00:0a:00:00:01"}
    both = replace(PLAIN, type="IP4_6", global_prefix="2001:db8::", ula_prefix="fd00::/64")
    assert addresses(both, 1) == {
        "MAC": "02:00:0a:00:00:02", "IP": "10.0.0.2", "IP6_LINK": "fe80::aff:fe00:2",
        "IP6_GLOBAL": "2001:db8::aff:fe00:2", "IP6_ULA": "fd00::aff:fe00:2"}
    fixed = replace(PLAIN, type="IP6_STATIC", ip="", ip6="2001:db8::ffff", prefix_length="64")
    assert addresses(fixed, 1)["IP6"] == "2001:db8::1:0"


@given(st.integers(0, 2**20), st.integers(0, 2**20 - 1))
def test_an_address_knows_its_index(first: int, index: int) -> None:
    """The way back, for MAC, IPv4 and IPv6; what is outside has none."""
    found = Range(1, 0, "IP4_6_STATIC", 2**20, first, str(ipaddress.IPv4Address(first + 1)),
                  str(ipaddress.IPv6Address(first + 1)), "", "", "64", b"")
    told = addresses(found, index)
    for key in ("MAC", "IP", "IP6"):
        assert index_of(found, key, told[key]) == index
        assert index_of(replace(found, size=index), key, told[key]) is None


def test_addresses_beside_the_range() -> None:
    """Before it, behind it, of a kind that it has not."""
    assert index_of(PLAIN, "IP", "10.0.0.0") is None and index_of(PLAIN, "IP", "10.0.0.11") is None
    assert index_of(PLAIN, "IP6", "::1") is None
    with pytest.raises(ValueError, match="10.0.0"):
        index_of(PLAIN, "IP", "10.0.0.300")


def _lease(index: int, vm: int = 1) -> Lease:
    return Lease(1, 0, index, vm, 0)


def test_onwards_then_what_was_freed() -> None:
    """A freed address rests until the end of the range was reached; then the lowest is given."""
    free = Free()
    for expected in range(8):
        assert free.next(PLAIN) == expected
        free.change(None, _lease(expected))
    for index in (5, 2):
        free.change(_lease(index), None)
    assert [_take(free, PLAIN) for _ in range(5)] == [8, 9, 2, 5, None]


def _take(free: Free, where: Range) -> int | None:
    index = free.next(where)
    if index is not None:
        free.change(None, _lease(index))
    return index


def test_a_range_that_grows_and_shrinks() -> None:
    """What lies beyond its end is not given."""
    free = Free()
    while _take(free, PLAIN) is not None:
        pass
    assert free.next(replace(PLAIN, size=12)) == 10
    free.change(_lease(9), None)
    assert free.next(replace(PLAIN, size=5)) is None


class Leases(RuleBasedStateMachine):
    """Leases given, asked for by index, given back and handed over, against a plain dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.taken = Free(), dict[int, Lease]()
        self.range = replace(PLAIN, size=6)

    @rule(vm=st.integers(0, 3))
    def give_next(self, vm: int) -> None:
        """Free and inside, as long as there is one."""
        index = self.free.next(self.range)
        if index is None:
            assert len(self.taken) >= self.range.size
        else:
            assert index not in self.taken and 0 <= index < self.range.size
            self._put(_lease(index, vm))

    @rule(index=st.integers(0, 5), vm=st.integers(-1, 3))
    def give_wanted(self, index: int, vm: int) -> None:
        """By name, or held; another owner may take a lease over."""
        self._put(_lease(index, vm))

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """Any of them."""
        lease = self.taken.pop(data.draw(st.sampled_from(sorted(self.taken))))
        self.free.change(lease, None)

    def _put(self, lease: Lease) -> None:
        old = self.taken.get(lease.idx)
        self.taken[lease.idx] = lease
        self.free.change(old, lease)

    @invariant()
    def both_agree(self) -> None:
        """On what is taken, and by whom."""
        assert self.free.taken(1, 0) == self.taken
        for vm in range(4):
            assert self.free.of_vm(vm) == sorted(x.key() for x in self.taken.values() if x.vm == vm)


TestLeases = Leases.TestCase
