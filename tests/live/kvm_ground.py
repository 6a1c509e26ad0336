"""What tests of the KVM drivers stand on: guests of one boot sector that start at once, on a libvirt that answers.

The guest says U on its serial port, then sleeps; it gives up PCI devices when it is asked to, and powers off when its
ACPI power button is pressed:

    cli; ds = ss = 0; sp = 0x7c00; out 0x602, 0x100 (power button enabled); out 0x3f8, 'U', '\\n'
    out 0xae10, 0 (the root bus); sti
    loop: hlt; in eax, 0xae04 (slots to give up); test eax, eax; jz on; out 0xae08, eax (given up)
    on: in ax, 0x600; test ah, 1; jz loop; out 0x604, 0x2000 (soft off); jmp loop
"""
from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import libvirtd
import pytest

from onecore.wire.messages import Doc

BRIDGE = "onectest0"
BUTTON = bytes.fromhex("fa31c08ed88ed0bc007cba0206b80001efbaf803b055eeb00aeeba10ae6631c066effb"
                       "f4ba04ae66ed6685c07405ba08ae66efba0006edf6c40174e7ba0406b80020efebde")
_LOCK = "/run/onecore-kvm-tests.lock"


def host() -> Doc:
    """This machine."""
    return {"id": 5, "name": "localhost", "im_mad": "kvm", "vm_mad": "kvm", "attrs": {}}


def vm(home: Path, number: int) -> Doc:
    """A VM whose disk lies in its directory, with a NIC in a bridge of the tests' own."""
    directory = home / "datastores" / "0" / str(number)
    directory.mkdir(parents=True, exist_ok=True)
    sector = BUTTON.ljust(510, b"\0") + b"\x55\xaa"
    (directory / "disk.0").write_bytes(sector.ljust(1 << 20, b"\0"))
    disk = {"DISK_ID": "0", "TYPE": "FILE", "IMAGE_ID": "1", "SOURCE": "/nowhere", "FORMAT": "raw", "CLONE": "NO",
            "TARGET": "vda", "DEV_PREFIX": "vd"}
    nic = {"NIC_ID": "0", "VN_MAD": "bridge", "BRIDGE": BRIDGE, "MAC": f"02:00:c0:a8:7b:{number % 256:02x}"}
    return {"id": number, "name": f"vm{number}", "generation": 1, "deploy_id": "", "dir": str(directory),
            "uuid": f"6f2f7a0e-0c3c-4d5e-9d0a-{number:012d}",
            "cpu": 0.1, "vcpu": 1, "memory_mb": 16, "attrs": {"GRAPHICS": {"TYPE": "NONE"}}, "disks": [disk],
            "nics": [nic], "user": {}, "context": {}, "context_disk": None, "context_files": []}


def with_qcow2(machine: Doc) -> Doc:
    """The VM with its disk in a qcow2 file, which may hold snapshots."""
    path = f"{machine['dir']}/disk.0"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", path, f"{path}.qcow2"], check=True)
    os.replace(f"{path}.qcow2", path)
    return {**machine, "disks": [{**machine["disks"][0], "FORMAT": "qcow2"}]}


def add_disk(machine: Doc, number: int) -> Doc:
    """A disk more for a VM, of 1 MB; it is not among the VM's disks yet."""
    Path(machine["dir"], f"disk.{number}").write_bytes(bytes(1 << 20))
    return {"DISK_ID": str(number), "TYPE": "fs", "SIZE": "1", "FORMAT": "raw", "TARGET": "vdb", "DEV_PREFIX": "vd"}


def store(path: Path, tm_mad: str = "shared") -> Doc:
    """The system datastore at a path; its name is its number."""
    return {"id": int(path.name), "name": path.name, "type": 1, "ds_mad": "", "tm_mad": tm_mad, "attrs": {},
            "base_path": str(path), "shared": tm_mad == "shared"}


def parts(xml: str) -> Doc:
    """What a guest has, by its domain's XML: `disks` and `nics` (ids), `vcpu`, `dir`."""
    root = ElementTree.fromstring(xml)
    files = [Path(node.attrib["file"]) for node in root.findall("devices/disk/source") if "file" in node.attrib]
    most = root.find("vcpu")
    assert most is not None
    return {"disks": sorted(file.name.removeprefix("disk.") for file in files), "dir": str(files[0].parent),
            "nics": sorted(node.attrib["dev"].rpartition("-")[2] for node in root.findall("devices/interface/target")),
            "vcpu": int(most.get("current") or most.text or 0)}


def pid_of(number: int) -> int:
    """The QEMU of VM number."""
    return int(Path(f"/run/libvirt/qemu/one-{number}.pid").read_text())


def kill(number: int) -> None:
    """End the guest behind everybody's back."""
    end_process(pid_of(number))


def end_process(pid: int) -> None:
    """Kill a QEMU."""
    os.kill(pid, signal.SIGKILL)


def domains(numbers: range) -> list[str]:
    """Which of these VMs have a domain, running or not."""
    listed = subprocess.run(["virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name"], capture_output=True,
                            text=True, check=True).stdout.split()
    return [f"one-{number}" for number in numbers if f"one-{number}" in listed]


@contextmanager
def alone(numbers: range) -> Iterator[None]:
    """This machine's libvirt for one test; skips where there is none, or where these VMs are somebody's."""
    libvirtd.need()
    with open(_LOCK, "w") as lock:
        _take(lock)
        if domains(numbers):
            pytest.skip(f"this machine's libvirt runs {', '.join(domains(numbers))} already")
        try:
            yield
        finally:
            for name in domains(numbers):
                subprocess.run(["virsh", "-q", "-c", "qemu:///system", "destroy", name], capture_output=True)
            if Path(f"/sys/class/net/{BRIDGE}").exists():
                subprocess.run(["ip", "link", "delete", "dev", BRIDGE], check=False)
            shutil.rmtree(f"/run/onecore/bridges/{BRIDGE}", ignore_errors=True)


def _take(lock: IO[str]) -> None:
    """Two runs of the tests at once take turns: they use the same names."""
    fcntl.flock(lock, fcntl.LOCK_EX)
