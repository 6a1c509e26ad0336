"""A line: one connection to libvirt that can be cut, so that whoever waits on it is free at once."""
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import libvirt

from drivers.base import Temporary
from drivers.vm import plugs
from drivers.vm.call import Call, Silence

OPEN_SECONDS = 10.0
"""How long a connection may take to be made."""
ANSWER_SECONDS = 10.0
"""How long a question may take that libvirt can answer at once."""
_KEEPALIVE = (5, 3)
_GIVEN_UP = "it was given up"
_POLL = 0.1

T = TypeVar("T")


class Line:
    """A connection, and who is on it: callers that wait (enter(), leave()), and calls, waited for or not.

    libvirt's library frees a connection that is closed whoever still uses it, so it is closed after the last call.
    """

    def __init__(self, connection: Any, sockets: list[socket.socket]) -> None:
        self.why = ""
        """Why it ended; '' while it stands."""
        self._connection = connection
        self._sockets = sockets
        self._lock = threading.Lock()
        self._users = self._calls = 0
        self._retired = self._freed = False
        self._undo: list[Callable[[Any], object]] = []

    @property
    def alive(self) -> bool:
        """Whether it may be used for something new."""
        with self._lock:
            return not (self.why or self._retired or self._freed) and bool(self._connection.isAlive())

    def ask(self, question: Callable[[Any], T]) -> Call[T]:
        """QUESTION(connection) on its way; Temporary when the line has ended."""
        with self._lock:
            if self.why:
                raise Temporary(self.why)
            self._calls += 1
        return Call(lambda: self._asked(question))

    def answer(self, question: Callable[[Any], T]) -> T:
        """What QUESTION(connection) gives; Silence, and the line is cut, when that takes ANSWER_SECONDS."""
        asked = self.ask(question)
        if not asked.wait(ANSWER_SECONDS):
            self.cut("libvirt does not answer")
            raise Silence("libvirt does not answer")
        return asked.result()

    def enter(self) -> None:
        """One user more."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """One user less; the last one of a retired line ends it."""
        with self._lock:
            self._users -= 1
            over = self._retired and not self._users
        if over:
            self.cut(_GIVEN_UP)

    def retire(self) -> None:
        """Nobody new on it; it ends with the last of its users."""
        with self._lock:
            self._retired = True
            over = not self._users
        if over:
            self.cut(_GIVEN_UP)

    def at_end(self, undo: Callable[[Any], object]) -> None:
        """Call UNDO(connection) when the line ends."""
        self._undo.append(undo)

    def cut(self, why: str) -> None:
        """End it: calls on it fail at once.  Never blocks."""
        with self._lock:
            if self.why:
                return
            self.why = why
            idle = not self._calls
        _shut(self._sockets)
        if idle:
            Call(self._free)

    def _asked(self, question: Callable[[Any], T]) -> T:
        try:
            return question(self._connection)
        finally:
            with self._lock:
                self._calls -= 1
                over = self.why and not self._calls
            if over:
                self._free()

    def _free(self) -> None:
        """libvirt keeps all of a connection while one of its callbacks is registered."""
        with self._lock:
            if self._freed:
                return
            self._freed = True
            undo, self._undo = self._undo, []
        for step in (*undo, _close):
            with suppress(libvirt.libvirtError):
                step(self._connection)


def _close(connection: Any) -> None:
    connection.close()


def open_line(host: str, uri: str, alone: threading.Lock) -> Line:
    """A new line to HOST's URI; Temporary when libvirt is not there, Silence when it takes longer than OPEN_SECONDS.

    Under ALONE, so that two to the same place do not take each other's socket for theirs.
    """
    start_event_loop()
    with alone:
        before = plugs.inodes()
        made = Call(lambda: _keep_alive(libvirt.open(uri)))
        in_time = made.wait(OPEN_SECONDS)
        sockets = plugs.plugged(plugs.path_of(uri), before)
    try:
        if not in_time:
            raise Silence(f"{host}: libvirt does not answer within {OPEN_SECONDS:g} s")
        return Line(made.result(), sockets)
    except libvirt.libvirtError as error:
        _shut(sockets)
        raise Temporary(f"{host}: libvirt: {error.get_error_message() or error}") from None
    except Silence:
        _shut(sockets)
        raise


def _keep_alive(connection: Any) -> Any:
    try:
        connection.setKeepAlive(*_KEEPALIVE)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
    return connection


def _shut(sockets: list[socket.socket]) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@cache
def start_event_loop() -> threading.Thread:
    """libvirt's event loop, in a thread: keepalive and callbacks of all connections live on it.

    There is one a process, and it has to run before the first connection is made: libvirt holds it in a global.
    """
    libvirt.virEventRegisterDefaultImpl()
    libvirt.registerErrorHandler(lambda *_: None, None)
    thread = threading.Thread(target=_run_events, name="libvirt-events", daemon=True)
    thread.start()
    return thread


def _run_events() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            time.sleep(_POLL)
