"""A tiny guest by hand on a host of the test-bed: its image, its context CD, its domain."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from bed import Bed, Node

MAC = "02:00:0a:00:00:01"


def image() -> Path:
    """The tiny guest's disk; skips where it was not made."""
    path = Path(os.environ.get("ONECORE_GUEST") or Path(__file__).parents[2] / "build" / "guest") / "tiny.qcow2"
    if not path.exists():
        pytest.skip(f"no guest image: scripts/guest-image.sh {path.parent}")
    return path


def boot(bed: Bed, node: Node, name: str, address: str) -> None:
    """Start a guest on a node, with a disk on the shared datastore and an address from its context."""
    directory = bed.datastores / "0" / name
    (directory / "cd").mkdir(parents=True)
    base = ["-F", "qcow2", "-b", str(bed.datastores / "1" / "tiny")]
    (bed.datastores / "1" / "tiny").write_bytes(image().read_bytes())
    (directory / "cd" / "context.sh").write_text(
        f"ETH0_MAC='{MAC}'\nETH0_IP='{address}'\nETH0_MASK='255.255.255.0'\nSET_HOSTNAME='{name}'\n")
    (directory / "domain.xml").write_text(_domain(name, directory))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *base, directory / "disk.0"], check=True)
    subprocess.run(["genisoimage", "-quiet", "-V", "CONTEXT", "-J", "-R", "-o", directory / "disk.1",
                    directory / "cd"], check=True)
    node.run("virsh", "-q", "-c", "qemu:///system", "create", str(directory / "domain.xml"))


def _domain(name: str, directory: Path) -> str:
    return f"""<domain type='qemu'><name>{name}</name><memory unit='MiB'>112</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{directory}/disk.0'/>
<target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{directory}/disk.1'/>
<target dev='hda' bus='ide'/><readonly/></disk>
<interface type='bridge'><source bridge='onebr'/><mac address='{MAC}'/><model type='virtio'/>
<target dev='{name}-0'/></interface><serial type='pty'/><memballoon model='none'/></devices></domain>"""
