"""Bytes on their way into an image file: counted, hashed, told of, written sparsely, never more than there is room."""
from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO

from drivers.base import Context, Permanent, Temporary
from drivers.ds.fetch import Origin
from drivers.ds.unpack import CHUNK

_BLOCK = 1 << 16
_ZEROS = bytes(_BLOCK)
CHECKSUMS = ("MD5", "SHA1", "SHA256")


def chunks(ctx: Context, origin: Origin, what: str, watch: Callable[[bytes], object] = len) -> Iterator[bytes]:
    """The bytes of ORIGIN, each shown to WATCH; tells the core how far it is, stops when the command is cancelled."""
    done = 0
    while data := origin.stream.read(CHUNK):
        ctx.check()
        watch(data)
        done += len(data)
        ctx.progress(what, done, max(done, origin.length))
        yield data


class Checksums:
    """The checksums that an image's attributes promise, of the bytes as they come from the origin."""

    def __init__(self, attrs: Mapping[str, object]) -> None:
        promised = {name: str(attrs[name]).strip().lower() for name in CHECKSUMS if attrs.get(name)}
        self._promised = promised
        self._sums = {name: hashlib.new(name.lower(), usedforsecurity=False) for name in promised}

    def add(self, data: bytes) -> None:
        """More bytes."""
        for made in self._sums.values():
            made.update(data)

    def check(self, what: str) -> None:
        """Raise Permanent, naming WHAT, when one differs."""
        for name, made in self._sums.items():
            if made.hexdigest() != self._promised[name]:
                raise Permanent(f"{what}: {name} is {made.hexdigest()}, not {self._promised[name]}")


def pour(pieces: Iterable[bytes], path: str, limit: int, full: str) -> int:
    """Write PIECES to the new file PATH, zeros as holes, on stable storage; the number of bytes.

    Raises Permanent with the text FULL when there are more than LIMIT, Temporary when the disk is full all the same.
    """
    with open(path, "wb") as file:
        try:
            size = _pour(pieces, file, limit, full)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            kind = Temporary if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else Permanent
            raise kind(f"{path}: {error.strerror}") from None
    return size


def _pour(pieces: Iterable[bytes], file: BinaryIO, limit: int, full: str) -> int:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise Permanent(full)
        for start in range(0, len(piece), _BLOCK):
            _write(piece[start:start + _BLOCK], file)
    file.truncate(size)
    return size


def _write(block: bytes, file: BinaryIO) -> None:
    if block == _ZEROS[:len(block)]:
        file.seek(len(block), os.SEEK_CUR)
    else:
        file.write(block)
