"""The core's methods about disks on the real storage drivers, guests being dummies: what is in the files, and where.

A guest that is off is written for by qemu-io, so that content can be told apart.
"""
from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from api_bodies import vector
from cloud_process import Cloud, unique
from makers import MakeCloud
from sim_points import LONG

pytestmark = pytest.mark.skipif(not (shutil.which("qemu-img") and shutil.which("qemu-io")),
                                reason="qemu-img and qemu-io (qemu-utils) are not installed")


class Place:
    """A VM that is off on this machine, its disk 0 of an image of 4 MB."""

    def __init__(self, cloud: Cloud, form: str, persistent: bool) -> None:
        self.cloud, self.form, self.kept = cloud, form, persistent
        self.host = cloud.client.number("one.host.allocate", "localhost", "dummy", "dummy", -1)
        cloud.wait_host(self.host, "MONITORED")
        self.image = self.make_image()
        self.vm = cloud.make_vm(image=self.image)
        cloud.deploy(self.vm, self.host)
        self.dir = cloud.home / "datastores" / "0" / str(self.vm)
        cloud.client.call("one.vm.action", "poweroff", self.vm)
        cloud.wait_vm(self.vm, "POWEROFF")

    def make_image(self) -> int:
        """An image of the kind that the test is about."""
        return self.cloud.make_image(size=4, FORMAT=self.form, PERSISTENT="YES" if self.kept else "NO")

    def do(self, method: str, *arguments: object, state: str = "POWEROFF") -> int:
        """A call about a disk; it has succeeded when this returns."""
        made = self.cloud.client.number(f"one.vm.{method}", self.vm, *arguments)
        self.cloud.wait_vm(self.vm, state)
        assert self.cloud.body("vm", self.vm).findtext("USER_TEMPLATE/ERROR") is None, method
        return made

    def write(self, disk: int, byte: int) -> None:
        """What a guest writes."""
        done = self._io(self.dir / f"disk.{disk}", f"write -P {byte} 0 64k")
        assert done.returncode == 0, done.stdout + done.stderr

    def holds(self, path: Path, byte: int) -> bool:
        """Whether that was written there last."""
        done = self._io(path, f"read -P {byte} 0 64k")
        told = done.stdout + done.stderr
        assert done.returncode == 0 or "verification failed" in told, told
        return done.returncode == 0 and "verification failed" not in told

    def source(self, image: int) -> Path:
        """An image's file; it is READY."""
        body = self.cloud.body("image", image)
        assert body.findtext("STATE") in ("1", "2", "8"), body.findtext("TEMPLATE/ERROR")
        return Path(body.findtext("SOURCE", ""))

    @staticmethod
    def _io(path: Path, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["qemu-io", "-f", str(facts(path)["format"]), "-c", command, str(path)],
                              capture_output=True, text=True)


def facts(path: Path) -> dict[str, Any]:
    """What qemu-img says of a file."""
    done = subprocess.run(["qemu-img", "info", "-U", "--output=json", str(path)], check=True, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def mb(path: Path) -> int:
    """The size that a guest sees."""
    return int(facts(path)["virtual-size"]) >> 20


KINDS = [("qcow2", "raw", True), ("shared", "qcow2", True), ("ssh", "qcow2", False)]
MORE = [("qcow2", "qcow2", False), ("shared", "raw", False), ("ssh", "raw", True)]


@pytest.mark.parametrize(("tm", "form", "persistent"), [*KINDS, *MORE] if LONG else KINDS)
def test_a_disks_life(make_cloud: MakeCloud, tm: str, form: str, persistent: bool) -> None:
    """Attached, kept as snapshots, grown, back, saved as images, detached, saved home: each byte where it should be."""
    cloud = make_cloud({"defaults": {"system_tm": tm}})
    place = Place(cloud, form, persistent)
    second = place.make_image()
    place.do("attach", f"DISK=[IMAGE_ID={second}]")
    place.do("attach", "DISK=[TYPE=fs,SIZE=3]")
    assert [d.name for d in sorted(place.dir.glob("disk.?"))] == ["disk.0", "disk.1", "disk.2"]
    place.write(1, 9)

    place.write(0, 1)
    assert place.do("disksnapshotcreate", 0, "one") == 0
    place.write(0, 2)
    assert place.do("disksnapshotcreate", 0, "two") == 1
    place.write(0, 3)
    place.do("diskresize", 0, "8")
    assert mb(place.dir / "disk.0") == 8
    images = {snapshot: place.do("disksaveas", 0, unique("copy"), "", snapshot) for snapshot in (-1, 0, 1)}
    for snapshot, byte in ((-1, 3), (0, 1), (1, 2)):
        copy = place.source(images[snapshot])
        assert place.holds(copy, byte) and "backing-filename" not in facts(copy)
        assert mb(copy) == int(cloud.body("image", images[snapshot]).findtext("SIZE", ""))
    place.do("disksnapshotrevert", 0, 0)
    assert place.holds(place.dir / "disk.0", 1) and mb(place.dir / "disk.0") == 8
    place.do("disksnapshotdelete", 0, 1)
    assert place.holds(place.dir / "disk.0", 1)
    place.write(0, 4)

    place.do("diskresize", 1, "9")
    place.do("detach", 1)
    place.do("detach", 2)
    assert [d.name for d in sorted(place.dir.glob("disk.?"))] == ["disk.0"]
    body = cloud.body("image", second)
    assert (body.findtext("STATE"), body.findtext("SIZE")) == ("1", "9" if persistent else "4")
    assert mb(place.source(second)) == (9 if persistent else 4) and place.holds(place.source(second), 9) == persistent

    cloud.client.call("one.vm.action", "undeploy", place.vm)
    cloud.wait_vm(place.vm, "UNDEPLOYED")
    place.do("diskresize", 0, "12", state="UNDEPLOYED")
    away = place.do("disksaveas", 0, unique("copy"), "", -1, state="UNDEPLOYED")
    assert place.holds(place.source(away), 4) and mb(place.source(away)) == 12
    assert vector(cloud.body("vm", place.vm), "TEMPLATE/DISK")["SIZE"] == "12"
    cloud.client.call("one.vm.action", "terminate", place.vm)
    cloud.wait_vm(place.vm, "DONE")
    assert not place.dir.exists()
    assert place.holds(place.source(place.image), 4) == persistent
    assert mb(place.source(place.image)) == (12 if persistent else 4)
    assert cloud.body("image", place.image).findtext("SIZE") == ("12" if persistent else "4")
