"""Commands that are cut off at one of their steps: cancelled there, or their driver process killed there.

A step is a look at the command's token: there is one before and after each child and before each file that an action
touches, and several in a second while it waits.  A call that libvirt has taken runs on, with or without the driver.
"""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

from drivers.token import Token


class Dead(BaseException):
    """The driver's process was killed here."""


class Cut(Token):
    """The token of a command that is cut off at its look number AT; `looks`: how many there were."""

    def __init__(self, at: float, *, kill: bool) -> None:
        super().__init__()
        self.looks = 0
        self._at, self._kill = at, kill
        self._dead = False
        self._thread = threading.current_thread()

    @property
    def cancelled(self) -> bool:
        """Whether the command was told to stop; raises Dead once its process is killed."""
        self.look()
        return super().cancelled

    @property
    def was_cut(self) -> bool:
        """Whether the command came to that look."""
        return self.looks >= self._at

    def die(self) -> NoReturn:
        """The process is killed here."""
        self._dead = True
        raise Dead

    def look(self) -> None:
        """Count a look of the command's own thread."""
        if threading.current_thread() is not self._thread:
            return
        self.looks += 1
        if self.looks == self._at:
            self._dead = self._kill
            if not self._kill:
                self.cancel()
        if self._dead:
            raise Dead

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While in the block, what a cancelled command still does counts as its steps: a kill may come there, too."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("drivers.context.Token", lambda: _Beyond(self))
            yield


class _Beyond(Token):
    """The token of a command's last steps, which no cancel stops."""

    def __init__(self, cut: Cut) -> None:
        super().__init__()
        self._cut = cut

    @property
    def cancelled(self) -> bool:
        """No, unless somebody says so to this one."""
        self._cut.look()
        return super().cancelled
