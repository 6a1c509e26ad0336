"""What a guest of the tests on this machine writes to its disk, by QEMU's hand, and what its files hold."""
from __future__ import annotations

import subprocess

_DEVICE = "/machine/peripheral/virtio-disk0/virtio-backend"
_AT, _SIZE = 512 << 10, 64 << 10


def guest_writes(number: int, value: int) -> None:
    """The running guest of a VM writes VALUE to its first disk."""
    for command in (f"write -P {value} {_AT} {_SIZE}", "flush"):
        said = _monitor(number, "--hmp", f'qemu-io -d {_DEVICE} "{command}"')
        assert not said.strip(), said


def file_reads(path: str) -> int:
    """What a guest would read there from a qcow2 file, and what that stands on."""
    said = subprocess.run(["qemu-io", "-r", "-U", "-f", "qcow2", "-c", f"read -v {_AT} 512", path], check=True,
                          capture_output=True, text=True).stdout
    return int(said.split(":")[1].split()[0], 16)


def _monitor(number: int, *argv: str) -> str:
    return subprocess.run(["virsh", "-q", "-c", "qemu:///system", "qemu-monitor-command", f"one-{number}", *argv],
                          check=True, capture_output=True, text=True).stdout
