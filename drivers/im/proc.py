"""Pure parsers of what a Linux host tells about itself: /proc files, df, the list of its network devices."""
from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

FILES = ("/proc/stat", "/proc/meminfo", "/proc/net/dev", "/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU time since the host started, in ticks: all of it, what was used, and how many CPUs there are."""

    total: int
    used: int
    cpus: int


def split_files(text: str) -> dict[str, str]:
    """The files that `tail -v -n +1 FILE...` printed, by name."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("==> ") and line.endswith(" <=="):
            lines = found.setdefault(line[4:-4], [])
        else:
            lines.append(line)
    return {name: "\n".join(content) for name, content in found.items()}


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
        name, colon, counters = line.partition(":")
        if colon and name.strip() in devices:
            words = counters.split()
            received, sent = received + int(words[0]), sent + int(words[8])
    return received, sent


def physical_devices(listed: str) -> frozenset[str]:
    """Network devices that are not the kernel's own (bridge, tap, lo), of lines `name TAB link in /sys/class/net`."""
    pairs = (line.partition("\t") for line in listed.splitlines())
    return frozenset(name for name, _, link in pairs if link and "/virtual/" not in link)


def cpu_model(cpuinfo: str) -> tuple[str, str]:
    """/proc/cpuinfo: name of the model and MHz, '' where the architecture does not tell."""
    rows = [line.partition(":") for line in cpuinfo.splitlines()]
    known = {name.strip(): value.strip() for name, _, value in reversed(rows)}
    return known.get("model name", ""), known.get("cpu MHz", "").partition(".")[0]


def disk_space(df: str) -> list[tuple[int, int, int]]:
    """`df -P -k`: total, used and free MB of each path asked for."""
    rows = [line.split() for line in df.splitlines()[1:]]
    return [(int(row[-5]) // 1024, int(row[-4]) // 1024, int(row[-3]) // 1024) for row in rows]
