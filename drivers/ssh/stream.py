"""The frames of one program on a host: a channel, moved by the connection's attendant."""
from __future__ import annotations

import selectors
import traceback
from collections import deque
from collections.abc import Callable

import paramiko

from drivers.base import Temporary
from drivers.hand.wire import START, FrameError, Reader, pack
from drivers.ssh.attendant import Attendant
from drivers.ssh.connect import close
from onecore.wire.messages import Doc

Hear = Callable[[Doc | None, bytes], None]
"""hear(document, bytes); None when the program has ended."""
_CHUNK = 256 * 1024
_PACKET = 64 * 1024
_TURNS = 8
_TAIL = 2000
_LAST = 50
"""Moments that an exit code is waited for."""
_MOST = 96 * 1024 * 1024
"""Bytes that may wait for a program that does not listen."""


class Stream:
    """What is sent is queued, what comes is handed to HEAR on the attendant's thread, which must not block."""

    def __init__(self, channel: paramiko.Channel, attendant: Attendant, hear: Hear, heard: Callable[[], None]) -> None:
        self._channel = channel
        self._attendant = attendant
        self._hear = hear
        self._heard = heard
        self._reader = Reader(START)
        self._out: deque[memoryview] = deque()
        self._waits = False
        self.ended = False
        self._over = 0
        self._stderr = b""
        self.pending = 0
        self.on_sent: Callable[[], None] = lambda: None
        """Called when all that was queued is sent."""
        channel.settimeout(0.0)
        self._fd = channel.fileno()

    def open(self) -> None:
        """Begin to listen; on the attendant's thread."""
        self._attendant.watch(self._fd, self._readable, selectors.EVENT_READ, self._end)
        self._flush()

    def pause(self) -> None:
        """Take nothing more for now: the program has to wait."""
        if not self.ended:
            self._attendant.watch(self._fd, self._readable, 0, self._end)

    def send(self, document: Doc | None, data: bytes = b"") -> None:
        """Queue a document, from any thread; Temporary when the program has ended or does not listen."""
        self.post(pack(document, data))

    def post(self, frame: bytes) -> None:
        """Queue a frame."""
        if self.pending > _MOST:
            raise Temporary("the program on the host does not listen")
        self.pending += len(frame)
        self._out.append(memoryview(frame))
        if self.ended or not self._attendant.call(self._flush):
            raise Temporary("the program on the host has ended")

    def close(self) -> None:
        """End the program: it hears the end of its input."""
        self._attendant.call(self._end)

    @property
    def last_words(self) -> str:
        """What its standard error said at last, and how it ended."""
        words = self._stderr.decode(errors="replace").strip()
        code = self._channel.exit_status if self._channel.exit_status_ready() else -1
        return words or (f"ended with {code}" if code >= 0 else "the channel was closed")

    @property
    def exit_code(self) -> int:
        """Its exit code, -1 when that is not known."""
        return self._channel.exit_status if self._channel.exit_status_ready() else -1

    def _flush(self) -> None:
        """Send what the channel takes; the rest a moment later."""
        while self._out and not self.ended:
            try:
                sent = self._channel.send(bytes(self._out[0][:_PACKET]))
            except TimeoutError:
                if not self._waits:
                    self._waits = True
                    self._attendant.again(self._again)
                return
            except OSError:
                return self._end()
            self.pending -= sent
            self._out[0] = self._out[0][sent:]
            if not self._out[0]:
                self._out.popleft()
        self.on_sent()

    def _again(self) -> None:
        self._waits = False
        self._flush()

    def _readable(self) -> None:
        channel = self._channel
        over = channel.closed or channel.eof_received
        for _ in range(_TURNS):
            if channel.recv_stderr_ready():
                self._stderr = (self._stderr + channel.recv_stderr(_CHUNK))[-_TAIL:]
            if not channel.recv_ready():
                break
            self._heard()
            self._take(channel.recv(_CHUNK))
        if over and not channel.recv_ready() and not channel.recv_stderr_ready():
            self.pause()
            self._end_when_known()

    def _end_when_known(self) -> None:
        """The exit code may come a moment after the end of what was said."""
        self._over += 1
        if self._channel.closed or self._channel.exit_status_ready() or self._over > _LAST:
            self._end()
        elif not self.ended:
            self._attendant.again(self._end_when_known)

    def _take(self, chunk: bytes) -> None:
        try:
            for document, data in self._reader.feed(chunk):
                self._tell(document, data)
        except FrameError as error:
            self._stderr += str(error).encode()
            self._end()

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            self._attendant.forget(self._fd)
            close(self._channel)
            self._tell(None, b"")

    def _tell(self, document: Doc | None, data: bytes) -> None:
        if document is None or not self.ended:
            try:
                self._hear(document, data)
            except Exception:
                traceback.print_exc()
