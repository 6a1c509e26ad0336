"""How long a call on a host may take, and how what fails there is told to the user."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drivers.base import Cancelled, DriverError, Permanent, Temporary
from drivers.hand.failure import Failure
from drivers.token import Token


class Bounds:
    """The command's token and the seconds that it has left, which progress renews; without one, `default` a call."""

    def __init__(self, token: Token | None = None, left: Callable[[], float] | None = None,
                 default: float | None = None) -> None:
        self.token = token or Token()
        self._left = left
        self._default = default

    def check(self) -> None:
        """Raise Cancelled when the command was told to stop."""
        if self.token.cancelled:
            raise Cancelled("cancelled")

    def seconds(self, timeout: float | None = None) -> float | None:
        """Seconds that a call with TIMEOUT has; Temporary when there are none."""
        if self._left is None:
            return self._default if timeout is None else timeout
        left = self._left()
        if left <= 0:
            raise Temporary("the command's time is up")
        return left if timeout is None else min(timeout, left)

    def counted(self) -> Bounds:
        """These bounds with the time of one long call running from now on."""
        if self._left is not None or self._default is None:
            return self
        end = time.monotonic() + self._default
        return Bounds(self.token, lambda: end - time.monotonic())

    def renewed(self, timeout: float | None) -> float:
        """Seconds that progress, told from another thread, gave a call meanwhile; none when it had its own TIMEOUT."""
        return self._left() if timeout is None and self._left is not None else 0.0


@contextmanager
def worded() -> Iterator[None]:
    """Failures of the hand's modules as the drivers' errors."""
    try:
        yield
    except Failure as failure:
        raise refusal(str(failure), failure.temporary) from failure


def refusal(text: str, temporary: bool) -> DriverError:
    """The error for what a hand refused."""
    return Temporary(text) if temporary else Permanent(text)
