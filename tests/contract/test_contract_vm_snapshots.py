"""Every VM driver: snapshots of running guests and of their disks."""
from __future__ import annotations

from rig import Bench

from onecore.wire.messages import Doc


def snapshot(bench: Bench, pair: Doc, number: int) -> Doc:
    """A system snapshot, made."""
    named = {"id": number, "name": f"number {number}"}
    return {**named, **bench.ok("snapshot_create", **pair, snapshot=named)}


def has_snapshot(bench: Bench, pair: Doc, number: int) -> bool:
    """Whether `state` tells that the snapshot is there."""
    return bool(bench.ok("state", **pair, look={"snapshot": {"id": number, "name": ""}})["has"]["snapshot"])


def test_a_system_snapshot_is_made_once_reverted_to_and_deleted(bench: Bench, pair: Doc) -> None:
    assert not has_snapshot(bench, pair, 0)
    first = snapshot(bench, pair, 0)
    assert snapshot(bench, pair, 0) == first and first["hypervisor_id"] and has_snapshot(bench, pair, 0)
    for _ in range(2):
        bench.ok("snapshot_revert", **pair, snapshot=first)
        assert bench.ok("state", **pair) == {"state": "running", "generation": 1}
    for _ in range(2):
        bench.ok("snapshot_delete", **pair, snapshot=first)
        assert not has_snapshot(bench, pair, 0)
    assert first["hypervisor_id"] in bench.refused("snapshot_revert", **pair, snapshot=first)


def test_a_system_snapshot_outlives_a_restart_of_the_guest(bench: Bench, pair: Doc) -> None:
    first, second = snapshot(bench, pair, 0), snapshot(bench, pair, 1)
    bench.ok("shutdown", **pair)
    bench.ok("snapshot_delete", **pair, snapshot=second)
    assert [has_snapshot(bench, pair, each) for each in (0, 1)] == [True, False]
    pair["vm"]["generation"] = 2
    bench.ok("deploy", generation=2, **pair)
    assert second["hypervisor_id"] in bench.refused("snapshot_revert", generation=2, **pair, snapshot=second)
    bench.ok("snapshot_revert", generation=2, **pair, snapshot=first)
    assert bench.ok("state", generation=2, **pair) == {"state": "running", "generation": 2}


def test_disk_snapshots_are_made_and_deleted(bench: Bench, pair: Doc) -> None:
    for number in (0, 1):
        for _ in range(2):
            bench.ok("disk_snapshot_create", **with_snapshots(pair, range(number + 1)), disk_id=0, snap_id=number)
    for number in (0, 1):
        for _ in range(2):
            bench.ok("disk_snapshot_delete", **with_snapshots(pair, range(number + 1, 2)), disk_id=0, snap_id=number)
    assert bench.ok("state", **pair) == {"state": "running", "generation": 1}


def test_a_disk_snapshot_of_a_guest_that_has_ended_is_deleted(bench: Bench, pair: Doc) -> None:
    """One that was made, and one that was not: a host that crashed as it was made leaves either."""
    bench.ok("disk_snapshot_create", **with_snapshots(pair, range(1)), disk_id=0, snap_id=0)
    bench.ok("destroy", **pair)
    for number in (0, 0, 1):
        bench.ok("disk_snapshot_delete", **with_snapshots(pair, range(0)), disk_id=0, snap_id=number)
    pair["vm"]["generation"] = 2
    bench.ok("deploy", generation=2, **pair)
    assert bench.ok("state", generation=2, **pair) == {"state": "running", "generation": 2}


def with_snapshots(pair: Doc, numbers: range) -> Doc:
    """PAIR with snapshots NUMBERS of disk 0, each made from the one before, in the VM's document."""
    made = [{"id": each, "parent": each - 1 if each - 1 in numbers else -1, "name": "", "size_mb": 1}
            for each in numbers]
    return {**pair, "vm": {**pair["vm"], "snapshots": {"0": {"base": max(numbers, default=-1), "list": made}}}}


def test_a_disk_is_copied_while_the_guest_writes(bench: Bench, pair: Doc) -> None:
    for _ in range(2):
        bench.ok("copy_disk", **pair, disk_id=0)
    assert "9" in bench.refused("copy_disk", **pair, disk_id=9)
    for _ in range(2):
        bench.ok("drop_copy", **pair, disk_id=0)
    bench.ok("copy_disk", **pair, disk_id=0)
