"""Time: the real clock on the event loop, a simulated one, and calendars on either.  The home of apscheduler."""
from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

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


LOOK_AGAIN = 60.0
"""Seconds after which a calendar looks at the wall clock again: it may have been set meanwhile."""


def trigger(crontab: str) -> Any:
    """The times of a crontab line, in UTC; raises ValueError when it is not one."""
    from apscheduler.triggers.cron import CronTrigger

    return CronTrigger.from_crontab(crontab, timezone=UTC)


class Calendar:
    """Calls at the times of a crontab line (UTC).  A time that passed while nobody looked is kept once, late."""

    def __init__(self, clock: Clock, crontab: str, call: Call) -> None:
        self._clock, self._call, self._trigger = clock, call, trigger(crontab)
        self._due = self._next(self._now())
        self._timer = clock.call_later(self._pause(), self._look)

    def cancel(self) -> None:
        """Do not call any more."""
        self._timer.cancel()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)

    def _next(self, after: datetime) -> datetime | None:
        found: datetime | None = self._trigger.get_next_fire_time(None, after)
        return found

    def _pause(self) -> float:
        left = (self._due - self._now()).total_seconds() if self._due else LOOK_AGAIN
        return min(max(left, 0.0), LOOK_AGAIN)

    def _look(self) -> None:
        now = self._now()
        late = self._due is not None and now >= self._due
        self._due = self._next(now + timedelta(seconds=1) if late else now)
        self._timer = self._clock.call_later(self._pause(), self._look)
        if late:
            self._call()
