"""Which steps snapshots of a disk and moves of a VM take: pure, nothing runs."""
from __future__ import annotations

from typing import Any, cast

import pytest

from drivers.base import Executor, Permanent
from drivers.tm.epilog import kept, missing_disks
from drivers.tm.facts import Layer
from drivers.tm.place import incomplete, told
from drivers.tm.stack import create_steps, delete_steps, form_of, made_from, revert_steps, stands_on
from drivers.tm.trip import Trip, arrived_steps, copy_steps, pass_steps, unlike

DISK = {"DISK_ID": "1", "TYPE": "FILE", "IMAGE_ID": "4", "SOURCE": "/ds/1/b", "FORMAT": "raw", "SIZE": "1",
        "CLONE": "NO", "SAVE": "YES"}
MB = 1 << 20


def vm(base: int = -1, *ids: int) -> dict[str, Any]:
    made = [{"id": each, "parent": each - 1, "name": "", "size_mb": 1} for each in ids]
    return {"id": 7, "dir": "/ds/0/7", "tm_mad": "qcow2", "disks": [DISK],
            "snapshots": {"1": {"base": base, "list": made}}}


def on(backing: str, form: str = "qcow2", inner: int = 0) -> Layer:
    return Layer(MB, backing, form, inner)


def lines(steps: Any) -> list[str]:
    return [" ".join(step.argv) for step in steps]


STACK = {"disk.1": on("disk.1.snap/2"), "disk.1.snap/2": on("disk.1.snap/1"),
         "disk.1.snap/1": on("disk.1.snap/0", "raw"), "disk.1.snap/3": on("disk.1.snap/1")}
"""0 is raw, 1 was made from it, 2 and 3 from 1, the disk stands on 2."""


@pytest.mark.parametrize(("backing", "snapshot"), [
    ("disk.1.snap/12", 12), ("/ds/0/7/disk.1.snap/3", 3), ("disk.11.snap/3", -1), ("/ds/1/b", -1), ("", -1),
    ("disk.1.snap/x", -1)])
def test_what_a_file_stands_on(backing: str, snapshot: int) -> None:
    assert stands_on(DISK, backing) == snapshot


def test_who_stands_on_a_snapshot_tells_its_format() -> None:
    assert made_from(DISK, 1, STACK) == ["disk.1.snap/2", "disk.1.snap/3"]
    assert [form_of(DISK, number, STACK) for number in (0, 1, 2, 3)] == ["raw", "qcow2", "qcow2", "qcow2"]


def test_a_snapshot_is_the_disks_file_and_gets_its_names_in_an_order_that_may_break_off() -> None:
    made = lines(create_steps(vm(0, 0), DISK, 0, "raw"))
    named = next(place for place, line in enumerate(made) if "ln -P -T" in line)
    assert made[1] == "ln -sfn -- . /ds/0/7/disk.1.snap/disk.1.snap"
    assert made.index("sync -- /ds/0/7/disk.1") < named < len(made) - 2
    assert "qemu-img create -q -f qcow2 -b disk.1.snap/0 -F raw /ds/0/7/disk.1.tmp" in made[named:]
    assert made[-2:] == ["mv -T -- /ds/0/7/disk.1.tmp /ds/0/7/disk.1", "sync -- /ds/0/7"]


def test_going_back_may_give_a_size() -> None:
    assert lines(revert_steps(vm(), DISK, 3, "qcow2", 9))[1].endswith("-b disk.1.snap/3 -F qcow2 /ds/0/7/disk.1.tmp 9M")


def test_a_snapshot_that_nothing_stands_on_just_goes() -> None:
    gone = lines(delete_steps(vm(), DISK, 3, STACK, "", MB))
    assert len(gone) == 2 and gone[0] == "rm -f -- /ds/0/7/disk.1.snap/3 /ds/0/7/disk.1.snap/3.gone"


def test_the_disk_takes_what_it_alone_stands_on() -> None:
    steps = lines(delete_steps(vm(), DISK, 2, STACK, "", MB))
    assert steps[0] == "touch -- /ds/0/7/disk.1.snap/2.gone"
    assert steps.index("qemu-img commit -q -d -f qcow2 /ds/0/7/disk.1") < steps.index(
        "qemu-img compare -q -f qcow2 -F qcow2 /ds/0/7/disk.1 /ds/0/7/disk.1.snap/2") < steps.index(
        "mv -T -- /ds/0/7/disk.1.snap/2 /ds/0/7/disk.1")


def test_an_image_is_written_beside_itself() -> None:
    steps = lines(delete_steps(vm(), DISK, 0, {"disk.1": on("disk.1.snap/0", "raw")}, "/ds/1/b", MB))
    assert not any("commit" in line for line in steps) and "mv -T -- /ds/1/b.tmp /ds/1/b" in steps
    assert "mv -T -- /ds/0/7/disk.1.tmp /ds/0/7/disk.1" in steps


def test_what_others_stand_on_is_copied_into_them() -> None:
    stack = {**STACK, "disk.1.snap/1": on("/ds/1/b", "raw")}
    rebased = [line for line in lines(delete_steps(vm(), DISK, 1, stack, "", MB)) if "rebase" in line]
    assert rebased == [f"qemu-img rebase -q -f qcow2 -b /ds/1/b -F raw /ds/0/7/disk.1.snap/{each}" for each in (2, 3)]
    stack["disk.1.snap/1"] = on("", "")
    assert "-b  /ds/0/7/disk.1.snap/2" in " ".join(lines(delete_steps(vm(), DISK, 1, stack, "", MB)))


@pytest.mark.parametrize(("snapshot", "link", "inner", "said"), [
    (0, "", 0, "disk.1.snap/1 cannot do without it, as it is raw itself"),
    (1, "/ds/1/b", 0, "it is the image itself"), (2, "", 1, "disk 1 has system snapshots")])
def test_what_cannot_be_deleted(snapshot: int, link: str, inner: int, said: str) -> None:
    stack = {**STACK, "disk.1": on("disk.1.snap/2", inner=inner)}
    with pytest.raises(Permanent, match=said):
        delete_steps(vm(), DISK, snapshot, stack, link, MB)


FOUND = {"disk.1": "", "disk.9": "", "disk.1.snap": "", "disk.1.snap/0": "/ds/1/b", "disk.1.snap/5": "",
         "checkpoint": "", "disk.1.tmp": "", "snapshot.3": "", "one-7_VARS.fd": "", "notes": ""}


def test_what_moves_and_what_is_missing() -> None:
    assert kept(vm(0, 0), FOUND) == ["checkpoint", "disk.1", "disk.1.snap/0", "disk.9", "one-7_VARS.fd", "snapshot.3"]
    assert missing_disks(vm(1, 0, 1), FOUND) == ["disk.1.snap/1"]
    assert incomplete(vm(0, 0), FOUND) == "" and "not complete" in incomplete(vm(0, 0), {**FOUND, ".leaving": ""})
    assert told(vm(0, 0), {**FOUND, ".arriving": ""}) == {"dir": True, "disks": {"1": False}, "checkpoint": False}


def test_files_get_their_names_when_all_have_come_and_then_what_they_stand_on_is_looked_up() -> None:
    moved = {**vm(0, 0), "dir": "/ds/5/7"}
    here = cast(Executor, object())
    way, names = Trip(vm(0, 0), here, moved, here), ["disk.1", "disk.1.snap/0"]
    assert [deed.target for deed in pass_steps(way, names) if hasattr(deed, "target")] == [
        "/ds/5/7/disk.1.tmp", "/ds/5/7/disk.1.snap/0.tmp"]
    copied = lines(copy_steps(way, {"disk.1": MB, "disk.1.snap/0": 0}, FOUND))
    assert [line.split()[0] for line in copied] == ["cp", "sync", "cmp", "cp"]
    arrived = lines(arrived_steps(moved, names, FOUND))
    renamed = arrived.index("mv -T -- /ds/5/7/disk.1.snap/0.tmp /ds/5/7/disk.1.snap/0")
    found = arrived.index("qemu-img info -U -f qcow2 --backing-chain /ds/5/7/disk.1")
    assert renamed < found and not any(".arriving" in line for line in arrived)


def test_a_way_back_and_a_way_that_leads_nowhere() -> None:
    here, there = cast(Executor, object()), cast(Executor, object())
    way = Trip(vm(), here, vm(), there)
    assert not way.stays and Trip(vm(), here, vm(), here).stays
    assert (way.back().here, way.back().there) == (there, here)


def test_kinds_of_datastores() -> None:
    stores = [{"id": number, "tm_mad": kind} for number, kind in ((0, "ssh"), (5, "ssh"), (6, "qcow2"))]
    assert unlike({"datastore": stores[0], "to_datastore": stores[1]}) == ""
    assert "of one kind" in unlike({"datastore": stores[0], "to_datastore": stores[2]})
