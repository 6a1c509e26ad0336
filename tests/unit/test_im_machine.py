"""What a host's own files say, and how much room its datastores have."""
from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from drivers.hand import probe_proc as proc
from drivers.hand import probe_space
from drivers.hand.probe_space import Spaces, capacity, nearest

STAT = """cpu  1000 10 500 8000 490 0 0 0 300 0
cpu0 500 5 250 4000 245 0 0 0 150 0
cpu1 500 5 250 4000 245 0 0 0 150 0
intr 1 2 3
"""
LATER = "cpu  1100 10 500 8290 500 0 0 0 400 0\ncpu0 1 1 1 1 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1 1 1 1 1\n"
NET = """Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 500 5 0 0 0 0 0 0 500 5 0 0 0 0 0 0
  eth0:1000 9 0 0 0 0 0 0 2000 8 0 0 0 0 0 0
  eth1: 10 9 0 0 0 0 0 0 20 8 0 0 0 0 0 0
one-1-0: 7 7 0 0 0 0 0 0 7 7 0 0 0 0 0 0
"""


def test_cpu_time_counts_guests_once_and_waiting_as_idle() -> None:
    assert proc.cpu_time(STAT) == proc.CpuTime(total=10000, used=1510, cpus=2)


def test_use_is_of_the_time_between_two_samples() -> None:
    before, now = proc.cpu_time(STAT), proc.cpu_time(LATER)
    assert proc.used_cpu(now, before) == 50
    assert proc.used_cpu(before, None) == 30
    assert proc.used_cpu(now, now) == 0


def test_use_never_leaves_its_bounds() -> None:
    assert proc.used_cpu(proc.CpuTime(100, 50, 2), proc.CpuTime(50, 60, 2)) == 0
    assert proc.used_cpu(proc.CpuTime(100, 90, 2), proc.CpuTime(50, 10, 2)) == 200


def test_memory_is_total_and_available() -> None:
    meminfo = "MemTotal:   24684100 kB\nMemFree:  1 kB\nMemAvailable:  24000000 kB\nHugePages_Total: 0\n"
    assert proc.memory_kb(meminfo) == (24684100, 24000000)


def test_traffic_is_of_physical_devices(tmp_path: Path) -> None:
    for name, link in (("lo", "virtual/net/lo"), ("eth0", "pci0/net/eth0"), ("eth1", "pci1/net/eth1"),
                       ("one-1-0", "virtual/net/one-1-0")):
        (tmp_path / name).symlink_to(f"../../devices/{link}")
    (tmp_path / "bonding_masters").touch()
    devices = proc.physical_devices(str(tmp_path))
    assert devices == {"eth0", "eth1"}
    assert proc.traffic(NET, devices) == (1010, 2020)


def test_a_device_that_goes_while_it_is_looked_at_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, link in (("eth0", "pci0/net/eth0"), ("one-1-0", "virtual/net/one-1-0")):
        (tmp_path / name).symlink_to(f"../../devices/{link}")
    read = os.readlink

    def late(path: str) -> str:
        (tmp_path / "one-1-0").unlink(missing_ok=True)
        return read(path)
    monkeypatch.setattr(os, "readlink", late)
    monkeypatch.setattr(os, "scandir", lambda directory, real=os.scandir: list(real(directory)))
    assert proc.physical_devices(str(tmp_path)) == {"eth0"}


def test_the_model_is_the_first_processors() -> None:
    assert proc.cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\ncpu MHz\t\t: 2596.120\n\nprocessor\t: 1\n"
                          "model name\t: Other\ncpu MHz\t\t: 1.0\n") == ("AMD EPYC", "2596")
    assert proc.cpu_model("processor : 0\nBogoMIPS : 50.00\n") == ("", "")


def test_a_machine_tells_what_it_used_since_it_was_asked_before() -> None:
    machine = proc.Machine()
    first, second = machine.take(), machine.take()
    assert first["total_cpu"] == second["total_cpu"] > 0 and len(machine.running) == 2
    assert 0 <= second["used_cpu"] <= second["total_cpu"]
    assert second["free_mem_kb"] + second["used_mem_kb"] == second["total_mem_kb"]


def test_room_is_that_of_the_place_where_a_datastore_will_be(tmp_path: Path) -> None:
    spaces = Spaces([{"id": 7, "base_path": str(tmp_path / "not" / "yet")}])
    assert [each["id"] for each in spaces.take(40)] == [7]
    assert nearest(str(tmp_path / "not" / "yet")) == str(tmp_path)
    found = capacity(str(tmp_path))
    assert 0 < found["free_mb"] <= found["total_mb"] and found["used_mb"] <= found["total_mb"]


def test_a_file_system_that_hangs_costs_one_thread_and_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    hung, began, calls = threading.Event(), threading.Event(), []

    def hang(path: str) -> dict[str, int]:
        calls.append(path)
        began.set()
        hung.wait()
        return {"total_mb": 1, "used_mb": 0, "free_mb": 1}
    monkeypatch.setattr(probe_space, "capacity", hang)
    spaces = Spaces([{"id": 0, "base_path": "/"}])
    assert spaces.take(0.01) == [] and began.wait(40) and spaces.take(0.01) == []
    assert calls == ["/"]
    hung.set()
    assert spaces.take(40) == [{"id": 0, "total_mb": 1, "used_mb": 0, "free_mb": 1}]
