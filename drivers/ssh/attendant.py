"""The one thread that moves what rides on a connection: frames of its programs, and what goes through relays.

Nobody else writes to the connection (but copies of files, from their command's thread), so a host that takes nothing
more stops this thread, and no other host's.
"""
from __future__ import annotations

import os
import selectors
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress

Call = Callable[[], object]
_AGAIN = 0.02


class Attendant:
    """Calls back when descriptors are ready; runs what other threads ask it to; all of it on its own thread."""

    def __init__(self, name: str, broken: Callable[[BaseException], None]) -> None:
        self._selector = selectors.DefaultSelector()
        self._calls: deque[Call] = deque()
        self._later: deque[Call] = deque()
        self._closings: dict[int, Call] = {}
        self._stopped = False
        self._ended = False
        self._lock = threading.Lock()
        self._broken = broken
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain)
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def call(self, call: Call) -> bool:
        """Run CALL soon; false when there is no more soon."""
        with self._lock:
            if self._ended:
                return False
            self._calls.append(call)
            with suppress(BlockingIOError):
                os.write(self._wake, b".")
        return True

    def stop(self) -> None:
        """End the thread; the closings of all that was watched are called."""
        self._stopped = True
        self.call(lambda: None)

    def watch(self, fd: int, ready: Call, events: int, closing: Call) -> None:
        """Call READY whenever FD is ready for EVENTS (0: not now), CLOSING if the thread ends before forget()."""
        if fd in self._closings:
            self.forget(fd)
        self._closings[fd] = closing
        if events:
            self._selector.register(fd, events, ready)

    def forget(self, fd: int) -> None:
        """Watch FD no longer."""
        self._closings.pop(fd, None)
        with suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def again(self, call: Call) -> None:
        """Run CALL in a moment: for what cannot go on now and says of no descriptor when it can."""
        self._later.append(call)

    def _run(self) -> None:
        try:
            while not self._stopped:
                ready = self._selector.select(_AGAIN if self._later else None)
                for key, _ in ready:
                    if key.fd in self._closings or key.fd == self._woken:
                        key.data()
                self._take(self._later)
                self._take(self._calls)
        except Exception as error:
            self._broken(error)
        finally:
            self._end()

    def _take(self, calls: deque[Call]) -> None:
        for _ in range(len(calls)):
            calls.popleft()()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _end(self) -> None:
        with self._lock:
            self._ended = True
        for call in [*self._calls]:
            _safely(call)
        for closing in [*self._closings.values()]:
            _safely(closing)
        self._selector.close()
        os.close(self._wake)
        os.close(self._woken)


def _safely(call: Call) -> None:
    try:
        call()
    except Exception:
        traceback.print_exc()
