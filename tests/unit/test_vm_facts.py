"""What hosts must show before `recover --success` is believed."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from onecore.kinds.vm.facts import claim, contradictions
from onecore.kinds.vm.states import CLEANING, FAILED, TRANSIENT, S
from onecore.wire.states import VmState

WHOLE = {"dir": True, "disks": {"0": True}, "checkpoint": True, "saved": True}


def vm(kind: str = "migrate") -> Any:
    return SimpleNamespace(generation=3, op_kind=kind, prev_state=VmState.ACTIVE)


def said(state: S, guest: dict[str, Any], files: dict[str, Any], kind: str = "migrate") -> list[str]:
    return contradictions(claim(state, vm(kind)), vm(kind), guest, WHOLE | files)


def test_every_state_in_which_success_means_something_is_looked_at() -> None:
    silent = {s.name for s in TRANSIENT | FAILED | CLEANING if claim(s, vm()) == claim(S.PENDING, vm())}
    assert silent == set()


@pytest.mark.parametrize("state", [S.BOOT, S.BOOT_FAILURE, S.BOOT_MIGRATE, S.MIGRATE, S.UNKNOWN])
def test_what_should_run_must_run_with_this_generation(state: S) -> None:
    assert said(state, {"state": "running", "generation": 3}, {}) == []
    assert said(state, {"state": "gone", "generation": -1}, {}) == ["its guest is gone, not running"]
    assert said(state, {"state": "running", "generation": 2}, {}) == ["its guest is of generation 2, not 3"]
    assert said(state, {"state": "suspended", "generation": 3}, {}) == ["its guest is suspended, not running"]


@pytest.mark.parametrize("state", [S.SHUTDOWN, S.SAVE_SUSPEND, S.EPILOG, S.PROLOG_MIGRATE, S.CLEANUP_DELETE])
def test_what_should_be_off_must_be_off(state: S) -> None:
    files = {"dir": state is not S.CLEANUP_DELETE}
    assert said(state, {"state": "running", "generation": 3}, files) == ["its guest is still running"]
    assert said(state, {"state": "gone", "generation": 0}, files) == []


def test_files() -> None:
    off = {"state": "gone", "generation": 0}
    assert said(S.PROLOG, off, {"disks": {"0": True, "1": False}}) == ["disk 1 is missing or not complete"]
    assert said(S.PROLOG, off, {"dir": False, "disks": {"0": False}}) == ["its directory is missing"]
    assert said(S.SAVE_STOP, off, {"checkpoint": False}) == ["it has no checkpoint"]
    assert said(S.SAVE_MIGRATE, off, {"checkpoint": False}) == ["it has no checkpoint"]
    assert said(S.SAVE_MIGRATE, off, {"checkpoint": False}, "migrate_poff") == []
    assert said(S.EPILOG, off, {"saved": False}) == ["its persistent disks are not saved in their images"]
    assert said(S.CLEANUP_RESUBMIT, off, {}) == ["its directory is still there"]
    assert said(S.EPILOG_STOP, off, {"disks": {"0": False}}) == ["disk 0 is missing or not complete"]


def test_files_on_their_way_are_looked_for_where_they_go() -> None:
    assert claim(S.PROLOG_MIGRATE, vm()).there and claim(S.PROLOG_MIGRATE_POWEROFF_FAILURE, vm()).there
    assert not claim(S.PROLOG_MIGRATE, vm("migrate_back")).there and claim(S.MIGRATE, vm("live_migrate")).there
