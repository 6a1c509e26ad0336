"""A guest of one boot sector: it runs at once, in 16 MB, and powers off when its button is pressed (kvm_ground.py)."""
from __future__ import annotations

from pathlib import Path

from bed_cloud import BedCloud
from cloud_process import template
from kvm_ground import BUTTON


def button_image(cloud: BedCloud, directory: Path) -> int:
    """Its image in the cloud, READY."""
    path = directory / "button.raw"
    path.write_bytes((BUTTON.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
    return cloud.add_image("button", path, DRIVER="raw", FORMAT="raw")


def button_vm(cloud: BedCloud, name: str, image: int, host: int, datastore: int = 0, **disk: object) -> int:
    """A VM of it, deployed on HOST by hand; DISK are more attributes of its disk."""
    oid = cloud.client.number("one.vm.allocate", template(
        {"NAME": name, "CPU": "0.01", "MEMORY": "16", "DISK": {"IMAGE_ID": image, **disk},
         "GRAPHICS": {"TYPE": "NONE"}}), True)
    cloud.deploy_on(oid, host, datastore)
    return oid
