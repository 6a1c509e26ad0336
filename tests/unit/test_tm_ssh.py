"""tm/ssh between a front-end and hosts that are directories of this machine; the real wire is in tests/live."""
from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from storage_ground import Ground, Killed, needs_qemu_img, qemu_img

from drivers.base import Permanent, Temporary
from drivers.tm.ssh import ACTIONS
from onecore.wire.messages import Progress

pytestmark = needs_qemu_img
MB = 1 << 20
Vm = dict[str, Any]
BEFORE = {"prolog": (), "epilog": ("prolog",), "epilog_stop": ("prolog",), "prolog_resume": ("prolog", "epilog_stop"),
          "delete": ("prolog",)}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    made = Ground(tmp_path)
    made.host = "node1"
    return made


@pytest.fixture
def vm(ground: Ground) -> Vm:
    """A raw image to clone, a persistent raw one, a CD, and a volatile disk."""
    for name in ("raw", "own", "cd"):
        (ground.images / name).write_bytes(name.encode().ljust(MB, b"."))
    return ground.vm(image(ground, 0, "raw"), image(ground, 1, "own", CLONE="NO", SAVE="YES"),
                     image(ground, 2, "cd", TYPE="CDROM"), {"DISK_ID": "3", "TYPE": "swap", "SIZE": "1"})


def image(ground: Ground, disk: int, name: str, **more: str) -> dict[str, str]:
    return {"DISK_ID": str(disk), "TYPE": "FILE", "IMAGE_ID": str(disk), "SOURCE": str(ground.images / name),
            "FORMAT": "raw", "SIZE": "1", "ORIGINAL_SIZE": "1", "CLONE": "YES", "SAVE": "NO", **more}


def do(ground: Ground, action: str, vm: Vm, op: int = 0, **more: Any) -> None:
    ACTIONS[action](ground.context(), {**ground.vm_args(vm, op), **more})


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir()) if path.exists() else []


def there(ground: Ground, vm: Vm, host: str = "node1") -> Path:
    return ground.on(host, vm["dir"])


def state(ground: Ground, vm: Vm) -> dict[str, dict[str, bytes]]:
    """All files of the VM and all images."""
    places = {"front": Path(vm["dir"]), "images": ground.images, "host": there(ground, vm),
              "other": there(ground, vm, "node2")}
    return {name: {each: (path / each).read_bytes() for each in names(path)} for name, path in places.items()}


def write(path: Path, text: bytes) -> None:
    """The guest writes."""
    with path.open("r+b") as file:
        file.write(text)


def test_prolog_copies_every_image_and_leaves_nothing_on_the_front_end(ground: Ground, vm: Vm) -> None:
    do(ground, "prolog", vm)
    here = there(ground, vm)
    assert names(here) == ["disk.0", "disk.1", "disk.2", "disk.3"]
    for disk in vm["disks"][:3]:
        copy = here / f"disk.{disk['DISK_ID']}"
        assert not copy.is_symlink() and copy.read_bytes() == Path(disk["SOURCE"]).read_bytes()
        assert copy.stat().st_mode & 0o777 == 0o600
    assert (here / "disk.3").read_bytes()[4086:4096] == b"SWAPSPACE2"
    assert not Path(vm["dir"]).exists() and ground.left() == ["cd", "own", "raw"]


def test_a_copy_is_told_in_bytes(ground: Ground, vm: Vm) -> None:
    do(ground, "prolog", vm)
    told = [each for each in ground.messages if isinstance(each, Progress)]
    assert ("disk 0", MB, MB) in [(each.step, each.done, each.total) for each in told]


def test_disks_grow_on_the_host_only(ground: Ground, vm: Vm) -> None:
    vm["disks"] = [{**disk, "SIZE": "8"} for disk in vm["disks"][:2]]
    do(ground, "prolog", vm)
    assert [(there(ground, vm) / name).stat().st_size for name in ("disk.0", "disk.1")] == [8 * MB, 8 * MB]
    assert (ground.images / "raw").stat().st_size == (ground.images / "own").stat().st_size == MB
    do(ground, "epilog", vm)
    assert (ground.images / "raw").stat().st_size == MB and (ground.images / "own").stat().st_size == 8 * MB


def test_a_disk_that_was_grown_before_is_as_large_as_it_was(ground: Ground, vm: Vm) -> None:
    os.truncate(ground.images / "own", 16 * MB)
    vm["disks"] = [{**vm["disks"][1], "SIZE": "8"}]
    do(ground, "prolog", vm)
    assert (there(ground, vm) / "disk.1").stat().st_size == 16 * MB


def test_what_the_guest_wrote_comes_home(ground: Ground, vm: Vm) -> None:
    do(ground, "prolog", vm)
    for name in ("disk.0", "disk.1", "disk.2"):
        write(there(ground, vm) / name, b"written")
    do(ground, "epilog", vm)
    assert (ground.images / "own").read_bytes() == b"written".ljust(MB, b".")
    assert (ground.images / "raw").read_bytes()[:3] == b"raw" and (ground.images / "cd").read_bytes()[:2] == b"cd"
    assert not there(ground, vm).exists() and ground.left() == ["cd", "own", "raw"]
    assert (ground.images / "own").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("damage", ["backing", "corrupt", "smaller"])
def test_a_disk_that_must_not_take_its_images_place(ground: Ground, vm: Vm, damage: str) -> None:
    own = ground.images / "own"
    qemu_img("create", "-q", "-f", "qcow2", own, "2M")
    vm["disks"] = [{**vm["disks"][1], "FORMAT": "qcow2"}]
    do(ground, "prolog", vm)
    disk, before = there(ground, vm) / "disk.1", own.read_bytes()
    if damage == "backing":
        qemu_img("create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", disk, "2M")
    elif damage == "smaller":
        qemu_img("create", "-q", "-f", "qcow2", disk, "1M")
    else:
        qemu_img("resize", "-q", "-f", "qcow2", disk, "3M")
        with disk.open("r+b") as file:  # the refcount table's place
            file.seek(48)
            file.write(b"\0" * 8)
    said = {"backing": "refers to a backing file", "corrupt": "qemu-img check", "smaller": "fewer than"}[damage]
    with pytest.raises(Permanent, match=f"saving disk 1: .*{said}"):
        do(ground, "epilog", vm)
    assert own.read_bytes() == before and disk.exists()


def test_a_raw_disk_may_hold_anything(ground: Ground, vm: Vm) -> None:
    do(ground, "prolog", vm)
    write(there(ground, vm) / "disk.1", b"QFI\xfb\0\0\0\3" + b"\1" * 100)
    do(ground, "epilog", vm)
    assert (ground.images / "own").read_bytes()[:4] == b"QFI\xfb"


def test_a_stop_moves_everything_to_the_front_end_and_a_start_elsewhere_takes_it(ground: Ground, vm: Vm) -> None:
    do(ground, "prolog", vm)
    here, files = there(ground, vm), ["checkpoint", "disk.0", "disk.1", "disk.2", "disk.3", "disk.9"]
    write(here / "disk.0", b"written")
    for name, text in (("checkpoint", "memory"), ("disk.9", "context"), ("disk.0.tmp", "half"), ("notes", "?")):
        (here / name).write_text(text)
    do(ground, "epilog_stop", vm)
    assert not here.exists() and names(Path(vm["dir"])) == files
    ground.host = "node2"
    do(ground, "prolog_resume", vm)
    assert not Path(vm["dir"]).exists() and names(there(ground, vm, "node2")) == files
    assert (there(ground, vm, "node2") / "disk.0").read_bytes() == b"written".ljust(MB, b".")
    assert (there(ground, vm, "node2") / "checkpoint").stat().st_mode & 0o777 == 0o600


def test_what_is_on_the_front_end_still_from_an_earlier_stop_is_not_believed(ground: Ground, vm: Vm) -> None:
    do(ground, "prolog", vm)
    Path(vm["dir"]).mkdir(parents=True)
    for disk in vm["disks"]:
        (Path(vm["dir"]) / f"disk.{disk['DISK_ID']}").write_text("old")
    (Path(vm["dir"]) / "checkpoint").write_text("old")
    do(ground, "epilog_stop", vm)
    assert names(Path(vm["dir"])) == ["disk.0", "disk.1", "disk.2", "disk.3"]
    assert (Path(vm["dir"]) / "disk.1").read_bytes()[:3] == b"own"


@pytest.mark.parametrize("action", ["epilog", "delete"])
def test_a_vm_on_no_host_ends_on_the_front_end(ground: Ground, vm: Vm, action: str) -> None:
    do(ground, "prolog", vm)
    write(there(ground, vm) / "disk.1", b"written")
    do(ground, "epilog_stop", vm)
    ground.lost.add("node1")
    do(ground, action, {**vm, "away": True})
    do(ground, action, {**vm, "away": True})
    assert (ground.images / "own").read_bytes()[:7] == (b"written" if action == "epilog" else b"own....")
    assert not Path(vm["dir"]).exists() and ground.left() == ["cd", "own", "raw"]


@pytest.mark.parametrize("action", ["epilog", "delete", "epilog_stop"])
def test_a_host_that_is_away_is_worth_another_try(ground: Ground, vm: Vm, action: str) -> None:
    do(ground, "prolog", vm)
    ground.lost.add("node1")
    with pytest.raises(Temporary, match="node1"):
        do(ground, action, vm)
    ground.lost.clear()
    do(ground, action, vm)
    assert not there(ground, vm).exists()


def test_delete_removes_what_the_front_end_has(ground: Ground, vm: Vm) -> None:
    do(ground, "prolog", vm)
    Path(vm["dir"]).mkdir(parents=True)
    (ground.images / "own.tmp").write_text("half")
    do(ground, "delete", vm)
    assert not there(ground, vm).exists() and not Path(vm["dir"]).exists() and ground.left() == ["cd", "own", "raw"]


def test_delete_of_what_is_left_over_touches_that_host_alone(ground: Ground, vm: Vm) -> None:
    do(ground, "prolog", vm)
    do(ground, "epilog_stop", vm, op=50)
    there(ground, vm).mkdir()
    do(ground, "delete", {**vm, "disks": []}, op=60, left_over=True)
    assert not there(ground, vm).exists() and len(names(Path(vm["dir"]))) == 4


@pytest.mark.parametrize(("action", "said"), [
    ("prolog", "VM 7 needs 3 MB"), ("epilog_stop", "VM 7 needs 4 MB"), ("epilog", "saving disk 1 needs 1 MB")])
def test_no_space_is_said_before_anything_is_copied(ground: Ground, vm: Vm, monkeypatch: pytest.MonkeyPatch,
                                                    action: str, said: str) -> None:
    for before in BEFORE[action]:
        do(ground, before, vm)
    kept = names(there(ground, vm))
    (ground.outside / "df").write_text("#!/bin/sh\necho Avail; echo 1000")
    (ground.outside / "df").chmod(0o755)
    monkeypatch.setenv("PATH", f"{ground.outside}:{os.environ['PATH']}")
    with pytest.raises(Temporary, match=f"not enough space in /.*: {said}, 0 MB are free"):
        do(ground, action, vm)
    assert names(there(ground, vm)) == kept and ground.left() == ["cd", "own", "raw"]
    monkeypatch.undo()
    do(ground, action, vm)


def test_an_image_that_vanished_is_named(ground: Ground, vm: Vm) -> None:
    (ground.images / "raw").unlink()
    with pytest.raises(Permanent, match=f"disk 0: its image {ground.images}/raw is missing"):
        do(ground, "prolog", vm)
    (ground.images / "raw").touch()
    with pytest.raises(Permanent, match=f"disk 0: its image {ground.images}/raw is empty"):
        do(ground, "prolog", vm)
    assert names(there(ground, vm)) == []


@pytest.mark.parametrize("action", ["epilog_stop", "epilog", "prolog_resume"])
def test_a_missing_disk_is_named_and_nothing_removed(ground: Ground, vm: Vm, action: str) -> None:
    do(ground, "prolog", vm)
    if action == "prolog_resume":
        do(ground, "epilog_stop", vm)
    place = Path(vm["dir"]) if action == "prolog_resume" else there(ground, vm)
    (place / "disk.1").unlink()
    with pytest.raises(Permanent, match=r"disk\.1 (is )?missing"):
        do(ground, action, vm)
    assert "disk.0" in names(place)


def test_epilog_removes_no_disks_that_are_only_on_the_front_end(ground: Ground, vm: Vm) -> None:
    do(ground, "prolog", vm)
    do(ground, "epilog_stop", vm)
    with pytest.raises(Permanent, match="on the front-end, not on its host"):
        do(ground, "epilog", vm)
    assert len(names(Path(vm["dir"]))) == 4


@pytest.mark.parametrize("host", ["node1", "localhost"])
def test_a_directory_that_is_lost_is_not_taken_for_one_that_was_saved(ground: Ground, vm: Vm, host: str) -> None:
    ground.host = host
    do(ground, "prolog", vm)
    do(ground, "epilog", vm)
    do(ground, "epilog", vm)
    vm["generation"] += 1
    do(ground, "prolog", vm)
    shutil.rmtree(Path(vm["dir"]) if host == "localhost" else there(ground, vm))
    with pytest.raises(Permanent, match="persistent disks are neither in .* nor saved"):
        do(ground, "epilog", vm)
    vm["disks"] = [disk for disk in vm["disks"] if disk.get("SAVE") != "YES"]
    do(ground, "epilog", vm)


def test_half_of_a_move_is_not_saved_over_the_image(ground: Ground, vm: Vm) -> None:
    do(ground, "prolog", vm)
    (there(ground, vm) / ".arriving").touch()
    write(there(ground, vm) / "disk.1", b"old")
    with pytest.raises(Permanent, match="not complete"):
        do(ground, "epilog", vm)
    assert (ground.images / "own").read_bytes()[:4] == b"own." and "disk.1" in names(there(ground, vm))


def test_on_the_front_end_itself_a_stop_moves_nothing(ground: Ground, vm: Vm) -> None:
    ground.host = "localhost"
    do(ground, "prolog", vm)
    inodes = {path: path.stat().st_ino for path in Path(vm["dir"]).iterdir()}
    write(Path(vm["dir"]) / "disk.1", b"written")
    for action in ("epilog_stop", "prolog_resume"):
        do(ground, action, vm)
        assert {path: path.stat().st_ino for path in Path(vm["dir"]).iterdir()} == inodes
    do(ground, "epilog", vm)
    assert (ground.images / "own").read_bytes()[:7] == b"written" and not Path(vm["dir"]).exists()


def test_an_older_operation_is_refused_on_host_and_front_end(ground: Ground, vm: Vm) -> None:
    do(ground, "prolog", vm, op=5)
    for host in ("node1", "node2"):
        ground.host = host
        with pytest.raises(Permanent, match="superseded by operation 5"):
            do(ground, "delete", vm, op=4)
    assert len(names(there(ground, vm))) == 4


@pytest.mark.parametrize("action", BEFORE)
def test_a_kill_anywhere_and_a_second_run_end_like_one_run(tmp_path: Path, action: str) -> None:
    wanted, steps = _killed(tmp_path / "whole", action, 0)
    assert steps > 2
    for at in range(1, steps + 1):
        found, _ = _killed(tmp_path / f"at{at}", action, at)
        assert found == wanted, f"killed at {at} of {steps}"


def _killed(directory: Path, action: str, at: int) -> tuple[Any, int]:
    """What there is after a run of ACTION that is killed at its command number AT, and a second one."""
    directory.mkdir()
    ground = Ground(directory)
    ground.host = "node1"
    (ground.images / "own").write_bytes(b"own".ljust(MB, b"."))
    (ground.images / "cd").write_bytes(b"cd".ljust(MB // 2, b"."))
    vm = ground.vm(image(ground, 1, "own", CLONE="NO", SAVE="YES"), image(ground, 2, "cd", TYPE="CDROM"))
    for each in BEFORE[action]:
        do(ground, each, vm)
        if each == "prolog":
            write(there(ground, vm) / "disk.1", b"written")
            (there(ground, vm) / "checkpoint").write_text("memory")
    ground.host = "node2" if action == "prolog_resume" else "node1"
    ground.calls, ground.kill_at = 0, at
    op = ground.op + 1
    if at:
        with pytest.raises(Killed):
            do(ground, action, vm, op)
    do(ground, action, vm, op)
    found = state(ground, vm)
    assert found["images"].keys() == {"own", "cd"} and found["images"]["own"][:3] in (b"own", b"wri")
    return found, ground.calls


def test_the_only_copy_of_a_disk_is_never_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each command of a stop, a resume and an epilog, what the guest wrote is whole somewhere."""
    ground = Ground(tmp_path)
    ground.host = "node1"
    (ground.images / "own").write_bytes(b"own".ljust(MB, b"."))
    vm = ground.vm(image(ground, 1, "own", CLONE="NO", SAVE="YES"))
    do(ground, "prolog", vm)
    write(there(ground, vm) / "disk.1", b"written")
    kept = b"written".ljust(MB, b".")

    def look() -> None:
        places = (there(ground, vm), there(ground, vm, "node2"), Path(vm["dir"]))
        assert kept in [path.read_bytes() for path in (*(place / "disk.1" for place in places), ground.images / "own")
                        if path.exists()]
    monkeypatch.setattr(ground, "count", look)
    do(ground, "epilog_stop", vm)
    ground.host = "node2"
    do(ground, "prolog_resume", vm)
    do(ground, "epilog", vm)
    assert (ground.images / "own").read_bytes() == kept


def test_a_removal_that_broke_off_is_ended(ground: Ground, vm: Vm) -> None:
    """In any order files may go: what is left is not taken for the VM's disks."""
    for action in ("epilog_stop", "epilog"):
        do(ground, "prolog", vm)
        do(ground, action, vm)
        here = there(ground, vm)
        here.mkdir()
        for name in (".leaving", "disk.0", "disk.1"):
            (here / name).write_text("old")
        if action == "epilog":
            (here / "disk.1").unlink()
        do(ground, action, vm)
        assert not here.exists() and (ground.images / "own").read_bytes()[:3] == b"own"
        assert names(Path(vm["dir"])) == (["disk.0", "disk.1", "disk.2", "disk.3"] if action == "epilog_stop" else [])
        assert action == "epilog" or (Path(vm["dir"]) / "disk.0").stat().st_size == MB
        do(ground, "delete", vm)


@pytest.mark.parametrize("mark", [".arriving", ".leaving"])
def test_a_prolog_begins_anew_where_something_else_broke_off(ground: Ground, vm: Vm, mark: str) -> None:
    here = there(ground, vm)
    here.mkdir(parents=True)
    for name in (mark, "disk.0"):
        (here / name).write_text("old")
    do(ground, "prolog", vm)
    assert names(here) == ["disk.0", "disk.1", "disk.2", "disk.3"] and (here / "disk.0").stat().st_size == MB
