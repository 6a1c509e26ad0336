"""Memory: what the guest starts with, how far it may grow, and the balloon that tells what it uses."""
from __future__ import annotations

from drivers.vm.domain.cpu import ceiling as most_processors
from drivers.vm.domain.element import Element, Part, Property, Value, the_vm
from drivers.vm.domain.values import const, number

STATS_PERIOD = 10
"""Seconds between two reports of the balloon about the guest's own view of its memory."""


def _ceiling(part: Part) -> int:
    """MEMORY_MAX in MB, the memory itself when it is not above it."""
    return max(number(part.vm.get("attrs", {}), "MEMORY_MAX") or 0, int(part.vm["memory_mb"]))


def _by_slots(part: Part) -> bool:
    mode = str(part.vm.get("attrs", {}).get("MEMORY_RESIZE_MODE") or "BALLOONING").upper()
    return mode == "HOTPLUG" and _ceiling(part) > int(part.vm["memory_mb"])


def _at_start(part: Part) -> Value:
    return (int(part.vm["memory_mb"]) if _by_slots(part) else _ceiling(part)) * 1024


ELEMENTS = (
    Element("memory", the_vm, (Property("@unit", const("KiB")), Property("text()", _at_start)), merge=True),
    Element("currentMemory", the_vm, (
        Property("@unit", const("KiB")),
        Property("text()", lambda part: int(part.vm["memory_mb"]) * 1024)), merge=True),
    Element("maxMemory", lambda part: [{}] if _by_slots(part) else [], (
        Property("@unit", const("KiB")),
        Property("@slots", lambda part: number(part.vm["attrs"], "MEMORY_SLOTS", 1) or 8),
        Property("text()", lambda part: _ceiling(part) * 1024)), merge=True),
    Element("cpu", lambda part: [{}] if _by_slots(part) else [], (
        Property("numa/cell[@id='0']/@cpus", lambda part: f"0-{most_processors(part) - 1}"),
        Property("numa/cell[@id='0']/@memory", _at_start),
        Property("numa/cell[@id='0']/@unit", const("KiB"))), merge=True),
    Element("devices/memballoon", the_vm, (
        Property("@model", const("virtio")), Property("stats/@period", const(STATS_PERIOD)))),
)
