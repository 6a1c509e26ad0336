"""Drivers are found by family and name, and a broken one breaks alone."""
from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from drivers.base import Permanent
from drivers.registry import BUILT_IN, find, known, resolve


def promised() -> dict[str, set[str]]:
    """The actions of each family, as the first table of docs/drivers.md has them."""
    page = (Path(__file__).parents[2] / "docs" / "drivers.md").read_text()
    rows = dict(re.findall(r"^\| `(vm|tm|im)` \| (.*?) \|", page, re.M))
    found = {family: set(" ".join(re.findall(r"`([^`]*)`", row.split("for datastores")[0])).split())
             for family, row in rows.items()}
    found["ds"] = set(" ".join(re.findall(r"`([^`]*)`", rows["tm"].split("for datastores")[1])).split())
    inside = {"fence": {"fence"}, "hook": {"hook"}}
    return {**found, "im": found["im"] - {"fence", "hook"}, "net": {"pre", "post", "clean"}, **inside}


@pytest.mark.parametrize("family", ["vm", "tm", "ds", "im", "net", "fence"])
def test_every_family_has_a_dummy_with_the_actions_of_the_contract(family: str) -> None:
    assert promised()[family] == set(find(family, "dummy"))


@pytest.mark.parametrize("name", ["qcow2", "shared", "ssh"])
def test_real_storage_drivers_have_the_same_actions(name: str) -> None:
    assert set(find("tm", name)) == set(find("tm", "dummy"))


def test_processes_find_the_actions_of_the_families_inside_them() -> None:
    assert resolve("tm", "dummy", "register") is find("ds", "dummy")["register"]
    assert resolve("im", "dummy", "fence") is find("fence", "dummy")["fence"]
    assert resolve("im", "script", "hook") is find("hook", "script")["hook"]
    assert resolve("tm", "dummy", "prolog") is find("tm", "dummy")["prolog"]


def test_hooks_have_the_action_of_the_contract() -> None:
    assert promised()["hook"] == set(find("hook", "script"))


def test_an_unknown_driver_is_named_with_the_known_ones() -> None:
    with pytest.raises(Permanent, match="no vm driver 'xen'; known: dummy, kvm"):
        find("vm", "xen")


def test_an_unknown_action_is_named() -> None:
    with pytest.raises(Permanent, match="vm driver 'dummy' has no action 'fly'"):
        resolve("vm", "dummy", "fly")


def test_a_missing_library_breaks_its_own_driver_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILT_IN, "vm/broken", "drivers.dummy.broken")
    monkeypatch.setitem(sys.modules, "drivers.dummy.broken", None)
    with pytest.raises(Permanent, match="vm driver 'broken' cannot be loaded"):
        find("vm", "broken")
    assert "broken" in known("vm")
    assert find("vm", "dummy")
