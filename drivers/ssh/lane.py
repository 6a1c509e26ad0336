"""The way to one host: its connection, made when needed by one thread at a time, and the breaker before it."""
from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

from drivers.base import DriverError, Temporary
from drivers.bounds import Bounds
from drivers.ssh.breaker import Breaker
from drivers.ssh.connection import Connection
from drivers.ssh.settings import Target

_LOOK = 0.2
_MARGIN = 3.0
"""Seconds that an attempt whose time is up may take to say so: it knows the reason."""
_IDLE = 900.0
_UNUSED = "not used any more"
Make = Callable[["Lane"], Connection]
Log = Callable[[str, str], None]
"""log(level, text)."""


class Attempt:
    """A connection in the making, and how that ended."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.reached = False
        """Whether the host was reached, and only its hand is waited for."""
        self.connection: Connection | None = None
        self.error: DriverError | None = None


class Lane:
    """Gives the host's connection to whoever needs it; MAKE makes one, in a thread of its own."""

    def __init__(self, target: Target, make: Make, patience: float, now: Callable[[], float], log: Log) -> None:
        self.target = target
        self._make = make
        self._patience = patience
        self._now = now
        self._log = log
        self._breaker = Breaker(now)
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._attempt: Attempt | None = None
        self._closed = False

    def connection(self, bounds: Bounds) -> Connection:
        """A connection that stands; Temporary or Permanent when there is none to be had soon, Cancelled."""
        with self._lock:
            if self._connection is not None and self._connection.alive and self._attempt is None:
                self._connection.used = self._now()
                return self._connection
            attempt = self._attempt or self._begin()
        waited = self._wait(attempt, bounds)
        if attempt.error is not None:
            raise attempt.error
        if attempt.connection is None:
            raise Temporary(f"{self.target}: no connection within {waited:.1f} s")
        return attempt.connection

    def insist(self) -> None:
        """The next connection is tried at once."""
        with self._lock:
            self._breaker.insist()

    def watch(self, connection: Connection) -> None:
        """CONNECTION is being made: from now on it is looked after."""
        with self._lock:
            self._connection = connection
            if self._attempt is not None:
                self._attempt.reached = True
            closed = self._closed
        if closed:
            connection.fail("this process ends")

    def beat(self, now: float) -> None:
        """Called every second."""
        connection = self._connection
        if connection is not None and connection.alive:
            connection.beat(now)
            if connection.idle and now - connection.used > _IDLE:
                connection.fail(_UNUSED)
        elif connection is not None:
            connection.fail("the connection was lost")

    def lost(self, why: str) -> None:
        """The connection ended."""
        if self._attempt is None and not self._closed:
            self._log("info" if why == _UNUSED else "warning", f"{self.target}: the connection ended: {why}")

    def close(self) -> None:
        """End the connection, and make no other."""
        with self._lock:
            self._closed = True
            connection = self._connection
        if connection is not None:
            connection.fail("this process ends")

    def _begin(self) -> Attempt:
        if self._closed:
            raise Temporary(f"{self.target}: this process ends")
        self._breaker.check()
        attempt = Attempt()
        threading.Thread(target=self._connect, args=(attempt,), name=f"connect-{self.target}", daemon=True).start()
        self._attempt = attempt  # not of a thread that could not be started; the new one waits for our lock
        return attempt

    def _connect(self, attempt: Attempt) -> None:
        try:
            attempt.connection = self._make(self)
        except DriverError as error:
            attempt.error = error
        except Exception as error:
            traceback.print_exc()
            attempt.error = Temporary(f"{self.target}: {type(error).__name__}: {error}")
        with self._lock:
            self._attempt = None
            news = attempt.error is not None and self._breaker.failed(attempt.error)
            if attempt.error is None:
                self._breaker.succeeded()
        if news:
            self._log("warning", str(attempt.error))
        attempt.ended.set()

    def _wait(self, attempt: Attempt, bounds: Bounds) -> float:
        """Seconds until the attempt ended, or the command's time, or the patience for each of its stages, was over."""
        seconds = bounds.seconds()
        began = self._now()
        while not attempt.ended.wait(_LOOK):
            bounds.check()
            patience = self._patience * (2 if attempt.reached else 1) + _MARGIN
            if self._now() - began >= min(patience, patience if seconds is None else seconds):
                break
        bounds.check()
        return self._now() - began
