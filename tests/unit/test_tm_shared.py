"""tm/shared on a real directory: clones are copies of their own; all else is as tm/qcow2 has it."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from storage_ground import Ground, needs_qemu_img, qemu_img

from drivers.base import Permanent
from drivers.tm import qcow2, shared
from drivers.tm.shared import ACTIONS, copy_steps

pytestmark = needs_qemu_img
MB = 1 << 20


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def disk(ground: Ground, number: int, form: str, **more: str) -> dict[str, str]:
    path = ground.images / form
    qemu_img("create", "-q", "-f", form, path, "2M")
    return {"DISK_ID": str(number), "TYPE": "FILE", "IMAGE_ID": "4", "SOURCE": str(path), "FORMAT": form, "SIZE": "2",
            "ORIGINAL_SIZE": "2", "CLONE": "YES", "SAVE": "NO", **more}


def do(ground: Ground, action: str, vm: dict[str, Any]) -> Path:
    ACTIONS[action](ground.context(), ground.vm_args(vm))
    return Path(vm["dir"])


def test_a_clone_is_a_file_of_its_own_in_its_images_format(ground: Ground) -> None:
    vm = ground.vm(disk(ground, 0, "raw"), disk(ground, 1, "qcow2"))
    for each in vm["disks"]:
        Path(each["SOURCE"]).chmod(0o444)
    here = do(ground, "prolog", vm)
    for each in vm["disks"]:
        facts = json.loads(qemu_img("info", "--output=json", here / f"disk.{each['DISK_ID']}"))
        assert facts["format"] == each["FORMAT"] and "backing-filename" not in facts
    assert (here / "disk.0").stat().st_mode & 0o777 == 0o600


def test_a_raw_copy_is_sparse_and_the_copy_grows_alone(ground: Ground) -> None:
    vm = ground.vm(disk(ground, 0, "raw", SIZE="8"), disk(ground, 1, "qcow2", SIZE="8"))
    (ground.images / "raw").write_bytes(bytes(2 * MB))
    here = do(ground, "prolog", vm)
    assert (here / "disk.0").stat().st_size == 8 * MB and (here / "disk.0").stat().st_blocks * 512 < MB
    assert json.loads(qemu_img("info", "--output=json", here / "disk.1"))["virtual-size"] == 8 * MB
    assert (ground.images / "raw").stat().st_size == 2 * MB


def test_a_copy_larger_than_asked_for_is_not_cut() -> None:
    asked = {"DISK_ID": "0", "SOURCE": "/ds/1/a", "FORMAT": "raw", "SIZE": "8", "ORIGINAL_SIZE": "2", "IMAGE_ID": "4"}
    steps = copy_steps({"/ds/1/a": 5}, {"/ds/1/a": 16 * MB}, "disk 0", "/ds/0/7/disk.0.tmp", asked)
    assert [step.argv[0] for step in steps] == ["cp"] and steps[0].total == 5


def test_persistent_disks_are_links_and_outlive_the_vm(ground: Ground) -> None:
    vm = ground.vm(disk(ground, 0, "raw"), disk(ground, 1, "qcow2", CLONE="NO", SAVE="YES"))
    here = do(ground, "prolog", vm)
    assert (here / "disk.1").resolve() == ground.images / "qcow2"
    for action in ("epilog_stop", "prolog_resume", "epilog"):
        do(ground, action, vm)
    assert not here.exists() and ground.left() == ["qcow2", "raw"]


def test_a_vm_on_no_host_ends_on_the_front_end(ground: Ground) -> None:
    vm = ground.vm(disk(ground, 0, "raw"))
    here = do(ground, "prolog", vm)
    ground.host = "node1"
    ground.lost.add("node1")
    do(ground, "delete", {**vm, "away": True})
    assert not here.exists()


@pytest.mark.parametrize("driver", [shared, qcow2])
def test_an_image_that_a_host_does_not_see_is_named(ground: Ground, driver: Any) -> None:
    vm = ground.vm(disk(ground, 0, "raw"))
    ground.host = "node1"
    with pytest.raises(Permanent, match="disk 0: its image .*/raw is missing on the host, which must see"):
        driver.ACTIONS["prolog"](ground.context(), ground.vm_args(vm))
