"""A line: one connection to libvirt that can be cut, so that whoever waits on it is free at once."""
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import libvirt

from drivers.base import Temporary
from drivers.vm import plugs
from drivers.vm.call import Call, Silence

OPEN_SECONDS = 10.0
"""How long a connection may take to be made."""
_KEEPALIVE = (5, 3)
_CLOSE_SECONDS = 1.0
_POLL = 0.1


class Line:
    """`libvirt` is the connection.  Those who wait for its answers are counted: enter(), leave()."""

    def __init__(self, connection: Any, sockets: list[socket.socket]) -> None:
        self.libvirt = connection
        self.why = ""
        """Why it was cut; '' while it was not."""
        self._sockets = sockets
        self._lock = threading.Lock()
        self._users = 0
        self._retired = False
        self._undo: list[Callable[[], object]] = []

    @property
    def alive(self) -> bool:
        """Whether it may be used for something new."""
        return not self.why and not self._retired and bool(self.libvirt.isAlive())

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
            Call(self.close)

    def retire(self) -> None:
        """Nobody new on it; it ends with the last of its users."""
        with self._lock:
            self._retired = True
            over = not self._users
        if over:
            Call(self.close)

    def at_end(self, undo: Callable[[], object]) -> None:
        """Call UNDO when the line ends."""
        self._undo.append(undo)

    def cut(self, why: str) -> None:
        """End it: calls on it fail.  Never blocks."""
        if self._ended(why):
            _shut(self._sockets)
            Call(self._free)

    def close(self) -> None:
        """End it in order, if its libvirt answers; by force otherwise."""
        if self._ended("it was given up"):
            Call(self._free).wait(_CLOSE_SECONDS)
            _shut(self._sockets)

    def _ended(self, why: str) -> bool:
        """Whether this is the end, and not after it."""
        with self._lock:
            first, self.why = not self.why, self.why or why
        return first

    def _free(self) -> None:
        """libvirt frees nothing of a connection while one of its callbacks is registered."""
        for step in (*self._undo, self.libvirt.close):
            with suppress(libvirt.libvirtError):
                step()


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
