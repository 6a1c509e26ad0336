"""Every fence driver: success says that no VM of the host runs, and whatever keeps it from being sure is an error."""
from __future__ import annotations

from rig import Bench


def _fence(bench: Bench, *numbers: int) -> tuple[bool, str]:
    result = bench.do("fence", host=bench.ground.host(), vms=[bench.ground.vm(number) for number in numbers])
    return result.ok, result.error


def _begin(bench: Bench, number: int) -> None:
    assert bench.ground.begin is not None
    bench.ground.begin(bench.ground.host(), bench.ground.vm(number))


def _runs(bench: Bench, number: int) -> bool:
    assert bench.ground.runs is not None
    return bench.ground.runs(bench.ground.host(), bench.ground.vm(number))


def test_success_is_that_nothing_runs(bench: Bench) -> None:
    """A driver without a power switch refuses instead, and says which VM it is."""
    _begin(bench, 1)
    assert _runs(bench, 1)
    ok, error = _fence(bench, 1, 2)
    assert ok is not _runs(bench, 1)
    assert ok or "VMs 1 " in error


def test_a_host_on_which_nothing_runs(bench: Bench) -> None:
    """Is fenced, and again."""
    assert [_fence(bench, 1, 2) for _ in range(2)] == [(True, "")] * 2


def test_nothing_runs_afterwards(bench: Bench) -> None:
    """It stays as it was told."""
    if _fence(bench, 1)[0]:
        assert not _runs(bench, 1) and not _runs(bench, 2)
