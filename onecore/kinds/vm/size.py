"""How large a VM is: its share of processors, how many it sees, its memory, and how far the last two may grow."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onecore.errors import NotAllocated
from onecore.kinds.kind import whole
from onecore.wire.template import Tree

MAX_CPU, MAX_VCPU, MAX_MEMORY = 65536, 65536, 1 << 30
_LIMITS = {"VCPU_MAX": MAX_VCPU, "MEMORY_MAX": MAX_MEMORY, "MEMORY_SLOTS": 256}
_MODES = ("BALLOONING", "HOTPLUG")


@dataclass(frozen=True, slots=True)
class Size:
    """What a VM has: percent of a core, processors, MB."""

    cpu: int
    vcpu: int
    memory: int

    def larger(self, other: Size) -> Size:
        """The larger of each."""
        return Size(max(self.cpu, other.cpu), max(self.vcpu, other.vcpu), max(self.memory, other.memory))

    def document(self) -> dict[str, int]:
        """As an operation's arguments hold it."""
        return {"cpu": self.cpu, "vcpu": self.vcpu, "memory": self.memory}

    @staticmethod
    def of(document: Mapping[str, Any]) -> Size:
        """The reverse."""
        return Size(int(document["cpu"]), int(document["vcpu"]), int(document["memory"]))


def size_of(tree: Tree) -> Size:
    """The size that a template says; raises NotAllocated naming the attribute that is wrong."""
    cpu, vcpu, memory = tree.get("CPU"), tree.get("VCPU") or "1", tree.get("MEMORY")
    for name, value in (("CPU", cpu), ("MEMORY", memory)):
        if not value:
            raise NotAllocated(f"{name} attribute must be a positive number, it is missing")
    try:
        share = float(cpu)
    except ValueError:
        share = -1.0
    if not 0.01 <= share <= MAX_CPU:
        raise NotAllocated(f"CPU attribute must be a number from 0.01 to {MAX_CPU}, not {cpu[:40]!r}")
    return Size(round(share * 100), _whole("VCPU", vcpu, MAX_VCPU), _whole("MEMORY", memory, MAX_MEMORY))


def check_limits(tree: Tree) -> None:
    """Raise NotAllocated when a limit of growth, or the way in which memory grows, is none."""
    for name, most in _LIMITS.items():
        if tree.get(name):
            _whole(name, tree.get(name), most)
    mode = tree.get("MEMORY_RESIZE_MODE")
    if mode and mode.upper() not in _MODES:
        raise NotAllocated(f"MEMORY_RESIZE_MODE must be {' or '.join(_MODES)}, not {mode[:40]!r}")


def _whole(name: str, value: str, most: int) -> int:
    found = whole(value, 1, most)
    if found is None:
        unit = " (of MB)" if name.startswith("MEMORY") and name != "MEMORY_SLOTS" else ""
        raise NotAllocated(f"{name} attribute must be a whole number{unit} from 1 to {most}, not {value[:40]!r}")
    return found
