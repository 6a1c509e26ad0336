"""fence/lease: what a lock of QEMU looks like, which disks tell something, and which file systems are believed."""
from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from fencing_ground import fence, host

from drivers.context import Running
from drivers.fencing.locks import is_locked, main
from onecore.wire.messages import Doc, Result

needs_qemu = pytest.mark.skipif(which("qemu-io") is None, reason="qemu-io is not installed (Debian package qemu-utils)")
HOLD = """
import fcntl, struct, sys
file = open(sys.argv[1], "r+b")
fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, int(sys.argv[2]), 1, 0))
print(flush=True)
sys.stdin.read()
"""


def _vm(directory: Path, *disks: dict[str, str]) -> Doc:
    """VM 12 with a file for each disk."""
    place = directory / "datastores" / "0" / "12"
    place.mkdir(parents=True, exist_ok=True)
    given = [{"DISK_ID": str(number), "TYPE": "FILE", **disk} for number, disk in enumerate(disks)]
    for disk in given:
        (place / f"disk.{disk['DISK_ID']}").write_bytes(bytes(1 << 16))
    return {"id": 12, "dir": str(place), "disks": given}


def _fence(directory: Path, *vms: Doc, **settings: Any) -> Result:
    there = subprocess.check_output(["findmnt", "-n", "-o", "FSTYPE", "--target", str(directory)], text=True).strip()
    return fence(directory, "lease", host(), list(vms), **{"settle": 0, "file_systems": [there], **settings})


@contextmanager
def _held(path: Path, byte: int = 101) -> Iterator[None]:
    """Another process holds a lock as QEMU does."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(byte)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"\n"
    try:
        yield
    finally:
        holder.communicate()


def test_free_disks_mean_that_nothing_runs(tmp_path: Path) -> None:
    """All of them, for as long as the settings say."""
    began = time.monotonic()
    assert _fence(tmp_path, _vm(tmp_path, {}, {}), settle=0.3).ok and time.monotonic() - began >= 0.3


def test_a_disk_that_is_held_is_a_vm_that_runs(tmp_path: Path) -> None:
    """Any of the VM's; it is named."""
    vm = _vm(tmp_path, {}, {})
    with _held(Path(vm["dir"]) / "disk.1"):
        assert _fence(tmp_path, vm).error == "VMs 12 still hold their disks"
    result = _fence(tmp_path, vm)
    assert result.ok and not result.data, "it tells of these VMs, not of the whole host"


def test_a_lock_that_comes_back_while_it_settles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file server that was started again has no locks for a while."""
    vm, sleep = _vm(tmp_path, {}), Running.sleep
    with ExitStack() as locks:
        def come_back(ctx: Running, seconds: float) -> None:
            locks.enter_context(_held(Path(vm["dir"]) / "disk.0"))
            sleep(ctx, seconds)
        monkeypatch.setattr(Running, "sleep", come_back)
        assert "still hold" in _fence(tmp_path, vm, settle=0.3).error


def test_the_image_behind_a_link_is_what_is_tested(tmp_path: Path) -> None:
    """A persistent disk is a link to its image."""
    vm, image = _vm(tmp_path, {"SAVE": "YES"}), tmp_path / "image"
    image.write_bytes(bytes(4096))
    disk = Path(vm["dir"]) / "disk.0"
    disk.unlink()
    disk.symlink_to(image)
    with _held(image):
        assert "still hold" in _fence(tmp_path, vm).error


def test_other_bytes_are_no_writers(tmp_path: Path) -> None:
    """Somebody reads the file, or only keeps others from writing."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(4096))
    for byte in (100, 102, 201):
        with _held(path, byte):
            assert not is_locked(str(path))


@pytest.mark.parametrize(("disks", "says"), [
    ([], "VM 12 has no disk that it writes to"),
    ([{"TYPE": "CDROM"}, {"READONLY": "YES"}], "VM 12 has no disk that it writes to"),
    ([{"CACHE": "unsafe"}], "disk 0 of VM 12 has CACHE = unsafe")])
def test_disks_that_tell_nothing(tmp_path: Path, disks: list[dict[str, str]], says: str) -> None:
    """Another VM's free disks do not make up for them."""
    assert says in _fence(tmp_path, _vm(tmp_path, *disks)).error


def test_a_disk_that_is_not_there(tmp_path: Path) -> None:
    """Nobody knows what its VM does."""
    vm = _vm(tmp_path, {}, {})
    (Path(vm["dir"]) / "disk.1").unlink()
    assert "disk.1 is not there" in _fence(tmp_path, vm).error


def test_only_some_file_systems_are_believed(tmp_path: Path) -> None:
    """The one under the disks must be among them."""
    error = fence(tmp_path, "lease", host(), [_vm(tmp_path, {})], settle=0, file_systems=["nfs4"]).error
    assert "whose locks tell nothing of other hosts; file_systems in [drivers.lease] are nfs4" in error
    assert "are nfs4, ceph, gfs2" in fence(tmp_path, "lease", host(), [_vm(tmp_path, {})], settle=0).error


def test_a_file_that_cannot_be_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Is an error, not a free disk."""
    assert main([str(tmp_path / "none")]) == 1 and "No such file" in capsys.readouterr().err


@needs_qemu
@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_the_lock_of_a_real_qemu(tmp_path: Path, form: str) -> None:
    """As long as it has the disk open for writing, and not when it only reads."""
    vm = _vm(tmp_path, {})
    disk = f"{vm['dir']}/disk.0"
    subprocess.run(["qemu-img", "create", "-q", "-f", form, disk, "1M"], check=True)
    for options, held in (([], True), (["-r"], False)):
        qemu = subprocess.Popen(["qemu-io", *options, "-f", form, disk], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert qemu.stdin is not None and qemu.stdout is not None
        qemu.stdin.write(b"length\n")
        qemu.stdin.flush()
        qemu.stdout.readline()
        try:
            assert _fence(tmp_path, vm).ok is not held
        finally:
            qemu.communicate(b"quit\n", timeout=40)
    assert _fence(tmp_path, vm).ok
