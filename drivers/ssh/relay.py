"""Relays: sockets of this process whose connections end at a socket of a host."""
from __future__ import annotations

import os
import selectors
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from drivers.base import DriverError, Program
from drivers.ssh.attendant import Attendant
from drivers.ssh.stream import Hear, Stream
from onecore.wire.messages import Doc

RELAY = Program("drivers.hand.relay:relay", ("drivers.hand.relay",))
_CHUNK = 64 * 1024
_MOST = 512 * 1024
"""Bytes that wait in one direction before the other side has to."""
Start = Callable[[Doc, Hear], Stream]


class Relays:
    """The relays of one connection to a host; they end with it."""

    def __init__(self, attendant: Attendant, start: Start) -> None:
        self._attendant = attendant
        self._start = start
        self._lock = threading.Lock()
        self._paths: set[str] = set()

    def listen(self, path: str, sockets: Sequence[str]) -> bool:
        """Let connections to PATH reach the first of SOCKETS; false when the connection has ended."""
        with self._lock:
            if path in self._paths:
                return True
            listener = _bound(path)
            self._paths.add(path)
        if self._attendant.call(lambda: self._begin(listener, path, list(sockets))):
            return True
        listener.close()
        return False

    def _begin(self, listener: socket.socket, path: str, sockets: list[str]) -> None:
        node = os.stat(path).st_ino
        self._attendant.watch(listener.fileno(), lambda: self._accept(listener, sockets), selectors.EVENT_READ,
                              lambda: _unbind(listener, path, node))

    def _accept(self, listener: socket.socket, sockets: list[str]) -> None:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        near.setblocking(False)
        bridge = Bridge(near, self._attendant)
        try:
            bridge.join(self._start({"sockets": sockets}, bridge.hear))
        except DriverError:
            bridge.end()


class Bridge:
    """One connection through a relay, on the attendant's thread; neither side waits for more than it has to."""

    def __init__(self, near: socket.socket, attendant: Attendant) -> None:
        self._near = near
        self._attendant = attendant
        self._stream: Stream | None = None
        self._out = bytearray()
        self._over = self._paused = False

    def join(self, stream: Stream) -> None:
        """Carry bytes between the socket and STREAM."""
        self._stream = stream
        stream.on_sent = self._watch
        self._watch()

    def hear(self, document: Doc | None, data: bytes) -> None:
        """What comes from the host; its end, or its refusal, is the socket's."""
        if document is None or "error" in document:
            self._over = True
        self._out += data
        self._pour()

    def end(self) -> None:
        """Close both sides."""
        if self._near.fileno() >= 0:
            self._attendant.forget(self._near.fileno())
            self._near.close()
            if self._stream is not None:
                self._stream.close()

    def _watch(self) -> None:
        if self._stream is None or self._near.fileno() < 0:
            return
        events = selectors.EVENT_READ if self._stream.pending < _MOST else 0
        if self._out:
            events |= selectors.EVENT_WRITE
        self._attendant.watch(self._near.fileno(), self._ready, events, self.end)

    def _ready(self) -> None:
        if self._out:
            self._pour()
        if self._stream is None or self._near.fileno() < 0 or self._stream.pending >= _MOST:
            return
        try:
            data = self._near.recv(_CHUNK)
            if data:
                self._stream.send(None, data)
                return self._watch()
        except BlockingIOError:
            return
        except (OSError, DriverError):
            pass
        self.end()

    def _pour(self) -> None:
        """Give the socket what it takes; let the host wait when it takes too little."""
        try:
            with suppress(BlockingIOError):
                while self._out:
                    del self._out[:self._near.send(self._out)]
        except OSError:
            return self.end()
        if self._over and not self._out:
            return self.end()
        self._balance()
        self._watch()

    def _balance(self) -> None:
        if self._stream is not None and self._paused != (len(self._out) >= _MOST):
            self._paused = not self._paused
            if self._paused:
                self._stream.pause()
            else:
                self._stream.open()


def _bound(path: str) -> socket.socket:
    """A listener at PATH that takes the place of an older one in one step."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(f"{path}.new")
        os.chmod(f"{path}.new", 0o1700)  # sticky: systemd-tmpfiles, which knows no renamed socket as alive, leaves it
        listener.listen(16)
        listener.setblocking(False)
        os.rename(f"{path}.new", path)
    except BaseException:
        listener.close()
        raise
    return listener


def _unbind(listener: socket.socket, path: str, node: int) -> None:
    listener.close()
    with suppress(FileNotFoundError):
        if os.stat(path).st_ino == node:
            os.unlink(path)
