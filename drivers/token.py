"""The stop mark of one command: any thread may set it, the command's own thread feels it in its sleeps and children."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Token:
    """Set once, never cleared; whoever waits wakes up, whoever registered an ending is called."""

    def __init__(self) -> None:
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
        return self._event.wait(seconds)

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
