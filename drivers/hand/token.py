"""When a command must stop: told by any thread or out of time.  Its own thread feels it in its sleeps and children."""
from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Token:
    """The stop mark of one command: set once, never cleared; whoever registered an ending is called."""

    def __init__(self) -> None:
        self.deadline = math.inf
        """When the command's time is up, on its context's clock."""
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._endings: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Whether the command was told to stop."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Tell the command to stop; a second time changes nothing."""
        with self._lock:
            self._event.set()
            endings = list(self._endings)
        for ending in endings:
            ending()

    def wait(self, seconds: float) -> bool:
        """Wait at most SECONDS; true when the command was told to stop."""
        return self._event.wait(min(seconds, threading.TIMEOUT_MAX))

    @contextmanager
    def ending(self, call: Callable[[], None]) -> Iterator[None]:
        """While in the block, CALL is what a cancel does besides; it runs at once if the cancel came before."""
        with self._lock:
            self._endings.append(call)
            late = self._event.is_set()
        try:
            if late:
                call()
            yield
        finally:
            with self._lock:
                self._endings.remove(call)
