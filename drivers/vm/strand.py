"""A queue of work that is done in order by a thread which is there only while there is work."""
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Strand:
    """Does what is put into it, one after the other; `failed` hears of what raised, and the rest is dropped then."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._lock = threading.Lock()
        self._work: deque[Callable[[], None]] = deque()
        self._running = False
        self._open = self._over = False

    def put(self, work: Callable[[], None]) -> None:
        """Do WORK after all that was put before; nothing is done before start() and after close()."""
        with self._lock:
            if not self._over:
                self._work.append(work)
                self._go_on()

    def start(self, first: Callable[[], None]) -> None:
        """Begin, with FIRST before what was put meanwhile."""
        with self._lock:
            self._open = True
            self._work.appendleft(first)
            self._go_on()

    def close(self) -> None:
        """Drop what was not begun, and all that comes."""
        with self._lock:
            self._over = True
            self._work.clear()

    def _go_on(self) -> None:
        if self._open and not self._running:
            threading.Thread(target=self._run, name="libvirt-news", daemon=True).start()
            self._running = True

    def _run(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            except Exception as error:
                self.close()
                self._failed(error)

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if not self._work:
                self._running = False
                return None
            return self._work.popleft()
