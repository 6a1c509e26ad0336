"""A few threads for calls that may wait for hosts; those that failed least often go first, so that the dead wait."""
from __future__ import annotations

import heapq
import threading
import traceback
from collections.abc import Callable
from itertools import count

MOST = 32
Call = Callable[[], object]


class Starts:
    """Runs calls, at most `most` at once; the threads end when there is nothing to do."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._heap: list[tuple[int, int, Call]] = []
        self._serial = count()
        self._threads = 0

    def put(self, failures: int, call: Call) -> None:
        """Run CALL soon; before those with more FAILURES."""
        with self._lock:
            heapq.heappush(self._heap, (failures, next(self._serial), call))
            if self._threads >= self._most:
                return
            threading.Thread(target=self._run, name="start", daemon=True).start()
            self._threads += 1

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._heap:
                    self._threads -= 1
                    return
                call = heapq.heappop(self._heap)[2]
            try:
                call()
            except Exception:
                traceback.print_exc()
