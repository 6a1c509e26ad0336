"""Drivers are found by family and name, and a broken one breaks alone."""
from __future__ import annotations

import sys

import pytest

from drivers.base import Permanent
from drivers.registry import BUILT_IN, find, known, resolve


@pytest.mark.parametrize("family", ["vm", "tm", "ds", "im", "net", "fence"])
def test_every_family_has_a_dummy_with_the_actions_of_the_contract(family: str) -> None:
    expected = {
        "vm": "deploy shutdown destroy reboot reset save restore state cleanup untap watch unwatch premigrate migrate "
              "attach_disk detach_disk attach_nic detach_nic update_nic resize resize_disk updateconf exec "
              "disk_snapshot_create disk_snapshot_delete copy_disk snapshot_create snapshot_revert snapshot_delete",
        "tm": "prolog epilog epilog_stop prolog_resume delete premigrate move move_back state attach detach resize "
              "snap_create snap_revert snap_delete saveas", "ds": "register mkfs clone remove stat monitor",
        "im": "watch unwatch probe survey check", "net": "pre post clean", "fence": "fence"}
    assert set(expected[family].split()) == set(find(family, "dummy"))


@pytest.mark.parametrize("name", ["qcow2", "shared", "ssh"])
def test_real_storage_drivers_have_the_same_actions(name: str) -> None:
    assert set(find("tm", name)) == set(find("tm", "dummy"))


def test_processes_find_the_actions_of_the_families_inside_them() -> None:
    assert resolve("tm", "dummy", "register") is find("ds", "dummy")["register"]
    assert resolve("im", "dummy", "fence") is find("fence", "dummy")["fence"]
    assert resolve("tm", "dummy", "prolog") is find("tm", "dummy")["prolog"]


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
