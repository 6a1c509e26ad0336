"""When a host counts as a KVM host: proved by a guest, for the kernel that runs now, and never before."""
from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("libvirt")

from drivers.base import Permanent, Temporary
from drivers.context import Kept
from drivers.vm import hypervisor

HOST = {"id": 4, "name": "node/1"}
SOURCE = Path(hypervisor.__file__).with_name("proof.s")


class FakeHost:
    """A host with or without /dev/kvm on which the proof says SAID, or fails."""

    def __init__(self, said: str | None, device: bool = True) -> None:
        self.said, self.device = said, device
        self.kernel = "6.1"
        self.files: dict[str, bytes] = {}

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> str:
        if argv[0] == "rm":
            self.files.pop(argv[-1])
            return ""
        if self.said is None:
            raise Permanent("killed by SIGKILL")
        return self.said

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self.files[path] = data

    def read(self, path: str) -> bytes:
        return f"{self.kernel}\n".encode()

    def exists(self, path: str) -> bool:
        return self.device and path == "/dev/kvm"


@pytest.mark.parametrize(("host", "proved"), [
    (FakeHost("LTRC\n"), True), (FakeHost("L"), False), (FakeHost(None), False),
    (FakeHost("LTRC", device=False), False),
])
def test_only_a_guest_that_does_all_is_a_proof(host: FakeHost, proved: bool) -> None:
    assert hypervisor.prove(host) is proved
    assert host.files == {}


def test_a_host_that_is_lost_meanwhile_proves_nothing(tmp_path: Path) -> None:
    class Lost(FakeHost):
        def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> str:
            raise Temporary("the connection was lost")

    class Context:
        home, settings, lasting = tmp_path, dict[str, Any](), staticmethod(lambda host: host["executor"])
        keep = Kept().get

    ctx: Any = Context()
    lost, sound = Lost("LTRC"), FakeHost("LTRC")
    for number, executor in enumerate([lost, sound]):
        hypervisor.prove_in_background(ctx, {"id": number, "name": "n", "executor": executor})
    until = time.monotonic() + 40
    while not (kept := list(tmp_path.glob("hypervisor/*.json"))) and time.monotonic() < until:
        time.sleep(0.01)
    assert [path.name for path in kept] == ["n-1.json"]


def test_a_verdict_is_for_one_start_of_one_kernel(tmp_path: Path) -> None:
    host = FakeHost("LTRC")
    assert hypervisor.verdict(tmp_path, HOST, host) is None
    hypervisor.record(tmp_path, HOST, host, "kvm")
    assert hypervisor.verdict(tmp_path, HOST, host) == "kvm"
    assert hypervisor.verdict(tmp_path, {"id": 5, "name": "other"}, host) is None
    host.kernel = "6.2"
    assert hypervisor.verdict(tmp_path, HOST, host) is None


def test_a_torn_verdict_is_none(tmp_path: Path) -> None:
    hypervisor.record(tmp_path, HOST, FakeHost(""), "kvm")
    for kept in (tmp_path / "hypervisor").iterdir():
        kept.write_text('{"hyper')
    assert hypervisor.verdict(tmp_path, HOST, FakeHost("")) is None


@pytest.mark.skipif(not shutil.which("as") or not shutil.which("objcopy"), reason="needs binutils")
def test_the_boot_sector_is_its_source(tmp_path: Path) -> None:
    subprocess.run(["as", "--64", str(SOURCE), "-o", str(tmp_path / "o")], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", str(tmp_path / "o"), str(tmp_path / "bin")], check=True)
    assert (tmp_path / "bin").read_bytes() == hypervisor.boot_sector()
