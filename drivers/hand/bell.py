"""Signals as something to wait for, whichever thread they come to and whenever.

A handler runs only between two steps of the main thread: for a signal that comes as a wait begins, or to another
thread, that may be never; and what it raises can fall between a lock and its release.
"""
from __future__ import annotations

import os
import signal
from types import FrameType

_MOST = 4096


class Bell:
    """Signals that ring rather than end the process; to be made in the main thread."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self.fd, far = os.pipe()
        """What can be read when one has come."""
        for end in (self.fd, far):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(far, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _nothing)

    def heard(self) -> set[int]:
        """The numbers of those that came since the last call."""
        try:
            return set(os.read(self.fd, _MOST))
        except BlockingIOError:
            return set()


def _nothing(number: int, frame: FrameType | None) -> None:
    return
