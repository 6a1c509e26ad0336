"""A VM's files move to another host, to another datastore, or both, and back; a kill anywhere loses nothing."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sim_points import LONG
from storage_bed import Bed, copy_tree, first_byte
from storage_ground import Killed, needs_qemu_img

from drivers.base import Permanent, Temporary
from drivers.tm.carry import settle_steps
from drivers.tm.layout import active_format
from onecore.wire.messages import Progress

pytestmark = needs_qemu_img
WAYS = [("node2", 0), ("node1", 5), ("node2", 5)]
"""To which host and datastore from node1 and 0."""
EVERY = pytest.mark.parametrize(("to", "store"), WAYS)
ONCE = [("move", "qcow2", "node2", 5), ("move_back", "ssh", "node2", 5)]
"""Copied on a host, handed from host to host."""
ALL = [(action, *way) for action in ("move", "move_back")
       for way in (("qcow2", "node2", 5), ("ssh", "node2", 5), ("ssh", "node1", 5))]


@pytest.fixture(params=["qcow2", "shared", "ssh"] if LONG else ["qcow2", "ssh"])
def bed(tmp_path: Path, request: pytest.FixtureRequest) -> Bed:
    """Disk 0 held 1 in snapshot 0 and 2 now, disk 1 is persistent and holds 3; a checkpoint; nonsense."""
    made = Bed(tmp_path / "bed", request.param)
    fill(made)
    return made


def fill(bed: Bed) -> None:
    bed.do("prolog")
    bed.write(0, 1)
    bed.snap(0, 0, 0, (0, -1))
    bed.write(0, 2)
    bed.write(1, 3)
    for name in ("checkpoint", "snapshot.4", "one-7_VARS.fd", "disk.9", "disk.0.tmp", "notes"):
        (bed.dir / name).write_text(name)


def args_of(bed: Bed, to: str, store: int) -> dict[str, Any]:
    """What an action about a move is told."""
    home = bed.ground.home / "datastores" / str(store)
    return {"to": {"id": int(to[-1]), "name": to}, "to_dir": str(home / "7"), "live": False,
            "datastore": {"id": 0, "tm_mad": bed.kind, "base_path": str(bed.ground.home / "datastores/0")},
            "to_datastore": {"id": store, "tm_mad": bed.kind, "base_path": str(home)}}


def go(bed: Bed, to: str, store: int, action: str = "move", op: int = 0) -> Any:
    return bed.do(action, op, **args_of(bed, to, store))


def place(bed: Bed, host: str, store: int) -> Path:
    return bed.ground.on(host, bed.ground.home / "datastores" / str(store) / "7")


def moved(bed: Bed, to: str, store: int) -> Bed:
    """The bed as the core knows it after the move."""
    bed.ground.host = to
    bed.vm["dir"] = str(bed.ground.home / "datastores" / str(store) / "7")
    return bed


def names(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*"))


FILES = ["checkpoint", "disk.0", "disk.0.snap", "disk.0.snap/0", "disk.0.snap/disk.0.snap", "disk.1", "disk.2",
         "disk.9", "one-7_VARS.fd", "snapshot.4"]


@EVERY
def test_all_that_counts_moves_and_moves_back(bed: Bed, to: str, store: int) -> None:
    target, source = place(bed, to, store), place(bed, "node1", 0)
    for _ in range(2):
        go(bed, to, store)
    if source != target:
        assert not source.exists() and names(target) == FILES
    holds(bed, to, store)
    for _ in range(2):
        bed.ground.host, bed.vm["dir"] = "node1", str(bed.ground.home / "datastores/0/7")
        go(bed, to, store, "move_back")
    assert source == target or not target.exists()
    holds(bed, "node1", 0)
    bed.do("snap_revert", disk_id=0, snap_id=0)
    assert bed.reads(0) == 1
    bed.do("epilog")
    assert bed.image_byte() == 3


def holds(bed: Bed, host: str, store: int) -> None:
    """What the guest would read there."""
    moved(bed, host, store)
    assert (bed.reads(0), bed.reads(1)) == (2, 3) and (bed.dir / "checkpoint").read_text() == "checkpoint"
    assert os.readlink(bed.dir / "disk.0.snap/disk.0.snap") == "."
    assert bed.path(1).is_symlink() == (bed.kind != "ssh")


@EVERY
def test_nothing_speaks_against_it(bed: Bed, to: str, store: int) -> None:
    bed.ground.root("node2")
    before = names(bed.ground.home.parent)
    assert go(bed, to, store, "premigrate") == {"problems": []}
    assert names(bed.ground.home.parent) == before


def test_bytes_are_told(bed: Bed) -> None:
    go(bed, "node2", 5)
    told = [each for each in bed.ground.messages if isinstance(each, Progress) and each.step.startswith("checkpoint")]
    assert told or bed.kind != "ssh"


def test_datastores_of_other_kinds_are_refused(bed: Bed) -> None:
    args = args_of(bed, "node2", 5)
    args["to_datastore"]["tm_mad"] = "other"
    wanted = f"datastore 0 keeps the files of VMs in the way of TM_MAD {bed.kind}, datastore 5 in that of other"
    assert [problem.startswith(wanted) for problem in bed.do("premigrate", **args)["problems"]] == [True]
    for action in ("move", "move_back"):
        with pytest.raises(Permanent, match=wanted):
            bed.do(action, **args)


@pytest.mark.parametrize("lost", ["disk.1", "disk.0.snap/0"])
def test_what_is_missing_is_said_and_keeps_the_rest_where_it_is(bed: Bed, lost: str) -> None:
    (bed.dir / lost).unlink()
    problems = go(bed, "node2", 5, "premigrate")["problems"]
    assert len(problems) == 1 and f"{lost} missing" in problems[0]
    for action in ("move", "move_back"):
        with pytest.raises(Permanent, match=f"{lost} missing"):
            go(bed, "node2", 5, action)
    assert "disk.2" in names(bed.dir)


def test_no_room_is_said_before_anything_is_copied(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    (bed.ground.outside / "df").write_text("#!/bin/sh\necho Avail; echo 1000")
    (bed.ground.outside / "df").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bed.ground.outside}:{os.environ['PATH']}")
    said = go(bed, "node2", 5, "premigrate")["problems"]
    assert len(said) == 1 and "not enough space" in said[0] and "0 MB are free" in said[0]
    with pytest.raises(Temporary, match="not enough space in /.*/5/7: VM 7 needs"):
        go(bed, "node2", 5)
    monkeypatch.undo()
    holds(bed, "node1", 0)
    go(bed, "node2", 5, "move_back")
    assert not place(bed, "node2", 5).exists()


def test_a_host_that_does_not_answer_is_a_problem(bed: Bed) -> None:
    bed.ground.lost.add("node2")
    assert "no answer" in go(bed, "node2", 5, "premigrate")["problems"][0]
    with pytest.raises(Temporary, match="node2: no answer"):
        go(bed, "node2", 5)
    holds(bed, "node1", 0)


def test_a_host_that_does_not_see_the_shared_files_is_a_problem(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "bed", "qcow2")
    fill(bed)
    bed.ground.apart.add("node2")
    for store in (0, 5):
        assert "the host does not see" in go(bed, "node2", store, "premigrate")["problems"][0]
        with pytest.raises(Permanent, match="is missing"):
            go(bed, "node2", store)
    holds(bed, "node1", 0)


def test_what_lies_there_of_earlier_is_not_believed(bed: Bed) -> None:
    old = place(bed, "node2", 5)
    (old / "disk.1.snap").mkdir(parents=True)
    for name in ("disk.0", "disk.1", "disk.2", "disk.7"):
        (old / name).write_text("old")
    go(bed, "node2", 5)
    assert names(old) == FILES
    holds(bed, "node2", 5)


def test_an_older_operation_is_refused_on_both_hosts(bed: Bed) -> None:
    go(bed, "node2", 5, op=50)
    for action in ("move", "move_back"):
        with pytest.raises(Permanent, match="superseded by operation 50"):
            go(bed, "node2", 5, action, op=40)
    moved(bed, "node2", 5)
    with pytest.raises(Permanent, match="superseded by operation 50"):
        bed.do("delete", 40)


def test_the_front_end_may_be_one_of_the_hosts(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "bed", "ssh")
    bed.ground.host = "localhost"
    fill(bed)
    go(bed, "node2", 0)
    assert not Path(bed.vm["dir"]).exists()
    holds(bed, "node2", 0)
    args = {**args_of(bed, "node2", 0), "to": {"id": 3, "name": "localhost"}}
    bed.do("move", **args)
    assert not place(bed, "node2", 0).exists()
    holds(bed, "localhost", 0)


@pytest.mark.parametrize(("action", "kind", "to", "store"), ALL if LONG else ONCE)
def test_a_kill_anywhere_loses_nothing_and_a_second_run_ends_like_one(tmp_path: Path, kind: str, to: str, store: int,
                                                                     action: str) -> None:
    bed = small(tmp_path / "bed", kind)
    if action == "move_back":
        go(bed, to, store)
    copy_tree(tmp_path / "bed", tmp_path / "before")
    wanted, steps = killed(bed, to, store, action, action, 0)
    assert steps > 1 and killed(bed, to, store, action, action, 0)[0] == wanted
    for at in range(1, steps + 1):
        copy_tree(tmp_path / "before", tmp_path / "bed")
        assert killed(bed, to, store, action, action, at)[0] == wanted, f"killed at {at} of {steps}"


@pytest.mark.parametrize("kind", ["qcow2", "ssh"] if LONG else ["ssh"])
def test_a_move_that_was_killed_is_taken_back(tmp_path: Path, kind: str) -> None:
    bed = small(tmp_path / "bed", kind)
    copy_tree(tmp_path / "bed", tmp_path / "before")
    wanted, _ = killed(bed, "node2", 5, "move_back", "move_back", 0)
    steps = killed(bed, "node2", 5, "move", "move", 0)[1]
    assert steps > 1
    for at in range(1, steps + 1):
        copy_tree(tmp_path / "before", tmp_path / "bed")
        assert killed(bed, "node2", 5, "move", "move_back", at)[0] == wanted, f"killed at {at} of {steps}"


def small(directory: Path, kind: str) -> Bed:
    """A disk with a snapshot, and a checkpoint."""
    bed = Bed(directory, kind)
    bed.vm["disks"] = bed.vm["disks"][:1]
    bed.do("prolog")
    bed.write(0, 1)
    bed.snap(0, 0, 0, (0, -1))
    bed.write(0, 2)
    (bed.dir / "checkpoint").write_text("memory")
    return bed


def killed(bed: Bed, to: str, store: int, first: str, then: str, at: int) -> tuple[Any, int]:
    """What there is after FIRST was killed before the command number AT that changes anything, and THEN was done.

    Before each what the guest wrote is whole somewhere.
    """
    ground, op = bed.ground, 100
    ground.calls, ground.kill_at = 0, at
    if at:
        with pytest.raises(Killed):
            go(bed, to, store, first, op)
        ground.kill_at = 0
        assert 2 in [held(bed, place(bed, *each)) for each in (("node1", 0), (to, store))]
    go(bed, to, store, then, op)
    calls = ground.calls
    places = {"here": place(bed, "node1", 0), "there": place(bed, to, store), "front": Path(bed.vm["dir"])}
    return {name: (names(path), held(bed, path)) for name, path in places.items()}, calls


def held(bed: Bed, path: Path) -> int:
    """What a guest would read in the directory PATH; -1 when it is not all there."""
    whole = all((path / name).exists() for name in ("disk.0", "disk.0.snap/0", "checkpoint"))
    believed = not any((path / mark).exists() for mark in (".arriving", ".leaving"))
    return first_byte(path / "disk.0", active_format(bed.vm, bed.vm["disks"][0])) if whole and believed else -1


def test_names_in_directories_of_snapshots_are_on_stable_storage_before_the_mark_goes(tmp_path: Path) -> None:
    """Of each such directory that is there, and then of the VM's own; once more when the mark is gone."""
    path = tmp_path / "datastores/0/7"
    for name in ("disk.1.snap", "disk.3.snap", "notes"):
        (path / name).mkdir(parents=True)
    below, own, mark, after = (step.argv for step in settle_steps({"id": 7, "dir": str(path)}, here=False))
    told = subprocess.run(["echo" if word == "sync" else word for word in below], check=True, capture_output=True)
    assert sorted(told.stdout.decode().split()) == ["--", f"{path}/disk.1.snap", f"{path}/disk.3.snap"]
    assert mark[0] == "rm" and own == after == ("sync", "--", str(path))
