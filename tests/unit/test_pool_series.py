"""Monitoring series: kept for a while, purged a little at a time, not worth a stop."""
from __future__ import annotations

from pathlib import Path

from onecore.pool.series import HOST_FIELDS, VM_FIELDS, Series


def _values(first: float, fields: tuple[str, ...] = VM_FIELDS) -> list[float]:
    return [first + i for i in range(len(fields))]


def test_samples_by_id_and_time(tmp_path: Path) -> None:
    """Oldest first, from a moment on; the same moment again replaces."""
    series = Series(tmp_path / "monitor.db")
    series.add("vm", [(1, 20, _values(2)), (1, 10, _values(1)), (2, 10, _values(7)), (1, 20, _values(3))])
    found = series.read("vm", [1, 3], 0)
    assert [time for time, _ in found[1]] == [10, 20] and found[3] == []
    assert found[1][1][1] == dict(zip(VM_FIELDS, _values(3), strict=True))
    assert [time for time, _ in series.read("vm", [1], 11)[1]] == [20]
    assert series.read("host", [1], 0) == {1: []}
    series.close()


def test_purged_in_small_batches(tmp_path: Path) -> None:
    """At most so many a round, until nothing old is left; newer samples stay."""
    series = Series(tmp_path / "monitor.db")
    series.add("vm", [(vm, time, _values(0)) for vm in range(5) for time in range(10)])
    series.add("host", [(0, time, _values(0, HOST_FIELDS)) for time in range(10)])
    rounds = []
    while gone := series.purge(7, limit=10):
        rounds.append(gone)
    assert rounds == [17, 10, 10, 5]
    assert [t for t, _ in series.read("vm", [4], 0)[4]] == [7, 8, 9] and len(series.read("host", [0], 0)[0]) == 3
    series.close()


def test_they_outlive_a_restart(tmp_path: Path) -> None:
    """Closed or not."""
    series = Series(tmp_path / "monitor.db")
    series.add("host", [(1, 10, _values(1, HOST_FIELDS))])
    again = Series(tmp_path / "monitor.db")
    assert len(again.read("host", [1], 0)[1]) == 1 and again.size() > 0
    series.close()
    again.close()


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    """A crash may have left anything."""
    path = tmp_path / "monitor.db"
    path.write_bytes(b"not a database" * 1000)
    series = Series(path)
    series.add("host", [(1, 10, _values(1, HOST_FIELDS))])
    assert len(series.read("host", [1], 0)[1]) == 1
    series.close()
