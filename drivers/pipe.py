"""The two descriptors to the core: messages in from one thread, out from any."""
from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator

from onecore.wire.messages import Frames, Message, encode

_CHUNK = 256 * 1024


class Outlet:
    """Writes messages whole, one after the other; blocks while the core does not read."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._lost = False

    def send(self, message: Message) -> None:
        """Write MESSAGE; once the core is gone, nothing."""
        data = memoryview(encode(message))
        with self._lock:
            while data and not self._lost:
                data = data[self._write(data):]

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            select.select([], [self._fd], [])
        except (BrokenPipeError, ConnectionResetError):
            self._lost = True
        return 0


class Inlet:
    """Reads messages; what can be read from BELL ends a wait for them."""

    def __init__(self, fd: int, bell: int) -> None:
        self._fd, self._bell = fd, bell
        self._frames = Frames()
        self.closed = False
        """Whether the core closed its end."""

    def receive(self, seconds: float | None) -> Iterator[Message]:
        """The messages that come next, none after SECONDS or when the bell rang; raises FrameError."""
        readable, _, _ = select.select([self._fd, self._bell], [], [], seconds)
        if self._fd in readable:
            yield from self._frames.feed(self._read())

    def _read(self) -> bytes:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return b""
        except ConnectionResetError:
            data = b""
        self.closed = not data
        return data
