"""Calls to libvirt in threads of their own: they cannot be interrupted, and a stopped libvirtd never answers."""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from drivers.base import Temporary

T = TypeVar("T")


class Silence(Temporary):
    """libvirt took the connection or the question, and says nothing."""


class Call(Generic[T]):
    """A function on its way in a thread of its own."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._done = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="libvirt-call", daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most SECONDS; true when the function ended."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """What the function gave; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]
