"""What a Linux host tells about itself: CPU, memory and traffic, from /proc and /sys."""
from __future__ import annotations

import os
import platform
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from drivers.hand.failure import os_failures
from drivers.hand.wire import Doc

NET = "/sys/class/net"
_SPEED = "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"


class CpuTime(NamedTuple):
    """CPU time since the host started, in ticks: all of it, what was used, and how many CPUs there are."""

    total: int
    used: int
    cpus: int


class Machine:
    """The host's part of samples; what cannot change while it runs is read once."""

    def __init__(self) -> None:
        self.running = started()
        model, speed = cpu_model(read("/proc/cpuinfo"))
        with suppress(OSError, ValueError), open(_SPEED) as file:
            speed = str(int(file.read()) // 1000)
        self._attributes = {"MODELNAME": model, "CPUSPEED": speed}
        self._before: CpuTime | None = None

    def take(self) -> Doc:
        """Capacity and use now: percent of a core since the sample before, KB, bytes."""
        now = cpu_time(read("/proc/stat"))
        total_kb, free_kb = memory_kb(read("/proc/meminfo"))
        received, sent = traffic(read("/proc/net/dev"), physical_devices())
        total, used = 100 * now.cpus, used_cpu(now, self._before)
        self._before = now
        return {"python": platform.python_version(), "total_cpu": total, "used_cpu": used, "free_cpu": total - used,
                "total_mem_kb": total_kb, "used_mem_kb": total_kb - free_kb, "free_mem_kb": free_kb,
                "netrx": received, "nettx": sent, "attrs": self._attributes}


def started() -> list[str]:
    """What tells one start of a host from another: boot id and kernel."""
    return [read("/proc/sys/kernel/random/boot_id").strip(), read("/proc/sys/kernel/osrelease").strip()]


def read(path: str) -> str:
    """A small file."""
    with os_failures(path), open(path, errors="replace") as file:
        return file.read()


def cpu_time(stat: str) -> CpuTime:
    """/proc/stat: a CPU that does nothing or waits for a disk is not used; guests' time is in the users' already."""
    rows = [line.split() for line in stat.splitlines() if line.startswith("cpu")]
    ticks = [int(word) for word in rows[0][1:9]]
    return CpuTime(sum(ticks), sum(ticks) - ticks[3] - ticks[4], len(rows) - 1)


def used_cpu(now: CpuTime, before: CpuTime | None) -> int:
    """Percent of a core used since BEFORE, or since the host started."""
    total = now.total - (before.total if before else 0)
    used = now.used - (before.used if before else 0)
    return round(100 * now.cpus * min(max(used, 0), total) / total) if total > 0 else 0


def memory_kb(meminfo: str) -> tuple[int, int]:
    """/proc/meminfo: total and available KB."""
    rows = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    return int(rows["MemTotal"].split()[0]), int(rows["MemAvailable"].split()[0])


def traffic(net_dev: str, devices: Collection[str]) -> tuple[int, int]:
    """/proc/net/dev: bytes received and sent by DEVICES."""
    received = sent = 0
    for line in net_dev.splitlines():
        name, colon, numbers = line.partition(":")
        if colon and name.strip() in devices:
            words = numbers.split()
            received, sent = received + int(words[0]), sent + int(words[8])
    return received, sent


def physical_devices(directory: str = NET) -> frozenset[str]:
    """Network devices that are not the kernel's own (bridge, tap, lo)."""
    return frozenset(entry.name for entry in os.scandir(directory) if entry.is_symlink() and _is_physical(entry.path))


def _is_physical(path: str) -> bool:
    """False for a device that goes just now, too: a guest's network cards end at any moment."""
    try:
        return "/virtual/" not in os.readlink(path)
    except OSError:
        return False


def cpu_model(cpuinfo: str) -> tuple[str, str]:
    """/proc/cpuinfo: name of the model and MHz, '' where the architecture does not tell."""
    rows = [line.partition(":") for line in cpuinfo.splitlines()]
    known = {name.strip(): value.strip() for name, _, value in reversed(rows)}
    return known.get("model name", ""), known.get("cpu MHz", "").partition(".")[0]
