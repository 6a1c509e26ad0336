"""Decompression as a stream of chunks: gzip, bzip2 and xz by Python, zstd by its own tool."""
from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from drivers.base import Permanent

CHUNK = 1 << 20


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def unpacked(packing: str, chunks: Iterable[bytes], what: str) -> Iterator[bytes]:
    """The content of CHUNKS that are packed with PACKING (gzip, bzip2, xz), in pieces of at most CHUNK bytes.

    Several packed files one after the other are one content.  Raises Permanent, naming WHAT, when they are broken.
    """
    inflater = _inflater(packing)
    fresh = True
    try:
        for chunk in chunks:
            while chunk := chunk.lstrip(b"\0") if fresh else chunk:
                fresh = False
                yield from _pieces(inflater, chunk)
                if not inflater.eof:
                    break
                chunk, inflater, fresh = inflater.unused_data, _inflater(packing), True
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise Permanent(f"{what}: not valid {packing}: {error}") from None
    if not fresh:
        raise Permanent(f"{what}: the {packing} file ends too early")


def _pieces(inflater: _Inflater, chunk: bytes) -> Iterator[bytes]:
    while True:
        piece = inflater.decompress(chunk, CHUNK)
        if piece:
            yield piece
        chunk = _rest(inflater)
        if inflater.eof or not (chunk or len(piece) == CHUNK):
            return


def _rest(inflater: _Inflater) -> bytes:
    """zlib hands back the input that it did not use; the others keep it."""
    return getattr(inflater, "unconsumed_tail", b"")


def _inflater(packing: str) -> _Inflater:
    if packing == "gzip":
        return zlib.decompressobj(wbits=31)
    return bz2.BZ2Decompressor() if packing == "bzip2" else lzma.LZMADecompressor()
