"""Files on their way to and from a host, and from place to place on one: without their zeros, durable, compared.

A file's digest is SHA-256 over its blocks that are not zero, each with its offset, and over its size: alike for the
same content however sparse.
"""
from __future__ import annotations

import errno
import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from drivers.hand.failure import Failure, os_failures
from drivers.hand.fence import check
from drivers.hand.wire import Doc, Wire

BLOCK = 256 * 1024
_PIECE = 64 * 1024
_ZEROS = bytes(BLOCK)
_OFFSET = struct.Struct(">Q")
_FLUSH = 256 * 1024 * 1024
_TELL = 0.5


class Digest:
    """The digest of a file whose blocks are told one after another."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()

    def add(self, offset: int, data: bytes) -> None:
        """The block at OFFSET, which is not zero."""
        self._sum.update(_OFFSET.pack(offset))
        self._sum.update(data)

    def end(self, size: int) -> str:
        """The digest of the whole file of SIZE bytes."""
        self._sum.update(_OFFSET.pack(size))
        return self._sum.hexdigest()


class Target:
    """A file that is written block by block; what was in it before is gone."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._dirty = 0

    def put(self, offset: int, data: bytes) -> None:
        """Write DATA at OFFSET but for its zeros."""
        for at in range(0, len(data), _PIECE):
            piece = data[at:at + _PIECE]
            if piece != _ZEROS[:len(piece)]:
                _write_all(self._fd, piece, offset + at)
        self._dirty += len(data)
        if self._dirty >= _FLUSH:
            os.fdatasync(self._fd)
            self._dirty = 0

    def end(self, size: int) -> None:
        """Give the file its size and make it durable."""
        os.ftruncate(self._fd, size)
        os.fsync(self._fd)

    def close(self) -> None:
        """Close it; without end() it is incomplete."""
        os.close(self._fd)


def blocks(fd: int, size: int, seen: Callable[[int], object]) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of each block of a file of SIZE bytes that is not zero.

    Holes are not read where the file system tells of them; NFS before 4.2 does not.  So SEEN gets the offset of each
    block that was read, of zeros too: they may take long.
    """
    at = 0
    while at < size:
        at = _next_data(fd, at, size)
        data = _read_block(fd, at, min(BLOCK, size - at)) if at < size else b""
        seen(at)
        if data != _ZEROS[:len(data)]:
            yield at, data
        at += BLOCK


def measure(path: str, tell: Callable[[int], object]) -> str:
    """The digest of the file at PATH; TELL gets the offset of each block that was read."""
    digest = Digest()
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        for at, data in blocks(fd, size, tell):
            digest.add(at, data)
    finally:
        os.close(fd)
    return digest.end(size)


class Occasionally:
    """Lets a call through every half second."""

    def __init__(self, call: Callable[[int], object]) -> None:
        self._call = call
        self._last = time.monotonic()

    def __call__(self, value: int) -> None:
        if time.monotonic() - self._last >= _TELL:
            self._call(value)
            self._last = time.monotonic()


def receive(argument: Doc, wire: Wire) -> None:
    """The program that writes what it is sent to `path`, and answers with the digest of what is there then."""
    _answering(wire, lambda: _receive(argument, wire))


def send(argument: Doc, wire: Wire) -> None:
    """The program that sends the file `path` and its digest."""
    _answering(wire, lambda: _send(argument, wire))


def _answering(wire: Wire, work: Callable[[], Doc]) -> None:
    try:
        wire.send(work())
    except Failure as failure:
        wire.send({"error": str(failure), "temporary": failure.temporary})
    except (EOFError, BrokenPipeError):
        return


def _receive(argument: Doc, wire: Wire) -> Doc:
    path = argument["path"]
    _check(argument)
    with os_failures(path):
        target = Target(path)
        try:
            size = _fill(target, wire)
        finally:
            target.close()
        wire.send({"checked": 0})
        digest = measure(path, Occasionally(lambda at: wire.send({"checked": at})))
    _check(argument)
    return {"size": size, "digest": digest}


def _fill(target: Target, wire: Wire) -> int:
    while True:
        document, data = wire.receive()
        if "size" in document:
            target.end(document["size"])
            return int(document["size"])
        target.put(document["at"], data)


def _send(argument: Doc, wire: Wire) -> Doc:
    path, digest = argument["path"], Digest()
    with os_failures(path):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            wire.send({"total": size})
            alive = Occasionally(lambda at: wire.send({"at": at}))
            for at, data in blocks(fd, size, alive):
                digest.add(at, data)
                wire.send({"at": at}, data)
        except BrokenPipeError:
            raise EOFError from None
        finally:
            os.close(fd)
    return {"size": size, "digest": digest.end(size)}


def _check(argument: Doc) -> None:
    """Whether the operation that sent this is still the newest of its VM."""
    fences: list[Any] = argument.get("fences", [])
    for path, mark in fences:
        check(path, mark)


def _next_data(fd: int, at: int, size: int) -> int:
    """The start of the first block from AT on that has data; SIZE when there is none."""
    try:
        found = os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size
        return at
    return found - found % BLOCK


def _read_block(fd: int, at: int, length: int) -> bytes:
    """LENGTH bytes at AT; a file that shrank meanwhile is a Failure."""
    data = os.pread(fd, length, at)
    while len(data) < length:
        more = os.pread(fd, length - len(data), at + len(data))
        if not more:
            raise Failure("the file became shorter while it was copied", temporary=True)
        data += more
    return data


def _write_all(fd: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        done = os.pwrite(fd, rest, at)
        rest, at = rest[done:], at + done
