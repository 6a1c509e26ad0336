"""A Linux guest that changes while it runs, seen from inside: it has what it is given, and no byte of it is lost."""
from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kvm_ground as ground
import kvm_tiny as tiny
import pytest
from kvm_bench import Bench, until
from kvm_tiny import letters, letters_of, run, write

from drivers.token import Token

pytestmark = pytest.mark.live
ONE = 8124
SOON = 15.0
"""Seconds that the guest may take to see what it has got."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inside")


@pytest.fixture(scope="module")
def bench(home: Path) -> Iterator[Bench]:
    with ground.alone(range(ONE, ONE + 1)):
        made = Bench(home, ground.host(), hypervisor="qemu")
        yield made
        made.close()


@pytest.fixture(scope="module")
def guest(bench: Bench, home: Path) -> Any:
    """One that runs, for all tests of this file; each leaves it as it was."""
    vm = tiny.vm(home, ONE)
    tiny.boot(bench, vm)
    return vm


def test_commands_run_once_with_input_and_end(bench: Bench, guest: Any) -> None:
    assert run(bench, guest, "uname -s") == "Linux\n"
    done = bench.ok("exec", guest, command="cat; echo bad >&2; exit 3", stdin="given\n")
    assert (done["stdout"], done["stderr"], done["return_code"]) == ("given\n", "bad\n", 3)
    assert bench.ok("exec", guest, command="kill -9 $$")["return_code"] == 137
    token = Token()
    threading.Timer(1.0, token.cancel).start()
    assert bench.do("exec", guest, command="sleep 1001 & sleep 1002", token=token).cancelled
    until(lambda: "sleep" not in run(bench, guest, "ps | grep 's[l]eep' || true"), 40, "the end of both")


def test_processors_and_memory(bench: Bench, guest: Any) -> None:
    before = int(run(bench, guest, "awk '/MemTotal/ { print $2 }' /proc/meminfo"))
    bench.ok("resize", {**guest, "memory_mb": 150, "vcpu": 2})
    until(lambda: run(bench, guest, "nproc") == "2\n", SOON, "the processor")
    assert int(run(bench, guest, "awk '/MemTotal/ { print $2 }' /proc/meminfo")) > before + 30 * 1024
    assert "VCPU_MAX" in bench.do("resize", {**guest, "vcpu": 3}).error
    assert "MEMORY_MAX" in bench.do("resize", {**guest, "vcpu": 2, "memory_mb": 200}).error
    assert "emulated" in bench.do("resize", guest).error
    bench.ok("resize", {**guest, "vcpu": 2})
    assert abs(int(run(bench, guest, "awk '/MemTotal/ { print $2 }' /proc/meminfo")) - before) < 1024


def test_devices_and_context(bench: Bench, guest: Any) -> None:
    nic = {**guest["nics"][0], "NIC_ID": "1", "MAC": "02:00:c0:a8:7b:99"}
    more = {**guest, "nics": [*guest["nics"], nic], "context": {"WHAT": "it's new"}}
    bench.ok("attach_nic", more, nic_id=1)
    until(lambda: run(bench, guest, "ls /sys/class/net") == "eth0\neth1\nlo\n", SOON, "the NIC")
    read = "mkdir -p /cd; mount -t iso9660 /dev/sr0 /cd; . /cd/context.sh; umount /cd; echo $WHAT"
    assert run(bench, guest, read) == "it's new\n"
    bench.ok("detach_nic", guest, nic_id=1, nic=nic)
    assert run(bench, guest, "ls /sys/class/net") == "eth0\nlo\n"
    disk = {**ground.add_disk(guest, 3), "TARGET": "vdc"}
    bench.ok("attach_disk", {**guest, "disks": [*guest["disks"], disk]}, disk_id=3)
    bench.ok("resize_disk", guest, disk_id=3, size_mb=4)
    until(lambda: run(bench, guest, "cat /sys/block/vdb/size || true") == "8192\n", SOON, "the disk's size")
    bench.ok("detach_disk", guest, disk_id=3)
    assert run(bench, guest, "ls /dev/vd?") == "/dev/vda\n"


def test_a_system_snapshot_brings_memory_and_disks_back(bench: Bench, guest: Any) -> None:
    run(bench, guest, "echo before > /run/word; echo before > /word; sync")
    made = {"id": 5, "name": "a < b", **bench.ok("snapshot_create", guest, snapshot={"id": 5, "name": "a < b"})}
    run(bench, guest, "echo after > /run/word; echo after > /word; sync")
    bench.ok("snapshot_revert", guest, snapshot=made)
    until(lambda: bench.do("exec", guest, command="true").ok, SOON, "the agent")
    assert run(bench, guest, "cat /run/word /word") == "before\nbefore\n"
    assert "system snapshots" in bench.do("disk_snapshot_create", with_snapshots(guest, 0, [0], 0), disk_id=0,
                                          snap_id=0).error
    bench.ok("snapshot_delete", guest, snapshot=made)


def with_snapshots(vm: Any, disk: int, numbers: list[int], base: int) -> Any:
    """The VM with these snapshots of a disk in its document."""
    made = [{"id": each, "parent": -1, "name": "", "size_mb": 8} for each in numbers]
    return {**vm, "snapshots": {str(disk): {"base": base, "list": made}}}


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_no_byte_is_lost_through_disk_snapshots(bench: Bench, guest: Any, home: Path, form: str) -> None:
    disk = tiny.image_disk(home, guest, form)
    vm = {**guest, "disks": [*guest["disks"], disk]}
    bench.ok("attach_disk", vm, disk_id=2)
    until(lambda: run(bench, vm, "test -b /dev/vdb && echo yes || true") == "yes\n", SOON, "the disk")
    try:
        take_and_delete(bench, vm, form, f"{vm['dir']}/disk.2")
    finally:
        bench.ok("detach_disk", vm, disk_id=2)
    assert Path(f"{vm['dir']}/disk.2").readlink() == home / "image2"
    assert letters_of(f"{home}/image2", form) == "ABCDE"
    Path(f"{vm['dir']}/disk.2").unlink()
    shutil.rmtree(f"{vm['dir']}/disk.2.snap")


def give_up_a_copy(bench: Bench, vm: Any, path: str) -> None:
    """Whole, or left in its middle by a driver that is gone, with the guest standing still: nothing of it stays."""
    virsh = ["virsh", "-q", "-c", "qemu:///system"]
    name, copy = f"one-{ONE}", Path(f"{path}.saveas")
    bench.ok("drop_copy", vm, disk_id=2)
    assert not copy.exists()
    subprocess.run([*virsh, "blockcopy", name, "vdb", f"{copy}.tmp", "--format", "qcow2", "--transient-job"],
                   check=True)
    subprocess.run([*virsh, "suspend", name], check=True)
    assert Path(f"{copy}.tmp").exists()
    for _ in range(2):
        bench.ok("drop_copy", vm, disk_id=2)
    assert not Path(f"{copy}.tmp").exists() and letters(bench, vm) == "ABCDE"
    told = subprocess.run([*virsh, "blockjob", name, "vdb"], capture_output=True, text=True, check=True)
    assert "Copy" not in told.stdout + told.stderr


def take_and_delete(bench: Bench, vm: Any, form: str, path: str) -> None:
    """Letters are written between snapshots, which go again: from the middle, the one stood upon, and the last."""
    for number in range(3):
        write(bench, vm, "ABC"[number], number)
        bench.ok("disk_snapshot_create", with_snapshots(vm, 2, list(range(number + 1)), number), disk_id=2,
                 snap_id=number)
    write(bench, vm, "D", 3)
    assert [letters_of(f"{path}.snap/{each}", form if each == 0 else "qcow2") for each in range(3)] == [
        "A....", "AB...", "ABC.."]
    assert "cannot do without" in bench.do("disk_snapshot_delete", with_snapshots(vm, 2, [1, 2], 2), disk_id=2,
                                           snap_id=0).error
    for _ in range(2):
        bench.ok("disk_snapshot_delete", with_snapshots(vm, 2, [0, 2], 2), disk_id=2, snap_id=1)
        assert letters(bench, vm) == "ABCD."
        assert letters_of(f"{path}.snap/2", "qcow2") == "ABC.." and letters_of(path, "qcow2") == "ABCD."
    bench.ok("disk_snapshot_delete", with_snapshots(vm, 2, [0], 0), disk_id=2, snap_id=2)
    write(bench, vm, "E", 4)
    bench.ok("copy_disk", with_snapshots(vm, 2, [0], 0), disk_id=2)
    assert letters_of(f"{path}.saveas", "qcow2") == "ABCDE" == letters_of(path, "qcow2")
    give_up_a_copy(bench, vm, path)
    bench.ok("disk_snapshot_delete", with_snapshots(vm, 2, [], -1), disk_id=2, snap_id=0)
    assert letters(bench, vm) == "ABCDE"
