"""Images: the type changed where it can be, and what is said of snapshots."""
from __future__ import annotations

import pytest
from api_calls import RPC_API, refused
from cloud_process import Cloud, template, unique, until


@pytest.fixture
def file(cloud: Cloud) -> int:
    """An image for files."""
    made = cloud.client.number("one.image.allocate", template(
        {"NAME": unique("file"), "TYPE": "CONTEXT", "PATH": "/etc/hostname"}), 2)
    until(10, "the file", lambda: cloud.body("image", made).findtext("STATE") == "1")
    return made


def kind_of(cloud: Cloud, image: int) -> str:
    """Its TYPE."""
    return cloud.body("image", image).findtext("TYPE") or ""


def test_types(cloud: Cloud, file: int) -> None:
    """Disks stay disks, files stay files; never while a VM has it."""
    image = cloud.make_image()
    for word, number in (("CDROM", "1"), ("datablock", "2"), ("OS", "0")):
        assert cloud.client.number("one.image.chtype", image, word) == image and kind_of(cloud, image) == number
    for word, number in (("KERNEL", "3"), ("RAMDISK", "4"), ("CONTEXT", "5")):
        cloud.client.call("one.image.chtype", file, word)
        assert kind_of(cloud, file) == number
    for oid, word in ((image, "KERNEL"), (image, "BACKUP"), (image, ""), (file, "OS")):
        assert "must be one of" in refused(cloud.client, RPC_API, "one.image.chtype", oid, word)
    vm = cloud.make_vm(image=image, hold=True)
    assert "in use" in refused(cloud.client, RPC_API, "one.image.chtype", image, "CDROM")
    assert kind_of(cloud, image) == "0"
    cloud.client.call("one.vm.action", "terminate-hard", vm)


@pytest.mark.parametrize("verb", ["delete", "revert", "flatten"])
def test_an_image_has_no_snapshots(cloud: Cloud, verb: str) -> None:
    """Its body says so, and so does the refusal, which names the snapshot."""
    image = cloud.make_image(PERSISTENT="YES")
    assert cloud.body("image", image).find("SNAPSHOTS/SNAPSHOT") is None
    assert "no snapshot 3" in refused(cloud.client, RPC_API, f"one.image.snapshot{verb}", image, 3)
