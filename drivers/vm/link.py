"""The way to one host's libvirt: a line made when it is wanted, looked after while it stands, and known when silent."""
from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable

import libvirt

from drivers.base import DriverError, Temporary
from drivers.vm.call import Call, Silence
from drivers.vm.line import Line

_LONGEST = 10.0
_POLL = 0.1
_ENDED = "no more connections to libvirt are made"


class Link:
    """Gives the host's line to whoever needs it; MAKE makes one.

    One thread at a time works on it.  A libvirt that was silent is tried again in the background (`Links`), and nobody
    waits for it meanwhile; with `always` the line is made again in the background however it ended.
    """

    def __init__(self, name: str, make: Callable[[], Line], always: bool = False,
                 told: Callable[[DriverError | None], None] = lambda _: None) -> None:
        self._name, self._make, self._always = name, make, always
        self._told = told
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._job: Call[None] | None = None
        self._silent: Silence | None = None
        self._closed = False
        self._next = 0.0
        self.failures = 0
        """Attempts that failed since the last that did not."""

    def line(self, check: Callable[[], object]) -> Line:
        """A line that stands, entered; CHECK is called while it is waited for.  Temporary when there is none."""
        while True:
            check()
            with self._lock:
                if self._line is not None and self._line.alive:
                    self._line.enter()
                    return self._line
                if self._silent is not None:
                    raise Temporary(f"{self._silent}; it is asked again every {_LONGEST:g} s at least")
                job = self._job or self._begin()
            while not job.wait(_POLL):
                check()
            job.result()

    def doubt(self, line: Line) -> None:
        """An answer on LINE takes long: see whether libvirt says anything at all."""
        with self._lock:
            if line is self._line and self._job is None and not self._closed:
                self._begin()

    def tend(self, now: float) -> Call[None] | None:
        """Begin what is to be done in the background, if anything is; what was begun."""
        with self._lock:
            return self._begin() if self._is_due(now) else None

    def give_up(self, line: Line) -> None:
        """A call on LINE does not end: nobody new on it, unless libvirt is being asked whether it says anything."""
        with self._lock:
            line.retire()
            if self._line is line:
                self._line = None

    def end(self) -> None:
        """No more lines; the one there is ends with those who use it, one in the making when it is made."""
        line = self._ended()
        if line is not None:
            line.retire()

    def close(self) -> None:
        """End it now."""
        line = self._ended()
        if line is not None:
            line.cut(_ENDED)

    def _ended(self) -> Line | None:
        with self._lock:
            self._closed = True
            line, self._line = self._line, None
        return line

    def _is_due(self, now: float) -> bool:
        if self._job is not None or self._closed or now < self._next or not (self._always or self._silent):
            return False
        return self._line is None or not self._line.alive

    def _begin(self) -> Call[None]:
        if self._closed:
            raise Temporary(f"{self._name}: {_ENDED}")
        self._job = Call(self._work)
        return self._job

    def _work(self) -> None:
        try:
            self._see_to_it()
        except Exception as error:
            failure = _worded(self._name, error)
            self._failed(failure)
            raise failure from error
        else:
            self._succeeded()
        finally:
            with self._lock:
                self._job = None

    def _see_to_it(self) -> None:
        """The line that stands answers, or a new one is made."""
        old = self._line
        if old is not None and old.alive and self._answers(old):
            return
        if old is not None:
            old.cut(f"{self._name}: the connection to libvirt was lost")
        made = self._make()
        with self._lock:
            if not self._closed:
                self._line = made
                return
        made.cut(_ENDED)

    def _answers(self, line: Line) -> bool:
        """Whether LINE can be used; Silence when libvirt says nothing on it."""
        line.enter()
        try:
            line.answer(lambda connection: connection.getLibVersion())
        except Silence:
            raise Silence(f"{self._name}: libvirt does not answer") from None
        except (libvirt.libvirtError, Temporary):
            return False
        finally:
            line.leave()
        return line.alive

    def _failed(self, error: DriverError) -> None:
        with self._lock:
            self._silent = error if isinstance(error, Silence) else None
            self.failures += 1
            self._next = time.monotonic() + min(2.0 ** min(self.failures - 1, 10), _LONGEST)
        self._told(error)

    def _succeeded(self) -> None:
        with self._lock:
            self._silent, self.failures, self._next = None, 0, 0.0
        self._told(None)


def _worded(name: str, error: Exception) -> DriverError:
    if isinstance(error, DriverError):
        return error
    if isinstance(error, libvirt.libvirtError):
        return Temporary(f"{name}: libvirt: {error.get_error_message() or error}")
    traceback.print_exception(error)
    return Temporary(f"{name}: {type(error).__name__}: {error}")
