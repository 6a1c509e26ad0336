"""Names and numbers of test-beds: short enough for the kernel, and never shared by two of them."""
from __future__ import annotations

from itertools import chain

from bed_node import _domain
from bed_plan import NUMBERS, Plan

NODES = range(1, 100)


def test_network_cards_have_names_that_the_kernel_takes_and_no_bed_shares() -> None:
    names = [name for plan in map(Plan, NUMBERS) for name in chain(
        (bridge for bridge, _ in plan.bridges), (end for index in NODES for end, *_ in plan.cables(index)))]
    assert max(map(len, names)) <= 15
    assert len(names) == len(set(names))


def test_macs_are_private_to_the_machine_and_unique() -> None:
    macs = [mac for plan in map(Plan, NUMBERS) for index in NODES for *_, mac in plan.cables(index)]
    assert len(macs) == len(set(macs))
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs), "administered locally, for one station"


def test_no_network_is_of_two_beds() -> None:
    networks = [network for plan in map(Plan, NUMBERS) for network in (plan.management, plan.guests)]
    assert len(networks) == len(set(networks))
    assert all(0 < int(network.split(".")[1]) < 256 for network in networks)


def test_a_guest_is_told_by_its_arguments() -> None:
    assert _domain(["qemu-system-x86_64", "-name", "guest=one-5,debug-threads=on", "-S"]) == "one-5"
    assert _domain(["qemu-system-x86_64", "-name", "plain"]) == "plain"
