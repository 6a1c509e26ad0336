"""Every transfer driver, one disk at a time: attached, detached, resized, kept as snapshots, saved as an image."""
from __future__ import annotations

from typing import Any

import pytest
from rig import Bench, Disks

from onecore.wire.messages import Doc

BOTH = pytest.mark.parametrize("disk", [0, 1])


@pytest.fixture
def move(bench: Bench, disks: Disks) -> Doc:
    """What a transfer is about; the VM's directory is there."""
    assert bench.ground.datastore
    vm = {**bench.ground.vm(1), "snapshots": {}}
    move = {"host": bench.ground.host(), "vm": vm,
            "datastore": {**bench.ground.datastore(), "id": 0, "base_path": vm["dir"].rpartition("/")[0]}}
    bench.ok("prolog", **move)
    return move


def told(move: Doc, disk: int, base: int, *parents: tuple[int, int]) -> Doc:
    """MOVE with snapshots (id, parent) of DISK, which stands on BASE, in the VM's document."""
    made = [{"id": each, "parent": parent, "name": "", "size_mb": 1} for each, parent in parents]
    return {**move, "vm": {**move["vm"], "snapshots": {str(disk): {"base": base, "list": made}}}}


def source(move: Doc, disk: int) -> str:
    return str(next(each["SOURCE"] for each in move["vm"]["disks"] if each["DISK_ID"] == str(disk)))


def number(disks: Disks, move: Doc, disk: int) -> int:
    return disks.read(move["host"], move["vm"], disk)


def snapped(bench: Bench, disks: Disks, move: Doc, disk: int) -> Doc:
    """Snapshot 0 holds 1, snapshot 1 that was made from it 2, the disk 3."""
    disks.write(move["host"], move["vm"], disk, 1)
    for snapshot, parents in ((0, [(0, -1)]), (1, [(0, -1), (1, 0)])):
        move = told(move, disk, snapshot, *parents)
        for _ in range(2):
            bench.ok("snap_create", **move, disk_id=disk, snap_id=snapshot)
        disks.write(move["host"], move["vm"], disk, snapshot + 2)
    return move


@BOTH
def test_a_disk_goes_back_to_its_snapshots(bench: Bench, disks: Disks, move: Doc, disk: int) -> None:
    move = snapped(bench, disks, move, disk)
    assert number(disks, move, disk) == 3
    for snapshot in (0, 1):
        back = told(move, disk, snapshot, (0, -1), (1, 0))
        for _ in range(2):
            bench.ok("snap_revert", **back, disk_id=disk, snap_id=snapshot)
        assert number(disks, back, disk) == snapshot + 1
    assert "7" in bench.refused("snap_revert", **move, disk_id=disk, snap_id=7)


@BOTH
def test_what_a_disk_has_is_told(bench: Bench, disks: Disks, move: Doc, disk: int) -> None:
    def look(move: Doc, **what: int) -> Doc:
        return dict(bench.ok("state", **move, look={"disk_id": disk, **what})["has"])
    size = look(move)["disk_mb"]
    assert look(move, snap_id=0)["snapshot"] is False
    move = snapped(bench, disks, move, disk)
    assert [look(move, snap_id=each)["snapshot"] for each in (0, 1, 2)] == [True, True, False]
    assert look(move, base=0)["base"] is False
    back = told(move, disk, 0, (0, -1), (1, 0))
    bench.ok("snap_revert", **back, disk_id=disk, snap_id=0)
    assert [look(move, base=each)["base"] for each in (0, 1)] == [True, False]
    bench.ok("snap_delete", **told(move, disk, 0, (0, -1)), disk_id=disk, snap_id=1)
    assert [look(move, snap_id=each)["snapshot"] for each in (0, 1)] == [True, False]
    bench.ok("resize", **move, disk_id=disk, size_mb=size + 2)
    assert look(move)["disk_mb"] == size + 2


@BOTH
def test_deleted_snapshots_leave_the_disk_as_it_is(bench: Bench, disks: Disks, move: Doc, disk: int) -> None:
    before = disks.image(source(move, 1))
    move = snapped(bench, disks, move, disk)
    for snapshot, parents in ((1, [(0, -1)]), (0, [])):
        move = told(move, disk, snapshot - 1, *parents)
        for _ in range(2):
            bench.ok("snap_delete", **move, disk_id=disk, snap_id=snapshot)
        assert number(disks, move, disk) == 3
    bench.ok("epilog", **move)
    assert disks.image(source(move, 1)) == (3 if disk == 1 else before)


def test_an_image_gets_what_its_disk_holds_not_its_snapshots(bench: Bench, disks: Disks, move: Doc) -> None:
    move = snapped(bench, disks, move, 1)
    for _ in range(2):
        bench.ok("epilog", **move)
    assert disks.image(source(move, 1)) == 3


def test_snapshots_go_and_come_with_a_stopped_vm(bench: Bench, disks: Disks, move: Doc) -> None:
    move = snapped(bench, disks, move, 0)
    for action in ("epilog_stop", "prolog_resume"):
        bench.ok(action, **move)
    assert number(disks, move, 0) == 3
    move = told(move, 0, 0, (0, -1), (1, 0))
    bench.ok("snap_revert", **move, disk_id=0, snap_id=0)
    assert number(disks, move, 0) == 1


@BOTH
@pytest.mark.parametrize("snapshots", [False, True])
def test_a_disk_is_detached_and_attached(bench: Bench, disks: Disks, move: Doc, disk: int, snapshots: bool) -> None:
    before = disks.image(source(move, disk))
    if snapshots:
        move = snapped(bench, disks, move, disk)
    else:
        disks.write(move["host"], move["vm"], disk, 3)
    for _ in range(2):
        bench.ok("detach", **move, disk_id=disk, save=disk == 1)
    assert disks.image(source(move, disk)) == (3 if disk == 1 else before)
    assert bench.ok("state", **move)["disks"][str(disk)] is False
    move = {**move, "vm": {**move["vm"], "snapshots": {}}}
    for _ in range(2):
        bench.ok("attach", **move, disk_id=disk)
    assert number(disks, move, disk) == (3 if disk == 1 else before)
    bench.ok("epilog", **move)


@BOTH
def test_a_disk_grows(bench: Bench, disks: Disks, move: Doc, disk: int) -> None:
    for _ in range(2):
        bench.ok("resize", **move, disk_id=disk, size_mb=3)
        assert disks.size_mb(move["host"], move["vm"], disk) == 3
    assert "only grow" in bench.refused("resize", **move, disk_id=disk, size_mb=2)


@pytest.mark.parametrize(("snapshot", "wanted"), [(-1, 3), (0, 1), (1, 2)])
def test_a_disk_or_a_snapshot_becomes_an_image(bench: Bench, disks: Disks, move: Doc, snapshot: int,
                                              wanted: int) -> None:
    move = snapped(bench, disks, move, 0)
    made = saved(bench, move, snap_id=snapshot, live=False)
    assert disks.image(made["source"]) == wanted and made["size_mb"] == 1 and number(disks, move, 0) == 3


def test_the_copy_of_a_running_guests_disk_becomes_an_image(bench: Bench, disks: Disks, move: Doc) -> None:
    disks.copied(move["host"], move["vm"], 0, 7)
    assert disks.image(saved(bench, move, snap_id=-1, live=True)["source"]) == 7


def test_the_disk_of_a_vm_on_no_host_becomes_an_image(bench: Bench, disks: Disks, move: Doc) -> None:
    disks.write(move["host"], move["vm"], 1, 5)
    bench.ok("epilog_stop", **move)
    away = {**move, "vm": {**move["vm"], "away": True}}
    assert disks.image(saved(bench, away, disk=1, snap_id=-1, live=False)["source"]) == 5


def saved(bench: Bench, move: Doc, disk: int = 0, **more: Any) -> Doc:
    """What `saveas` made, twice the same."""
    assert bench.ground.datastore and bench.ground.image
    image = {**bench.ground.image(8), "path": "", "format": ""}
    args = {**move, **more, "disk_id": disk, "image": image, "image_datastore": bench.ground.datastore()}
    first = bench.ok("saveas", **args, op=100)
    assert bench.ok("saveas", **args, op=100) == first
    return first


def test_what_is_there_is_told(bench: Bench, move: Doc) -> None:
    numbers = {disk["DISK_ID"]: True for disk in move["vm"]["disks"]}
    told = bench.ok("state", **move)
    assert told["dir"] and told["disks"] == numbers and not told["checkpoint"]
    bench.ok("epilog", **move)
    assert bench.ok("state", **move) == {"dir": False, "disks": dict.fromkeys(numbers, False), "checkpoint": False,
                                         "saved": True}
