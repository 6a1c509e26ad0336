"""Figures of latencies, and the JSON line that each measurement prints."""
from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from bench.endpoint.options import Options
from bench.endpoint.probes import rss_mb


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that PERCENT of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(percent / 100 * len(ordered)))]


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99, mean and worst in ms; nothing when there was no call."""
    if not seconds:
        return {}
    found = {f"p{p}_ms": percentile(seconds, p) for p in (50, 90, 99)}
    found |= {"mean_ms": statistics.mean(seconds), "max_ms": max(seconds)}
    return {name: round(1000 * value, 3) for name, value in found.items()}


def emit(options: Options, what: str, **fields: object) -> None:
    """Print a measurement as a line of JSON, and append it to --out."""
    found: dict[str, object] = {"what": what, "label": options.label, "t": time.strftime("%H:%M:%S"), **fields}
    if options.pid:
        found["rss_mb"] = round(rss_mb(options.pid), 1)
    if options.db and os.path.exists(options.db):
        found["db_mb"] = round(os.path.getsize(options.db) / 1e6, 2)
    found["load1"] = round(os.getloadavg()[0], 2)
    line = json.dumps(found)
    print(line, flush=True)
    if options.out:
        with Path(options.out).open("a") as out:
            out.write(line + "\n")
