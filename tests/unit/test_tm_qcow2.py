"""tm/qcow2 on a real directory with the real qemu-img."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from storage_ground import Ground, needs_qemu_img, qemu_img

from drivers.base import Permanent, Temporary
from drivers.tm.qcow2 import ACTIONS
from drivers.tm.steps import Step, perform
from onecore.wire.messages import Message, Progress

pytestmark = needs_qemu_img


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def disks(ground: Ground) -> list[dict[str, str]]:
    """A raw image to clone, a persistent qcow2 image, and two volatile disks."""
    raw, qcow2 = ground.images / "raw", ground.images / "qcow2"
    raw.write_bytes(b"clone me".ljust(1 << 20, b"."))
    qemu_img("create", "-q", "-f", "qcow2", qcow2, "2M")
    return [{"DISK_ID": "0", "TYPE": "FILE", "IMAGE_ID": "1", "SOURCE": str(raw), "FORMAT": "raw", "CLONE": "YES"},
            {"DISK_ID": "1", "TYPE": "FILE", "IMAGE_ID": "2", "SOURCE": str(qcow2), "FORMAT": "qcow2", "CLONE": "NO",
             "SAVE": "YES"},
            {"DISK_ID": "3", "TYPE": "swap", "SIZE": "1"},
            {"DISK_ID": "4", "TYPE": "fs", "SIZE": "4", "FORMAT": "raw", "FS": "ext4"}]


def do(ground: Ground, action: str, vm: dict[str, Any], op: int = 0) -> dict[str, Any]:
    return ACTIONS[action](ground.context(), ground.vm_args(vm, op))


def names(vm: dict[str, Any]) -> list[str]:
    return sorted(path.name for path in Path(vm["dir"]).iterdir())


def test_prolog_makes_every_disk(ground: Ground, disks: list[dict[str, str]]) -> None:
    vm = ground.vm(*disks)
    do(ground, "prolog", vm)
    here = Path(vm["dir"])
    assert names(vm) == ["disk.0", "disk.1", "disk.3", "disk.4"]
    facts = json.loads(qemu_img("info", "--output=json", here / "disk.0"))
    assert (facts["format"], facts["backing-filename"], facts["backing-filename-format"]) == \
        ("qcow2", disks[0]["SOURCE"], "raw")
    assert (here / "disk.1").resolve() == Path(disks[1]["SOURCE"])
    assert (here / "disk.3").read_bytes()[4086:4096] == b"SWAPSPACE2"
    assert (here / "disk.4").read_bytes()[1080:1082] == b"\x53\xef"
    assert (here / "disk.0").stat().st_mode & 0o777 == 0o600


def test_prolog_twice_keeps_what_is_complete(ground: Ground, disks: list[dict[str, str]]) -> None:
    vm = ground.vm(*disks)
    do(ground, "prolog", vm)
    before = {path: path.lstat().st_ino for path in Path(vm["dir"]).iterdir()}
    (Path(vm["dir"]) / "disk.0").unlink()
    (Path(vm["dir"]) / "disk.0.tmp").write_text("half a disk")
    do(ground, "prolog", vm)
    after = {path: path.lstat().st_ino for path in Path(vm["dir"]).iterdir()}
    assert after.keys() == before.keys()
    assert [path.name for path in after if after[path] != before[path]] in ([], ["disk.0"])
    qemu_img("check", "-q", Path(vm["dir"]) / "disk.0")


def test_disks_grow(ground: Ground, disks: list[dict[str, str]]) -> None:
    bigger = [{**disk, "ORIGINAL_SIZE": "2", "SIZE": "8"} for disk in disks[:2]]
    vm = ground.vm(*bigger)
    do(ground, "prolog", vm)
    for name in ("disk.0", "disk.1"):
        assert json.loads(qemu_img("info", "--output=json", Path(vm["dir"]) / name))["virtual-size"] == 8 << 20
    assert Path(disks[0]["SOURCE"]).stat().st_size == 1 << 20


def test_epilog_leaves_the_persistent_image_and_nothing_else(ground: Ground, disks: list[dict[str, str]]) -> None:
    vm = ground.vm(*disks)
    do(ground, "prolog", vm)
    do(ground, "epilog", vm)
    assert not Path(vm["dir"]).exists()
    assert all(Path(disk["SOURCE"]).exists() for disk in disks[:2])
    do(ground, "epilog", vm)


def test_a_persistent_disk_that_is_a_file_comes_home(ground: Ground, disks: list[dict[str, str]]) -> None:
    vm = ground.vm(disks[1])
    do(ground, "prolog", vm)
    own, image = Path(vm["dir"]) / "disk.1", Path(disks[1]["SOURCE"])
    own.unlink()
    written = ground.outside / "written"
    written.write_bytes(b"new data".ljust(2 << 20, b"n"))
    qemu_img("convert", "-f", "raw", "-O", "qcow2", written, own)
    do(ground, "epilog", vm)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", written, image)
    assert not own.exists() and ground.left() == ["qcow2", "raw"]


def test_epilog_without_the_image_removes_nothing(ground: Ground, disks: list[dict[str, str]]) -> None:
    vm = ground.vm(*disks)
    do(ground, "prolog", vm)
    Path(disks[1]["SOURCE"]).unlink()
    with pytest.raises(Permanent, match="nothing was removed: its image .*/qcow2 is missing or empty"):
        do(ground, "epilog", vm)
    assert "disk.0" in names(vm)


def test_delete_never_touches_an_image(ground: Ground, disks: list[dict[str, str]]) -> None:
    vm = ground.vm(*disks)
    do(ground, "prolog", vm)
    do(ground, "delete", vm)
    do(ground, "delete", vm)
    assert not Path(vm["dir"]).exists() and ground.left() == ["qcow2", "raw"]


def test_stop_and_resume_want_every_disk(ground: Ground, disks: list[dict[str, str]]) -> None:
    vm = ground.vm(*disks)
    do(ground, "prolog", vm)
    do(ground, "epilog_stop", vm)
    do(ground, "prolog_resume", vm)
    (Path(vm["dir"]) / "disk.4").unlink()
    with pytest.raises(Permanent, match=r"disk\.4 missing"):
        do(ground, "prolog_resume", vm)


def test_a_missing_image_is_named(ground: Ground, disks: list[dict[str, str]]) -> None:
    for disk in disks[:2]:
        vm = ground.vm({**disk, "SOURCE": str(ground.images / "gone")})
        with pytest.raises(Permanent, match=f"disk {disk['DISK_ID']}: .*{ground.images}/gone"):
            do(ground, "prolog", vm)
        assert not any(name in ("disk.0", "disk.1") for name in names(vm))


def test_an_older_operation_is_refused(ground: Ground, disks: list[dict[str, str]]) -> None:
    vm = ground.vm(*disks)
    do(ground, "prolog", vm, op=5)
    with pytest.raises(Permanent, match="superseded"):
        do(ground, "delete", vm, op=4)
    assert "disk.0" in names(vm)


def test_a_full_disk_is_worth_another_try(ground: Ground) -> None:
    full = Step("disk 0", ("sh", "-c", "echo 'write: No space left on device' >&2; exit 1"))
    with pytest.raises(Temporary, match="disk 0: .*No space left"):
        perform(ground.context(), ground.context().host({}), [full])


def test_the_growth_of_a_file_is_told(ground: Ground) -> None:
    path, heard = str(ground.outside / "grows"), ground.outside / "heard"

    class Heard(list[Message]):
        def append(self, message: Message) -> None:
            super().append(message)
            if isinstance(message, Progress) and message.done >= 300000:
                heard.touch()
    ground.messages = Heard()
    script = f"head -c 300000 /dev/zero > {path}; while [ ! -e {heard} ]; do sleep 0.05; done"
    perform(ground.context(), ground.context().host({}), [Step("copying", ("sh", "-c", script), path, 500000)])
    told = [each for each in ground.messages if isinstance(each, Progress) and each.step == "copying"]
    assert told and all(each.total == 500000 for each in told)


@pytest.mark.parametrize("grows", [True, False])
def test_a_file_that_grows_renews_the_deadline_and_one_that_stands_does_not(ground: Ground, grows: bool) -> None:
    path = ground.outside / "grows"
    write = "head -c 9999 /dev/zero" if grows else "true"
    seconds = 8.0 if grows else 2.0
    script = f"for i in 1 2 3 4 5 6 7 8 9; do {write} >> {path}; sleep {seconds / 8}; done"
    ctx = ground.context(timeout=seconds)
    step = Step("copying", ("sh", "-c", script), grows=str(path))
    if grows:
        perform(ctx, ctx.host({}), [step])
    else:
        with pytest.raises(Temporary, match="no end after"):
            perform(ctx, ctx.host({}), [step])
