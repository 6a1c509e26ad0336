"""Readings of /proc: what a process, its children and the rest of the machine use; and a meter over a measurement."""
from __future__ import annotations

import os
import time
from pathlib import Path

CLOCK = os.sysconf("SC_CLK_TCK")
QUIET_SHARE = 0.15


def _stat(pid: int | str) -> list[str]:
    """The fields of /proc/PID/stat after the name; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2:].split()


def tree(pid: int) -> list[int]:
    """PID and all its descendants."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        if fields := _stat(name):
            children.setdefault(int(fields[1]), []).append(int(name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its children that have ended."""
    return sum(map(int, _stat(pid)[11:15])) / CLOCK


def tree_cpu_seconds(pid: int) -> float:
    """The same of a process and all its descendants."""
    return sum(map(cpu_seconds, tree(pid)))


def _line(pid: int, file: str, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name + ":")), 0)


def rss_mb(pid: int) -> float:
    """Resident memory in MB."""
    return _line(pid, "status", "VmRSS") / 1024


def peak_rss_mb(pid: int) -> float:
    """The most resident memory that it ever had, in MB."""
    return _line(pid, "status", "VmHWM") / 1024


def written_bytes(pid: int) -> int:
    """Bytes that the process caused to be written to disks (nothing on tmpfs)."""
    return _line(pid, "io", "write_bytes")


def busy_seconds() -> float:
    """CPU time that this machine has spent on anything, all cores together."""
    times = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]))
    return (sum(times) - times[3] - times[4]) / CLOCK


def wait_until_quiet(seconds: float, pid: int | None) -> None:
    """Wait, at most so long, until all but the server PID use less than 0.15 of a core for a second."""
    def others() -> float:
        return busy_seconds() - (tree_cpu_seconds(pid) if pid else 0)

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = others()
        time.sleep(1)
        if others() - before < QUIET_SHARE:
            return


def own_cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


class Meter:
    """Over a `with` block: wall time, CPU of client, server and others, bytes that the server wrote."""

    def __init__(self, pid: int | None = None, quiet: float = 0) -> None:
        self._pid, self._quiet = pid, quiet
        self.wall = 0.0

    def __enter__(self) -> Meter:
        if self._quiet:
            wait_until_quiet(self._quiet, self._pid)
        self._begun, self._before = time.perf_counter(), self._read()
        return self

    def __exit__(self, *error: object) -> None:
        self.wall = time.perf_counter() - self._begun
        spent = [now - then for now, then in zip(self._read(), self._before, strict=True)]
        self.client, busy, self.server, self.tree, self.written = spent
        self.other = busy - self.client - max(self.tree, self.server)

    def _read(self) -> list[float]:
        pid = self._pid
        server = [cpu_seconds(pid), tree_cpu_seconds(pid), written_bytes(pid)] if pid else [0.0, 0.0, 0]
        return [own_cpu_seconds(), busy_seconds(), *server]

    def figures(self, n: int = 0) -> dict[str, float]:
        """The readings; with N, the number of calls, also rate and CPU a call."""
        found = {"wall_s": round(self.wall, 3), "client_cpu_s": round(self.client, 3),
                 "server_cpu_s": round(self.server, 3), "server_tree_cpu_s": round(self.tree, 3),
                 "other_cpu_s": round(self.other, 2), "server_write_mb": round(self.written / 1e6, 2)}
        if n:
            found |= {"n": n, "rate": round(n / self.wall, 1),
                      "server_cpu_ms_per": round(1000 * self.server / n, 3),
                      "client_cpu_ms_per": round(1000 * self.client / n, 3)}
        return found
