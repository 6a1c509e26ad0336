"""Time: the real clock on the event loop, and a simulated one."""
from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Protocol

Call = Callable[[], None]


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Do not call."""
        ...


class Clock(Protocol):
    """Wall time, monotonic time, and calls that are due later."""

    def time(self) -> float:
        """Unix time in seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def call_later(self, seconds: float, call: Call) -> Timer:
        """Call once, SECONDS from now."""
        ...

    def every(self, seconds: float, call: Call) -> Timer:
        """Call again and again."""
        ...


class RealClock:
    """The event loop's clock: monotonic, so that no step of the wall clock delays or hurries anything."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._series: list[_Series] = []

    def time(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._loop.time()

    def call_later(self, seconds: float, call: Call) -> Timer:
        """Call once, SECONDS from now."""
        return self._loop.call_later(seconds, call)

    def every(self, seconds: float, call: Call) -> Timer:
        """Call again and again, first after SECONDS; turns that were missed are not made up for."""
        self._series.append(_Series(self._loop, seconds, call))
        return self._series[-1]

    def close(self) -> None:
        """End the periodic calls."""
        for series in self._series:
            series.cancel()


class _Series:
    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, call: Call) -> None:
        self._loop, self._seconds, self._call = loop, seconds, call
        self._timer = loop.call_later(seconds, self._turn)

    def _turn(self) -> None:
        self._timer = self._loop.call_later(self._seconds, self._turn)
        self._call()

    def cancel(self) -> None:
        self._timer.cancel()


class SimClock:
    """Time that moves only when told to; due calls run in order of time, then of making."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._start, self._now, self._order = start, 0.0, 0
        self._due: list[tuple[float, int, _Due]] = []

    def time(self) -> float:
        """Unix time in seconds."""
        return self._start + self._now

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self._now

    def call_later(self, seconds: float, call: Call) -> Timer:
        """Call when time has moved on by SECONDS."""
        self._order += 1
        due = _Due(call)
        heapq.heappush(self._due, (self._now + seconds, self._order, due))
        return due

    def every(self, seconds: float, call: Call) -> Timer:
        """Call each time that SECONDS have passed."""
        series = _Due(call)

        def again() -> None:
            if not series.cancelled:
                call()
                self.call_later(seconds, again)
        self.call_later(seconds, again)
        return series

    def next_due(self) -> float | None:
        """The monotonic time of the next call, None when there is none."""
        while self._due and self._due[0][2].cancelled:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def advance(self, seconds: float) -> None:
        """Move on, running what becomes due."""
        end = self._now + seconds
        while self._due and self._due[0][0] <= end:
            self._now, _, due = heapq.heappop(self._due)
            if not due.cancelled:
                due.call()
        self._now = end


class _Due:
    __slots__ = ("call", "cancelled")

    def __init__(self, call: Call) -> None:
        self.call, self.cancelled = call, False

    def cancel(self) -> None:
        self.cancelled = True
