"""Ids as `1,3..7` or names, and the loop over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onecore.wire.client import ClientError

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]


@pytest.fixture(autouse=True)
def pool(cloud: Cloud) -> None:
    """Four VMs, two of them of one name."""
    cloud.vms(cloud.vm(3, "web"), cloud.vm(4, "twin"), cloud.vm(5, "twin"), cloud.vm(6, "b7"))
    cloud.answers["one.vm.action"] = 0


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("1", [1]),
        ("1,3..5", [1, 3, 4, 5]),
        ("7..7", [7]),
        ("web", [3]),
        ("web,b7,9", [3, 6, 9]),
        ("3,web,3..4", [3, 4]),
        (" 1 , 2 ", [1, 2]),
    ],
)
def test_what_they_name(one: Runner, cloud: Cloud, text: str, ids: list[int]) -> None:
    outcome = one("vm", "hold", text)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert cloud.made("one.vm.action") == [("hold", oid) for oid in ids]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nope", "VM named nope not found."),
        ("web,nope", "VM named nope not found."),
        ("wbe", "VM named wbe not found; did you mean web?"),
        ("twin", "There are multiple VMs with name twin: give the id of one, of 4, 5."),
        ("7..3", "7..3 is not a range of ids"),
        ("0..99999999", "0..99999999 is not a range of ids"),
        (",", "VM: no id or name given"),
    ],
)
def test_nothing_is_done_when_one_is_wrong(one: Runner, cloud: Cloud, text: str, told: str) -> None:
    outcome = one("vm", "hold", text)
    assert (outcome.code, outcome.out, outcome.err) == (255, "", told + "\n")
    assert cloud.made("one.vm.action") == []


def test_numbers_ask_for_no_pool(one: Runner, cloud: Cloud) -> None:
    one("vm", "hold", "1,2")
    assert cloud.made("one.vmpool.info") == []


def test_an_error_does_not_stop_the_others(one: Runner, cloud: Cloud) -> None:
    def action(name: str, oid: int) -> object:
        return ClientError(f"[one.vm.action] Error getting virtual machine [{oid}].", 0x400) if oid == 2 else oid

    cloud.answers["one.vm.action"] = action
    outcome = one("vm", "hold", "1..3", "-v")
    assert outcome.code == 255
    assert outcome.out == "VM 1: hold\nVM 3: hold\n"
    assert outcome.err == "[one.vm.action] Error getting virtual machine [2].\n"


def test_a_server_that_is_away_stops_all(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.vm.action"] = ClientError("cannot reach http://x: refused")
    outcome = one("vm", "hold", "1..3")
    assert outcome.code == 255
    assert len(cloud.made("one.vm.action")) == 1
