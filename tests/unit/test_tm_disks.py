"""One disk at a time, under every storage driver: attached, detached, resized, kept as snapshots, saved as an image.

A guest's writes are patterns of one byte; a kill before any command, and the same command again, end like one run.
"""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sim_points import LONG
from storage_bed import MB, Bed, copy_tree, first_byte, io
from storage_ground import FakeRemote, Killed, needs_qemu_img, qemu_img

from drivers.base import Cancelled, Permanent, Tell, Temporary
from drivers.token import Token

pytestmark = needs_qemu_img
KINDS = ("qcow2", "shared", "ssh") if LONG else ("qcow2", "ssh")
"""shared does as qcow2 does, with disks that are in the format of ssh's."""
FORMS = [(kind, number, form) for kind in KINDS for number, form in ((0, "raw"), (1, "raw"), (1, "qcow2"), (2, "qcow2"))
         if LONG or (kind, number, form) in (("qcow2", 0, "raw"), ("qcow2", 1, "qcow2"), ("ssh", 1, "raw"),
                                             ("ssh", 2, "qcow2"))]
"""The kind, a disk, the format of the persistent one's image: an overlay, a link, a file in either format."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bed(tmp_path: Path, kind: str) -> Bed:
    made = Bed(tmp_path, kind)
    made.do("prolog")
    return made


@pytest.mark.parametrize(("kind", "number", "form"), FORMS)
def test_snapshots_keep_what_was_written(tmp_path: Path, kind: str, number: int, form: str) -> None:
    bed = Bed(tmp_path, kind, form)
    bed.do("prolog")
    before = bed.form(number)
    bed.write(number, 1)
    bed.snap(number, 0, 0, (0, -1))
    bed.write(number, 2)
    bed.snap(number, 1, 1, (0, -1), (1, 0))
    bed.write(number, 3)
    assert bed.reads(number) == 3
    for snapshot in (0, 1):
        bed.snap(number, snapshot, snapshot, (0, -1), (1, 0), action="revert")
        assert bed.reads(number) == snapshot + 1
    bed.write(number, 4)
    bed.snap(number, 2, 2, (0, -1), (1, 0), (2, 1))
    bed.snap(number, 1, 2, (0, -1), (2, 0), action="delete")
    assert bed.reads(number) == 4 and not (bed.dir / f"disk.{number}.snap/1").exists()
    bed.snap(number, 0, 0, (0, -1), (2, 0), action="revert")
    assert bed.reads(number) == 1
    bed.snap(number, 2, 0, (0, -1), action="delete")
    bed.write(number, 5)
    bed.snap(number, 0, -1, action="delete")
    assert bed.form(number) == before and bed.reads(number) == 5
    assert not (bed.dir / f"disk.{number}.snap").exists()
    assert bed.path(number).is_symlink() == (number == 1 and kind != "ssh")


def test_a_snapshot_takes_no_room_of_its_own(bed: Bed) -> None:
    bed.write(0, 1)
    size = bed.path(0).stat().st_blocks
    bed.snap(0, 0, 0, (0, -1))
    assert (bed.dir / "disk.0.snap/0").stat().st_blocks == size and bed.path(0).stat().st_blocks * 512 < MB


def test_an_image_is_whole_while_and_after_its_disk_has_snapshots(bed: Bed) -> None:
    bed.write(1, 1)
    bed.snap(1, 0, 0, (0, -1))
    bed.write(1, 2)
    assert bed.image_byte() == (1 if bed.kind != "ssh" else 0)
    bed.do("epilog")
    assert bed.image_byte() == 2 and not bed.dir.exists() and bed.ground.left() == ["own", "raw"]
    bed.do("epilog")
    assert bed.image_byte() == 2


def test_a_lost_directory_with_snapshots_is_not_taken_for_one_that_was_saved(bed: Bed) -> None:
    bed.snap(1, 0, 0, (0, -1))
    assert bed.do("state")["saved"] is False
    bed.path(1).unlink()
    with pytest.raises(Permanent, match="missing|nor saved"):
        bed.do("epilog")
    assert bed.dir.exists()


def test_what_a_raw_snapshot_holds_is_not_read_as_another_format(bed: Bed) -> None:
    """A guest wrote the header of a qcow2 file that names a file of the host."""
    secret = bed.ground.outside / "secret"
    secret.write_bytes(b"secret".ljust(MB, b"."))
    evil = bed.ground.outside / "evil"
    qemu_img("create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", evil, "1M")
    number = 1
    with bed.path(number).open("r+b") as file:
        file.write(evil.read_bytes()[:MB])
    bed.snap(number, 0, 0, (0, -1))
    bed.snap(number, 1, 1, (0, -1), (1, 0))
    bed.snap(number, 0, 0, (0, -1), (1, 0), action="revert")
    bed.snap(number, 1, 0, (0, -1), action="delete")
    assert bed.reads(number) == ord("Q")
    bed.snap(number, 0, -1, action="delete")
    assert bed.reads(number) == ord("Q")


def test_a_snapshot_that_others_need_in_its_format_is_kept(bed: Bed) -> None:
    bed.snap(1, 0, 0, (0, -1))
    bed.snap(1, 1, 1, (0, -1), (1, 0))
    bed.told(1, 1, (1, -1))
    with pytest.raises(Permanent, match="snapshot 0 of disk 1: disk.1.snap/1 cannot do without it"):
        bed.do("snap_delete", disk_id=1, snap_id=0)
    assert bed.reads(1) == 0


@pytest.mark.parametrize("number", [0, 1])
def test_a_snapshot_whose_deletion_broke_off_is_not_believed(bed: Bed, number: int) -> None:
    bed.snap(number, 0, 0, (0, -1))
    bed.write(number, 2)
    bed.told(number, -1)
    bed.ground.calls, bed.ground.kill_at = 0, 3
    with pytest.raises(Killed):
        bed.do("snap_delete", disk_id=number, snap_id=0)
    bed.ground.kill_at = 0
    bed.told(number, 0, (0, -1))
    for action in (lambda: bed.do("snap_revert", disk_id=number, snap_id=0),
                   lambda: bed.saveas(disk_id=number, snap_id=0)):
        with pytest.raises(Permanent, match="deletion of its snapshot 0 began"):
            action()
    for each in ("epilog_stop", "prolog_resume"):
        bed.do(each)
    assert bed.reads(number) == 2 and (bed.dir / f"disk.{number}.snap/0.gone").exists()
    bed.snap(number, 0, -1, action="delete")
    assert bed.reads(number) == 2 and not (bed.dir / f"disk.{number}.snap").exists()


def test_what_stands_on_a_deleted_snapshot_has_its_content(bed: Bed) -> None:
    """Of a qcow2 disk, whatever stands on it."""
    bed.write(2, 1)
    bed.snap(2, 0, 0, (0, -1))
    bed.snap(2, 1, 1, (0, -1), (1, 0))
    bed.write(2, 2)
    bed.snap(2, 2, 2, (0, -1), (1, 0), (2, 1))
    bed.snap(2, 0, 2, (1, -1), (2, 1), action="delete")
    assert bed.reads(2) == 2
    bed.snap(2, 1, 1, (1, -1), (2, 1), action="revert")
    assert bed.reads(2) == 1


def test_system_snapshots_are_not_lost_by_the_way(bed: Bed) -> None:
    qemu_img("snapshot", "-c", "snap-0", bed.path(2))
    bed.told(2, 0, (0, -1))
    with pytest.raises(Permanent, match="disk 2 has system snapshots"):
        bed.do("snap_create", disk_id=2, snap_id=0)
    assert "snap-0" in qemu_img("snapshot", "-l", bed.path(2))


def test_a_snapshot_that_fails_leaves_the_disk_as_it_was(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.write(0, 1)
    before = sorted(bed.dir.rglob("*"))
    bed.told(0, 0, (0, -1))
    fake = bed.ground.outside / "qemu-img"
    fake.write_text('#!/bin/sh\n[ "$1" != create ] || { echo "No space left on device" >&2; exit 1; }\n'
                    f'PATH={os.environ["PATH"]} exec qemu-img "$@"')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bed.ground.outside}:{os.environ['PATH']}")
    with pytest.raises(Temporary, match="No space left"):
        bed.do("snap_create", disk_id=0, snap_id=0)
    monkeypatch.undo()
    bed.vm["snapshots"] = {}
    assert sorted(bed.dir.rglob("*")) == before and bed.reads(0) == 1 and bed.path(0).stat().st_nlink == 1


def test_a_second_name_of_a_disk_is_no_snapshot(bed: Bed) -> None:
    (bed.dir / "disk.0.snap").mkdir()
    os.link(bed.path(0), bed.dir / "disk.0.snap/0")
    bed.told(0, 0, (0, -1))
    with pytest.raises(Permanent, match="snapshot 0 is missing"):
        bed.do("snap_revert", disk_id=0, snap_id=0)
    bed.vm["snapshots"] = {}
    bed.do("snap_delete", disk_id=0, snap_id=0)
    assert not (bed.dir / "disk.0.snap").exists() and bed.reads(0) == 0


def test_snapshots_go_where_a_stopped_vm_goes(bed: Bed) -> None:
    bed.write(0, 1)
    bed.snap(0, 0, 0, (0, -1))
    bed.write(0, 2)
    for action in ("epilog_stop", "prolog_resume"):
        for _ in range(2):
            bed.do(action)
        bed.ground.host = "node2"
    assert bed.reads(0) == 2 and os.readlink(bed.dir / "disk.0.snap/disk.0.snap") == "."
    bed.snap(0, 0, 0, (0, -1), action="revert")
    assert bed.reads(0) == 1
    bed.do("delete")
    assert not bed.dir.exists()


def test_a_missing_snapshot_keeps_a_vm_from_stopping(bed: Bed) -> None:
    bed.snap(0, 0, 0, (0, -1))
    (bed.dir / "disk.0.snap/0").unlink()
    with pytest.raises(Permanent, match=r"disk\.0\.snap/0 missing"):
        bed.do("epilog_stop")


def test_a_disk_grows_and_never_shrinks(bed: Bed) -> None:
    for number in (0, 1, 2):
        for _ in range(2):
            bed.do("resize", disk_id=number, size_mb=3)
        assert "3 MiB" in qemu_img("info", "-f", bed.form(number), bed.path(number))
        with pytest.raises(Permanent, match=f"disk {number} has 3 MB, more than 2: disks only grow"):
            bed.do("resize", disk_id=number, size_mb=2)
    assert (bed.ground.images / "raw").stat().st_size == MB
    bed.do("epilog")
    assert (bed.ground.images / "own").stat().st_size == 3 * MB


def test_a_disk_that_is_reverted_keeps_its_size(bed: Bed) -> None:
    bed.snap(0, 0, 0, (0, -1))
    bed.do("resize", disk_id=0, size_mb=3)
    bed.vm["disks"][0]["SIZE"] = "3"
    bed.snap(0, 0, 0, (0, -1), action="revert")
    assert "3 MiB" in qemu_img("info", "-f", "qcow2", bed.path(0))
    bed.snap(0, 0, -1, action="delete")
    assert "3 MiB" in qemu_img("info", "-f", bed.form(0), bed.path(0))


def test_a_disk_is_attached_and_detached(bed: Bed) -> None:
    bed.image("more", "raw")
    disk = bed.disk(5, "more", CLONE="NO", SAVE="YES")
    bed.vm["disks"].append(disk)
    before = {path.name: path.lstat().st_ino for path in bed.dir.iterdir()}
    for _ in range(2):
        bed.do("attach", disk_id=5)
    bed.write(5, 7)
    assert {path.name: path.lstat().st_ino for path in bed.dir.iterdir() if path.name != "disk.5"} == before
    for _ in range(2):
        bed.do("detach", disk_id=5, save=True)
    assert bed.image_byte("more") == 7 and not bed.path(5).exists() and bed.ground.left() == ["more", "own", "raw"]


@pytest.mark.parametrize(("number", "saved"), [(0, 0), (1, 2)])
def test_a_disk_with_snapshots_is_detached(bed: Bed, number: int, saved: int) -> None:
    bed.write(number, 1)
    bed.snap(number, 0, 0, (0, -1))
    bed.write(number, 2)
    (bed.dir / f"disk.{number}.saveas").write_text("left")
    for _ in range(2):
        bed.do("detach", disk_id=number, save=bool(saved))
    assert bed.image_byte("own" if saved else "raw") == saved
    assert not [path for path in bed.dir.iterdir() if path.name.startswith(f"disk.{number}")]


def test_nothing_is_attached_to_a_vm_whose_directory_is_lost(bed: Bed) -> None:
    bed.do("delete")
    for action in ("attach", "detach", "resize", "snap_create"):
        with pytest.raises(Permanent, match="VM 7: .*/7 is missing"):
            bed.do(action, disk_id=0, snap_id=0, size_mb=3, save=False)
    with pytest.raises(Permanent, match="VM 7 has no disk 9"):
        bed.do("attach", disk_id=9)


@pytest.mark.parametrize("form", ["", "raw", "qcow2"] if LONG else ["", "qcow2"])
def test_a_disk_is_saved_as_an_image(bed: Bed, form: str) -> None:
    bed.write(0, 1)
    bed.snap(0, 0, 0, (0, -1))
    bed.write(0, 2)
    made = {}
    for snapshot, byte in ((-1, 2), (0, 1)):
        image = bed.ground.image(name=f"new{snapshot}", format=form)
        op = bed.ground.op + 1
        found = [bed.saveas(op, disk_id=0, snap_id=snapshot, image=image) for _ in range(2)]
        assert found[0] == found[1] and found[0]["format"] == (form or "raw") and found[0]["size_mb"] == 1
        made[byte] = Path(found[0]["source"])
        assert first_byte(made[byte], found[0]["format"]) == byte
        assert "backing" not in qemu_img("info", "-f", found[0]["format"], made[byte])
    assert sorted(made) == [1, 2] and len(bed.ground.left()) == 4
    assert not list(bed.dir.rglob("*.tmp"))


@pytest.mark.parametrize("kind", ["ssh"])
@pytest.mark.parametrize("act", ["saveas", "detach"])
def test_what_a_host_makes_in_passing_takes_no_room_afterwards(bed: Bed, monkeypatch: pytest.MonkeyPatch,
                                                               act: str) -> None:
    """One that a killed driver left is gone before room is asked for, one whose copy fails or is cancelled too."""
    bed.snap(1, 0, 0, (0, -1))
    left = bed.dir / "disk.1.tmp"
    left.write_text("left")
    df = bed.ground.outside / "df"
    df.write_text(f'#!/bin/sh\necho Avail\n'
                  f'case "$*" in *{bed.dir}) test ! -e {left};; esac && echo 1000000000 || echo 1')
    df.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bed.ground.outside}:{os.environ['PATH']}")
    cancelled: list[Path] = []

    def cancel(remote: FakeRemote, source: str, target: str, tell: Tell) -> None:
        cancelled.append(left)
        assert left.exists()
        bed.ground.token.cancel()
        remote.run(["true"])
    with monkeypatch.context() as patch:
        patch.setattr(FakeRemote, "get", cancel)
        with pytest.raises(Cancelled):
            passing(bed, act)
    assert cancelled and not left.exists()
    bed.ground.token = Token()
    passing(bed, act)
    assert not left.exists()


def passing(bed: Bed, act: str) -> None:
    """Disk 1, which stands on a snapshot, becomes one file on its way to the front-end."""
    if act == "saveas":
        bed.saveas(disk_id=1)
    else:
        bed.do("detach", disk_id=1, save=True)


def test_the_copy_of_a_running_guests_disk_is_taken(bed: Bed) -> None:
    copy = bed.dir / "disk.0.saveas"
    qemu_img("create", "-q", "-f", "qcow2", copy, "2M")
    io(copy, "qcow2", "write -P 9 0 64k")
    op = bed.ground.op + 1
    found = [bed.saveas(op, disk_id=0, live=True) for _ in range(2)]
    assert found[0] == found[1] and found[0]["size_mb"] == 2 and not copy.exists()
    assert first_byte(Path(found[0]["source"]), "raw") == 9
    with pytest.raises(Permanent, match=r"disk 0: .*disk\.0\.saveas is missing"):
        bed.saveas(disk_id=0, live=True)


def test_a_disk_of_a_vm_on_no_host_is_saved_as_an_image(bed: Bed) -> None:
    bed.write(1, 3)
    bed.do("epilog_stop")
    bed.ground.lost.add("node1")
    bed.vm["away"] = True
    found = bed.saveas(disk_id=1)
    assert first_byte(Path(found["source"]), "raw") == 3


def test_what_is_there_is_told(bed: Bed) -> None:
    (bed.dir / "checkpoint").write_text("memory")
    bed.path(2).unlink()
    assert bed.do("state") == {"dir": True, "disks": {"0": True, "1": True, "2": False}, "checkpoint": True,
                               "saved": bed.kind != "ssh"}
    bed.do("epilog")
    assert bed.do("state") == {"dir": False, "disks": {"0": False, "1": False, "2": False}, "checkpoint": False,
                               "saved": True}


def test_an_older_operation_is_refused(bed: Bed) -> None:
    bed.do("resize", 50, disk_id=0, size_mb=2)
    for action in ("attach", "detach", "resize", "snap_create", "snap_revert", "snap_delete"):
        with pytest.raises(Permanent, match="superseded by operation 50"):
            bed.do(action, 40, disk_id=0, snap_id=0, size_mb=3)


def prepared(bed: Bed) -> None:
    """Every disk has 1 in snapshot 0, 2 in snapshot 1, and 3 now."""
    bed.do("prolog")
    for number in (0, 1):
        bed.write(number, 1)
        bed.snap(number, 0, 0, (0, -1))
        bed.write(number, 2)
        bed.snap(number, 1, 1, (0, -1), (1, 0))
        bed.write(number, 3)


ACTS: dict[str, Callable[[Bed], object]] = {
    "snap_create": lambda bed: (bed.told(0, 2, (0, -1), (1, 0), (2, 1)), bed.do("snap_create", disk_id=0, snap_id=2)),
    "snap_create of a link": lambda bed: (bed.told(1, 2, (0, -1), (1, 0), (2, 1)),
                                          bed.do("snap_create", disk_id=1, snap_id=2)),
    "snap_revert": lambda bed: (bed.told(0, 0, (0, -1), (1, 0)), bed.do("snap_revert", disk_id=0, snap_id=0)),
    "merge": lambda bed: (bed.told(0, 0, (0, -1)), bed.do("snap_delete", disk_id=0, snap_id=1)),
    "merge into an image": lambda bed: (bed.told(1, -1), bed.do("snap_delete", disk_id=1, snap_id=0)),
    "detach": lambda bed: bed.do("detach", disk_id=1, save=True),
    "epilog": lambda bed: bed.do("epilog"),
    "epilog_stop": lambda bed: bed.do("epilog_stop"),
    "resize": lambda bed: bed.do("resize", disk_id=0, size_mb=3),
    "saveas": lambda bed: bed.saveas(disk_id=0, snap_id=1),
}
CHANGING = ("merge", "merge into an image", "snap_revert", "epilog_stop")
"""After which, killed, a disk holds something else than before, or has another format."""
ONCE = [("qcow2", "snap_create of a link"), ("qcow2", "merge"), ("qcow2", "merge into an image"), ("ssh", "detach"),
        ("ssh", "saveas")]
"""Each way through the code, but for what test_tm_ssh.py kills."""
ALL = [(kind, act) for kind in ("qcow2", "ssh") for act in ACTS if (kind, act) != ("qcow2", "epilog_stop")]
"""All but one that changes nothing."""


@pytest.mark.parametrize(("kind", "act"), ALL if LONG else ONCE)
def test_a_kill_anywhere_and_a_second_run_end_like_one_run(tmp_path: Path, kind: str, act: str) -> None:
    bed = Bed(tmp_path / "bed", kind)
    prepared(bed)
    if act == "epilog_stop":
        bed.vm["disks"] = bed.vm["disks"][:1]
    if act == "merge into an image":
        bed.snap(1, 1, 0, (0, -1), action="delete")
    copy_tree(tmp_path / "bed", tmp_path / "before")
    wanted, steps = killed(bed, act, 0)
    assert steps > 1 or act == "resize"
    assert killed(bed, act, 0)[0] == wanted, "done twice"
    for at in range(1, steps + 1):
        copy_tree(tmp_path / "before", tmp_path / "bed")
        found, _ = killed(bed, act, at)
        assert found == wanted, f"killed at {at} of {steps}"


def killed(bed: Bed, act: str, at: int) -> tuple[Any, int]:
    """What there is after a run that is killed before the command number AT that changes anything, and a second one."""
    op, ground = 100, bed.ground
    ground.calls, ground.kill_at, ground.op = 0, at, op
    if at:
        with pytest.raises(Killed):
            ACTS[act](bed)
        ground.op = op
        if act not in CHANGING:
            assert set(read(bed).values()) <= {3}
    ACTS[act](bed)
    calls, ground.kill_at = ground.calls, 0
    return seen(bed), calls


def seen(bed: Bed) -> dict[str, Any]:
    """All files of the VM by name, with what a guest would read of its disks."""
    places = {"host": bed.dir, "front": Path(bed.vm["dir"]), "images": bed.ground.images}
    found: dict[str, Any] = {name: sorted(str(path.relative_to(place)) for path in place.rglob("*"))
                             for name, place in places.items()}
    return {**found, "own": bed.image_byte(),
            **{f"disk {number}": byte for number, byte in read(bed).items()}}


def read(bed: Bed) -> dict[int, int]:
    """What the guest would read of its first two disks, as far as they are there."""
    return {number: bed.reads(number) for number in range(len(bed.vm["disks"][:2])) if bed.path(number).exists()}
