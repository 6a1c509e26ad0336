"""What a host's own files say: parsed, and made into the host part of a sample."""
from __future__ import annotations

import pytest

from drivers.im import proc

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


def test_traffic_is_of_the_devices_asked_for() -> None:
    devices = proc.physical_devices(
        "lo\t../../devices/virtual/net/lo\neth0\t../../devices/pci0/net/eth0\neth1\t../../devices/pci1/net/eth1\n"
        "one-1-0\t../../devices/virtual/net/one-1-0\nbonding_masters\t\n")
    assert devices == {"eth0", "eth1"}
    assert proc.traffic(NET, devices) == (1010, 2020)


def test_the_model_is_the_first_processors() -> None:
    assert proc.cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\ncpu MHz\t\t: 2596.120\n\nprocessor\t: 1\n"
                          "model name\t: Other\ncpu MHz\t\t: 1.0\n") == ("AMD EPYC", "2596")
    assert proc.cpu_model("processor : 0\nBogoMIPS : 50.00\n") == ("", "")


def test_files_printed_together_come_apart() -> None:
    assert proc.split_files("==> /a <==\none\ntwo\n\n==> /b <==\n\n==> /c <==\nthree") == {
        "/a": "one\ntwo\n", "/b": "", "/c": "three"}


@pytest.mark.parametrize("name", ["/dev/vda", "/dev/a name with blanks"])
def test_space_is_in_mb(name: str) -> None:
    df = f"Filesystem 1024-blocks Used Available Capacity Mounted on\n{name} 264212084 23546248 82844664 23% /\n"
    assert proc.disk_space(df) == [(258019, 22994, 80902)]
