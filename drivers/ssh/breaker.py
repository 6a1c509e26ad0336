"""The circuit breaker of a host: after a connection that failed, nobody tries again for a while."""
from __future__ import annotations

from collections.abc import Callable

from drivers.base import DriverError

_LONGEST = 10.0


class Breaker:
    """Knows when the next connection may be tried: 1, 2, 4 … 10 s after the last that failed."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures = 0
        self._next = 0.0
        self._error: DriverError | None = None

    def check(self) -> None:
        """Raise what the last connection failed with, and when the next try is, while it is too early for that."""
        left = self._next - self._now()
        if self._error is not None and left > 0:
            raise type(self._error)(f"{self._error} (next try in {max(1, round(left))} s)")

    def insist(self) -> None:
        """The next try is now."""
        self._next = 0.0

    def failed(self, error: DriverError) -> bool:
        """A connection could not be made; whether that is news."""
        known = self._error is not None and str(self._error) == str(error)
        self._error = error
        self._failures += 1
        self._next = self._now() + min(2.0 ** min(self._failures - 1, 10), _LONGEST)
        return not known

    def succeeded(self) -> None:
        """A connection stands."""
        self._failures, self._next, self._error = 0, 0.0, None
