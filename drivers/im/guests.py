"""Samples of the domains on a host: libvirt's counters as what the core keeps of a VM.  Pure but for remembering."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from drivers.vm.stats import Domain
from onecore.wire.messages import Doc

_PAUSED = (3, 7)
_DISK = re.compile(r"/disk\.(\d+)\Z")
_MB = 1 << 20


class CpuUse:
    """CPU percent of each domain from its CPU time now and at the sample before."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, int], tuple[float, int]] = {}

    def percent(self, domains: Iterable[Domain], now: float) -> dict[str, float]:
        """Percent of a core by domain name; 0 for one seen the first time.  NOW in seconds of any steady clock."""
        times = {(d.name, d.run): (now, int(d.stats.get("cpu.time", 0))) for d in domains}
        used = {key[0]: _percent(self._before.get(key), at) for key, at in times.items()}
        self._before = times
        return used


def _percent(before: tuple[float, int] | None, now: tuple[float, int]) -> float:
    if before is None or now[0] <= before[0]:
        return 0.0
    return round(max(0, now[1] - before[1]) / 1e7 / (now[0] - before[0]), 2)


def sample(domain: Domain, cpu: float) -> Doc:
    """What the core gets of one domain; id -1 and its name for one that is not ours."""
    stats = domain.stats
    return {"id": domain.vm, "generation": domain.generation, "deploy_id": domain.name,
            "state": "suspended" if stats.get("state.state") in _PAUSED else "running", "cpu": cpu,
            "memory_kb": int(stats.get("balloon.rss") or stats.get("balloon.current") or 0),
            "netrx": _sum(stats, "net", "rx.bytes"), "nettx": _sum(stats, "net", "tx.bytes"),
            "diskrdbytes": _sum(stats, "block", "rd.bytes"), "diskwrbytes": _sum(stats, "block", "wr.bytes"),
            "diskrdiops": _sum(stats, "block", "rd.reqs"), "diskwriops": _sum(stats, "block", "wr.reqs"),
            "disk_size": disk_sizes(stats)}


def disk_sizes(stats: Mapping[str, Any]) -> list[Doc]:
    """MB that each disk's file takes on the host, by DISK_ID."""
    found = []
    for index in range(int(stats.get("block.count", 0))):
        match = _DISK.search(str(stats.get(f"block.{index}.path") or ""))
        if match:
            size = int(stats.get(f"block.{index}.physical") or stats.get(f"block.{index}.allocation") or 0)
            found.append({"id": int(match.group(1)), "size_mb": -(-size // _MB)})
    return found


def _sum(stats: Mapping[str, Any], group: str, counter: str) -> int:
    count = int(stats.get(f"{group}.count", 0))
    return sum(int(stats.get(f"{group}.{index}.{counter}") or 0) for index in range(count))
