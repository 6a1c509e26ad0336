"""Measurements with the floor before and after each, so that a ratio is of the same minutes."""
from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.rig import wrk
from bench.rig.processes import Floor

T = TypeVar("T")
UNSTEADY = 0.15
"""Floors before and after that differ by more than this say that something else used the machine."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What the floor was beside a measurement: F, answers a second, and whether it was steady."""

    floor: float
    steady: bool


class Turns:
    """The floor and what is measured, in turns."""

    def __init__(self, floor: Floor, script: Path, seconds: int) -> None:
        self.floor, self.seconds = floor, seconds
        self.floors: list[float] = []
        self._script = script

    def read_floor(self) -> float:
        """F now."""
        self.floors.append(wrk.rate(self.floor.url, self._script, self.seconds, self.floor.size))
        return self.floors[-1]

    def beside(self, work: Callable[[], T]) -> tuple[T, Beside]:
        """What WORK returns, and the mean of the floors before and after it."""
        before = self.read_floor()
        found = work()
        return found, _beside([before, self.read_floor()])

    def rates(self, url: str, script: Path, rounds: int) -> tuple[float, Beside]:
        """The median rate of ROUNDS runs of wrk on URL, each between two floors."""
        floors, found = [self.read_floor()], []
        for _ in range(rounds):
            found.append(wrk.rate(url, script, self.seconds, self.floor.size))
            floors.append(self.read_floor())
        return statistics.median(found), _beside(floors)


def _beside(floors: list[float]) -> Beside:
    middle = statistics.mean(floors) if len(floors) == 2 else statistics.median(floors)
    return Beside(middle, (max(floors) - min(floors)) / middle < UNSTEADY)
