"""Frames between a driver and its program on a host: two lengths, a JSON document, and bytes that go with it.

A frame of two zero lengths says only that somebody is there.  Who hears nothing for SILENCE seconds is alone.
"""
from __future__ import annotations

import json
import os
import select
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

Doc = dict[str, Any]
SILENCE = 60.0
MOST = 80 * 1024 * 1024
"""Bytes of the largest frame."""
BEAT = bytes(8)
"""The frame that says nothing."""
START = b"\n\x00onecore hand\n"
"""What a program says first: anything before is a shell's chatter."""
_HEAD = struct.Struct(">II")
_CHUNK = 256 * 1024
_CHATTER = 64 * 1024


class FrameError(ValueError):
    """The stream is not what this module writes."""


def pack(document: Doc | None, data: bytes = b"") -> bytes:
    """The frame for DOCUMENT and DATA."""
    text = b"" if document is None else json.dumps(document).encode()
    if len(text) + len(data) > MOST:
        raise FrameError(f"a frame of {len(text) + len(data)} bytes is too large")
    return b"".join((_HEAD.pack(len(text), len(data)), text, data))


class Reader:
    """Bytes in, frames out; nothing counts before START has come, if that is waited for."""

    def __init__(self, start: bytes = b"") -> None:
        self._buffer = bytearray()
        self._start = start

    def feed(self, chunk: bytes) -> Iterator[tuple[Doc, bytes]]:
        """The frames that CHUNK completes; those that say nothing are left out."""
        self._buffer += chunk
        while self._started() and len(self._buffer) >= _HEAD.size:
            text, data = _HEAD.unpack_from(self._buffer)
            if text + data > MOST:
                raise FrameError(f"a frame of {text + data} bytes is too large")
            end = _HEAD.size + text + data
            if len(self._buffer) < end:
                return
            frame = bytes(self._buffer[_HEAD.size:end])
            del self._buffer[:end]
            if frame:
                yield _document(frame[:text]), frame[text:]

    def _started(self) -> bool:
        if self._start:
            before, found, rest = self._buffer.partition(self._start)
            if not found and len(before) > _CHATTER:
                raise FrameError(f"no program but a talking shell: {bytes(before[:80])!r}")
            if found:
                self._buffer, self._start = rest, b""
        return not self._start


def _document(text: bytes) -> Doc:
    try:
        document = json.loads(text) if text else {}
    except ValueError as error:
        raise FrameError(f"no JSON: {text[:80]!r}") from error
    if not isinstance(document, dict):
        raise FrameError(f"no JSON object: {text[:80]!r}")
    return document


class Wire:
    """A program's way to its driver, over two descriptors."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._ends: list[int] = []
        self._reader = Reader()
        self._frames: deque[tuple[Doc, bytes]] = deque()
        self._writing = threading.Lock()
        self._heard = time.monotonic()

    def send(self, document: Doc | None, data: bytes = b"") -> None:
        """Send a document, whole, from any thread; OSError when nobody listens any more."""
        rest = memoryview(pack(document, data))
        with self._writing:
            while rest:
                rest = rest[os.write(self._sink, rest):]

    def end_at(self, fd: int) -> None:
        """Count the driver as gone once FD can be read."""
        self._ends.append(fd)

    def receive(self, seconds: float | None = None) -> tuple[Doc, bytes]:
        """The next document and its bytes; TimeoutError after SECONDS, EOFError when the driver is gone or silent.

        To notice that in time a program must ask every few seconds.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while not self._frames:
            if self._waited(end):
                self._read()
            elif end is not None and time.monotonic() >= end:
                raise TimeoutError
        return self._frames.popleft()

    def _waited(self, end: float | None) -> bool:
        """Whether there is something to read before END, or before the silence was too long."""
        now = time.monotonic()
        last = self._heard + SILENCE
        until = last if end is None else min(end, last)
        ready = select.select([self._source, *self._ends], [], [], max(0.0, until - now))[0]
        if any(each in ready for each in self._ends):
            raise EOFError("told to end")
        if ready:
            return True
        if time.monotonic() >= last:
            raise EOFError(f"nothing was heard for {SILENCE:g} s")
        return False

    def _read(self) -> None:
        chunk = os.read(self._source, _CHUNK)
        if not chunk:
            raise EOFError("the channel was closed")
        self._heard = time.monotonic()
        self._frames.extend(self._reader.feed(chunk))
