"""Calendars on any clock: what is due when by the wall clock, and who is woken then.  The home of apscheduler.

All times are Unix seconds and all days are UTC's: there is no daylight saving.  Nothing here keeps anything over a
restart; docs/decisions/005 says why the clock wakes and not apscheduler's own scheduler.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from onecore.lifecycle.clock import Call, Clock

LOOK_AGAIN = 60.0
"""Seconds after which a calendar looks at the wall clock again: it may have been set meanwhile."""
AT_ONCE = 20
"""Alarms that ring in one turn of the loop; the others ring in the next ones."""
REST = 5.0
"""Seconds after which an alarm rings again whose call raised, or left it set."""


def trigger(crontab: str) -> Any:
    """The times of a crontab line, in UTC; raises ValueError when it is not one."""
    from apscheduler.triggers.cron import CronTrigger

    return CronTrigger.from_crontab(crontab, timezone=UTC)


class Calendar:
    """Calls at the times of a crontab line (UTC).  A time that passed while nobody looked is kept once, late."""

    def __init__(self, clock: Clock, crontab: str, call: Call) -> None:
        self._clock, self._call, self._trigger = clock, call, trigger(crontab)
        self._due = self._next(_moment(clock.time()))
        self._timer = clock.call_later(self._pause(), self._look)

    def cancel(self) -> None:
        """Do not call any more."""
        self._timer.cancel()

    def _next(self, after: datetime) -> datetime | None:
        found: datetime | None = self._trigger.get_next_fire_time(None, after)
        return found

    def _pause(self) -> float:
        left = (self._due - _moment(self._clock.time())).total_seconds() if self._due else LOOK_AGAIN
        return min(max(left, 0.0), LOOK_AGAIN)

    def _look(self) -> None:
        now = _moment(self._clock.time())
        late = self._due is not None and now >= self._due
        self._due = self._next(now + timedelta(seconds=1) if late else now)
        self._timer = self._clock.call_later(self._pause(), self._look)
        if late:
            self._call()


def _moment(time: float) -> datetime:
    return datetime.fromtimestamp(time, UTC)


# -- times that come again


def next_time(every: str, days: Collection[int], first: int, after: int) -> int:
    """The first time not before AFTER (nor FIRST) of a series that has FIRST's time of the day; 0: there is none.

    EVERY: "week" on DAYS 0 (Sunday) to 6, "month" on DAYS 1 to 31, "year" on DAYS 0 to 365 after New Year's, "hours":
    FIRST and then each DAYS hours.  A day that a month or year has not is left out.
    """
    found = _SERIES[every](days, _moment(first), _moment(max(first, after)))
    return int(found.timestamp()) if found else 0


def _by_fields(start: datetime, after: datetime, **fields: str) -> datetime | None:
    from apscheduler.triggers.cron import CronTrigger

    times = CronTrigger(hour=start.hour, minute=start.minute, second=start.second, timezone=UTC, **fields)
    found: datetime | None = times.get_next_fire_time(None, after)
    return found


def _weekly(days: Collection[int], start: datetime, after: datetime) -> datetime | None:
    return _by_fields(start, after, day_of_week=",".join(str((day - 1) % 7) for day in days))  # theirs begin on Monday


def _monthly(days: Collection[int], start: datetime, after: datetime) -> datetime | None:
    return _by_fields(start, after, day=",".join(map(str, days)))


def _hourly(hours: Collection[int], start: datetime, after: datetime) -> datetime | None:
    from apscheduler.triggers.interval import IntervalTrigger

    found: datetime | None = IntervalTrigger(hours=min(hours), start_date=start, timezone=UTC).get_next_fire_time(
        None, after)
    return found


LEAP_GAP = 8
"""The most years from one leap year to the next: only in them has a year a day 365."""


def _yearly(days: Collection[int], start: datetime, after: datetime) -> datetime | None:
    """By hand: apscheduler counts no days of the year."""
    for year in range(after.year, after.year + LEAP_GAP + 1):
        begin = start.replace(year=year, month=1, day=1)
        times = [begin + timedelta(days=day) for day in sorted(days)]
        found = next((time for time in times if time >= after and time.year == year), None)
        if found:
            return found
    return None


_SERIES = {"week": _weekly, "month": _monthly, "year": _yearly, "hours": _hourly}


# -- what is due next


@dataclass(frozen=True, slots=True)
class _Alarm:
    """What apscheduler's store asks of a job."""

    id: int
    next_run_time: datetime


class Alarms:
    """When each key is due, in apscheduler's memory store, and a clock that wakes: CALL(key) once its time has come.

    An alarm stays set until it is set otherwise or dropped, which is what CALL leads to.  However many are set, they
    cost nothing until the next of them is due, but a look at the wall clock each minute.
    """

    def __init__(self, clock: Clock, call: Callable[[int], None]) -> None:
        from apscheduler.jobstores.memory import MemoryJobStore

        self._clock, self._call, self._store = clock, call, MemoryJobStore()
        self._ringing: deque[int] = deque()
        self._timer = clock.call_later(LOOK_AGAIN, self._look)
        self._wakes = clock.monotonic() + LOOK_AGAIN

    def __len__(self) -> int:
        return len(self._store.get_all_jobs())

    def set(self, key: int, due: int) -> None:
        """KEY is due at DUE and at no other time."""
        self._put(_Alarm(key, _moment(due)))
        self._wake_in(due - self._clock.time())

    def drop(self, key: int) -> None:
        """KEY is not due at any time."""
        if self._store.lookup_job(key) is not None:
            self._store.remove_job(key)

    def next_due(self) -> float | None:
        """When the next alarm is due, None without one."""
        found = self._store.get_next_run_time()
        return None if found is None else float(found.timestamp())

    def _put(self, alarm: _Alarm) -> None:
        if self._store.lookup_job(alarm.id) is None:
            self._store.add_job(alarm)
        else:
            self._store.update_job(alarm)

    def _wake_in(self, seconds: float) -> None:
        """Look in SECONDS, unless a look comes earlier."""
        at = self._clock.monotonic() + min(max(seconds, 0.0), LOOK_AGAIN)
        if at < self._wakes:
            self._timer.cancel()
            self._wakes, self._timer = at, self._clock.call_later(at - self._clock.monotonic(), self._look)

    def _look(self) -> None:
        """Ring some of the alarms that are due; say when to look again."""
        self._wakes = float("inf")
        if not self._ringing:
            self._ringing.extend(alarm.id for alarm in self._store.get_due_jobs(_moment(self._clock.time())))
        try:
            for _ in range(min(AT_ONCE, len(self._ringing))):
                self._ring(self._ringing.popleft())
        finally:
            next_due = self.next_due()
            left = LOOK_AGAIN if next_due is None else next_due - self._clock.time()
            self._wake_in(0.0 if self._ringing else left)

    def _ring(self, key: int) -> None:
        """One alarm; it rests when it is due still afterwards, so that it keeps no other from ringing."""
        if not self._is_due(key):
            return
        try:
            self._call(key)
        finally:
            if self._is_due(key):
                self._put(_Alarm(key, _moment(self._clock.time() + REST)))

    def _is_due(self, key: int) -> bool:
        alarm = self._store.lookup_job(key)
        return alarm is not None and alarm.next_run_time <= _moment(self._clock.time())
