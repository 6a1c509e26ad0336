"""Which steps tm/qcow2 decides on: pure, nothing runs."""
from __future__ import annotations

from typing import Any

import pytest

from drivers.base import Permanent
from drivers.tm.blank import blank_steps, file_systems
from drivers.tm.epilog import epilog_steps, keep_steps, remove_steps
from drivers.tm.layout import active_format, disk_format, disk_path, kind, snapshot_name, snapshots_dir, vm_dir
from drivers.tm.prolog import grow_image_steps, prolog_steps
from drivers.tm.qcow2 import overlay_steps
from drivers.tm.steps import Step

CLONE = {"DISK_ID": "0", "TYPE": "FILE", "IMAGE_ID": "4", "SOURCE": "/ds/1/a", "FORMAT": "raw", "SIZE": "56",
         "ORIGINAL_SIZE": "56", "CLONE": "YES", "SAVE": "NO"}
LINK = {**CLONE, "DISK_ID": "1", "SOURCE": "/ds/1/b", "FORMAT": "qcow2", "CLONE": "NO", "SAVE": "YES"}
CDROM = {**CLONE, "DISK_ID": "2", "TYPE": "CDROM", "SOURCE": "/ds/1/c", "READONLY": "YES"}
SWAP = {"DISK_ID": "3", "TYPE": "swap", "SIZE": "16"}
FS = {"DISK_ID": "4", "TYPE": "fs", "SIZE": "20", "FORMAT": "qcow2", "FS": "ext4"}


def vm(*disks: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"id": 7, "dir": "/ds/0/7", "disks": list(disks), **more}


def commands(*disks: dict[str, str], present: tuple[str, ...] = ()) -> list[str]:
    steps = prolog_steps(vm(*disks), present, {"clone": overlay_steps})
    return [" ".join(step.argv) for step in steps if isinstance(step, Step)]


def test_a_clone_is_an_overlay_that_names_its_images_format() -> None:
    assert "qemu-img create -q -f qcow2 -b /ds/1/a -F raw /ds/0/7/disk.0.tmp" in commands(CLONE)


def test_a_clone_grows_only_beyond_its_image() -> None:
    assert any(line.endswith("disk.0.tmp 100M") for line in commands({**CLONE, "SIZE": "100"}))
    assert any(line.endswith("disk.0.tmp") and "create" in line for line in commands({**CLONE, "SIZE": "40"}))


def test_persistent_disks_and_discs_are_links() -> None:
    for disk in (LINK, CDROM):
        assert kind(disk) == "link"
        assert f"ln -sfn -- {disk['SOURCE']} /ds/0/7/disk.{disk['DISK_ID']}.tmp" in commands(disk)


def test_a_persistent_image_grows_once() -> None:
    wants = vm({**LINK, "SIZE": "100"}, {**CLONE, "SIZE": "100"})
    grown = grow_image_steps(wants, {"/ds/1/b": 56 << 20})
    assert [step.argv for step in grown] == [("qemu-img", "resize", "-q", "-f", "qcow2", "/ds/1/b", "100M")]
    assert grow_image_steps(wants, {"/ds/1/b": 100 << 20}) == []


@pytest.mark.parametrize("disk", [CLONE, LINK, CDROM, SWAP, FS])
def test_every_disk_gets_its_name_last_by_a_rename(disk: dict[str, str]) -> None:
    path = disk_path(vm(disk), disk)
    lines = commands(disk)
    assert lines[-1] == f"mv -T -- {path}.tmp {path}"
    assert not any(line.endswith(f" {path}") for line in lines[:-1])


@pytest.mark.parametrize("disk", [CLONE, LINK, CDROM, SWAP, FS])
def test_a_complete_disk_is_kept(disk: dict[str, str]) -> None:
    assert commands(disk, present=(f"disk.{disk['DISK_ID']}",)) == []
    assert commands(disk, present=(f"disk.{disk['DISK_ID']}.tmp",)) != []


def test_formats_on_the_host() -> None:
    disks = CLONE, LINK, CDROM, SWAP, FS
    assert [disk_format(d) for d in disks] == ["qcow2", "qcow2", "raw", "raw", "qcow2"]
    for copying in ("shared", "ssh"):
        assert [disk_format(d, copying) for d in disks] == ["raw", "qcow2", "raw", "raw", "qcow2"]


def test_a_disk_is_an_overlay_while_it_stands_on_a_snapshot() -> None:
    disk = {"DISK_ID": "2", "TYPE": "FILE", "IMAGE_ID": "1", "SOURCE": "/images/a", "FORMAT": "raw", "CLONE": "NO"}
    made = [{"id": 0, "parent": -1, "name": "", "size_mb": 1}]
    vm = {"id": 12, "dir": "/ds/0/12", "tm_mad": "shared", "disks": [disk]}
    for base, form in ((-1, "raw"), (0, "qcow2")):
        assert active_format({**vm, "snapshots": {"2": {"base": base, "list": made}}}, disk) == form
    assert active_format(vm, disk) == "raw" and active_format({**vm, "snapshots": {"0": {"base": 0}}}, disk) == "raw"
    assert snapshots_dir(vm, disk) == "/ds/0/12/disk.2.snap" and snapshot_name(disk, 7) == "disk.2.snap/7"


def test_a_file_system_in_qcow2_is_made_raw_and_converted() -> None:
    lines = commands(FS)
    assert any(line.startswith("mkfs.ext4") and line.endswith("disk.4.tmp.raw") for line in lines)
    assert "qemu-img convert -q -f raw -O qcow2 /ds/0/7/disk.4.tmp.raw /ds/0/7/disk.4.tmp" in lines


@pytest.mark.parametrize("fs", file_systems())
def test_each_file_system_has_its_maker(fs: str) -> None:
    maker = blank_steps("x", "/f", 10, "raw", fs)[-1].argv
    assert maker[0] in (f"mkfs.{fs}", "mkswap") and maker[-1] == "/f"


@pytest.mark.parametrize(("disk", "said"), [
    ({**FS, "FS": "ext4; reboot"}, "no file system 'ext4; reboot'"),
    ({**FS, "FS": "reiser"}, "known: btrfs, ext2"),
    ({**FS, "SIZE": "0"}, "0 MB"),
    ({**FS, "SIZE": "-5"}, "'-5' is not a number"),
    ({**FS, "SIZE": "1e9"}, "'1e9' is not a number"),
    ({**FS, "FORMAT": "vmdk"}, "'vmdk' is neither raw nor qcow2"),
    ({**CLONE, "SOURCE": "x"}, "SOURCE 'x'"),
    ({**CLONE, "DISK_ID": "../1"}, "DISK_ID '../1'"),
    ({"DISK_ID": "0", "TYPE": "file"}, "none of fs, raw, swap"),
])
def test_what_cannot_be_is_refused_and_named(disk: dict[str, str], said: str) -> None:
    with pytest.raises(Permanent, match=said.replace("/", "/")):
        commands(disk)


@pytest.mark.parametrize("path", ["/7", "/ds/7", "ds/0/7", "/ds/../7", "/ds/0/8", "/ds/0/7/", "/ds//7", "", "/"])
def test_only_a_vms_own_directory_is_ever_removed(path: str) -> None:
    with pytest.raises(Permanent):
        remove_steps({"id": 7, "dir": path, "disks": []})


def test_a_vms_directory() -> None:
    assert vm_dir({"id": 7, "dir": "/ds/0/7"}) == "/ds/0/7"


def test_epilog_only_verifies_and_syncs_a_linked_disk() -> None:
    steps = epilog_steps(vm(CLONE, LINK), {"disk.0": "", "disk.1": "/ds/1/b"}, {})
    assert [step.argv[:2] for step in steps] == [("test", "-s"), ("sync", "--")]


def test_epilog_of_a_copy_compares_before_the_image_is_replaced_and_the_copy_is_gone_last() -> None:
    verbs = [step.argv[:2] for step in epilog_steps(vm(LINK), {"disk.1": ""}, {"/ds/0/7/disk.1": 5})]
    assert verbs.index(("qemu-img", "compare")) < verbs.index(("mv", "-T")) < verbs.index(("ln", "-sfn"))
    assert not any(step.argv[0] == "rm" and "/ds/0/7/disk.1" in step.argv[2:]
                   for step in epilog_steps(vm(LINK), {"disk.1": ""}, {}))


def test_epilog_refuses_a_link_to_elsewhere() -> None:
    with pytest.raises(Permanent, match="link to /other"):
        epilog_steps(vm(LINK), {"disk.1": "/other"}, {})


def test_stop_keeps_disks_and_checkpoint_and_misses_none() -> None:
    argv = keep_steps(vm(CLONE), {"disk.0": "", "checkpoint": "", "x": ""})[0].argv
    assert argv == ("sync", "--", "/ds/0/7/checkpoint", "/ds/0/7/disk.0")
    with pytest.raises(Permanent, match=r"disk\.1 missing in /ds/0/7"):
        keep_steps(vm(CLONE, LINK), {"disk.0": ""})
