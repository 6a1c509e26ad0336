"""Calls that repeat: one thread for all of them in a driver process, none in a simulation."""
from __future__ import annotations

import heapq
import threading
import traceback
from collections.abc import Callable
from itertools import count

from drivers.base import Context
from drivers.journal import Journal

Call = Callable[[], float]
"""Does its work and gives the seconds until its next turn."""


class Timers:
    """A heap of calls by the time of their next turn; somebody else makes the time pass."""

    def __init__(self, now: Callable[[], float], journal: Journal) -> None:
        self._now = now
        self._journal = journal
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, str]] = []
        self._calls: dict[str, tuple[int, Call]] = {}
        self._serial = count()

    def start(self, key: str, seconds: float, call: Call) -> None:
        """Call CALL in SECONDS and then when it says; it takes the place of another under KEY."""
        with self._changed:
            self._push(key, self._now() + seconds, call)
            self._changed.notify()

    def stop(self, key: str) -> None:
        """No further turn for KEY; one under way ends."""
        with self._changed:
            self._calls.pop(key, None)

    def run_due(self) -> float | None:
        """Take every turn that is due; the time of the next one, None when there is none."""
        while True:
            with self._changed:
                due = self._pop()
            if isinstance(due, tuple):
                self._turn(*due)
            else:
                return due

    def _pop(self) -> tuple[str, int, Call] | float | None:
        while self._heap:
            when, serial, key = self._heap[0]
            known = self._calls.get(key)
            if known is not None and known[0] == serial and when > self._now():
                return when
            heapq.heappop(self._heap)
            if known is not None and known[0] == serial:
                return key, serial, known[1]
        return None

    def _turn(self, key: str, serial: int, call: Call) -> None:
        seconds = 1.0
        try:
            seconds = call()
        except Exception:
            self._journal.line("error", "", f"{key}: {traceback.format_exc()}")
        with self._changed:
            if self._calls.get(key, (-1,))[0] == serial:
                self._push(key, self._now() + seconds, call)

    def _push(self, key: str, when: float, call: Call) -> None:
        serial = next(self._serial)
        self._calls[key] = (serial, call)
        heapq.heappush(self._heap, (when, serial, key))


class TimerThread(Timers):
    """Timers with a thread that waits for them."""

    def __init__(self, now: Callable[[], float], journal: Journal) -> None:
        super().__init__(now, journal)
        self._closed = False
        threading.Thread(target=self._run, name="timers", daemon=True).start()

    def close(self) -> None:
        """No further turns."""
        with self._changed:
            self._closed = True
            self._calls.clear()
            self._changed.notify()

    def _run(self) -> None:
        while not self._closed:
            due = self.run_due()
            with self._changed:
                if not self._closed and (not self._heap or self._heap[0][0] == due):
                    self._changed.wait(None if due is None else max(0.0, due - self._now()))


def timers(ctx: Context) -> Timers:
    """The process's timers."""
    return ctx.keep("timers", lambda: TimerThread(ctx.now, Journal()))
