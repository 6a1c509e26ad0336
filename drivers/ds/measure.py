"""How big an image would be: from its header where that says it, else by its length, else by counting."""
from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from drivers.base import Context
from drivers.ds.fetch import Origin
from drivers.ds.inspect import HEAD, inspect, packing, refuse_foreign
from drivers.ds.pour import chunks
from drivers.ds.unpack import unpacked


def measure(ctx: Context, origin: Origin, path: str, unpacks: bool, is_disk: bool) -> tuple[str, int]:
    """Format and virtual size in bytes of what comes from ORIGIN; raises Permanent for what hosts may not open.

    A zstd file is taken at its packed size, here only: registering it gives the true one.
    """
    pieces = chunks(ctx, origin, f"measuring {path}")
    first = next(pieces, b"")
    how = packing(first) if unpacks else ""
    if how and how != "zstd":
        return _measure(unpacked(how, chain([first], pieces), path), path, -1, is_disk)
    return _measure(chain([first], pieces), path, origin.length, is_disk)


def _measure(pieces: Iterator[bytes], path: str, length: int, is_disk: bool) -> tuple[str, int]:
    head = b""
    while len(head) < HEAD and (piece := next(pieces, b"")):
        head += piece
    if is_disk:
        look = inspect(head)
        refuse_foreign(look, path)
        if look.virtual_size:
            return look.form, look.virtual_size
    return "raw", length if length >= 0 else len(head) + sum(map(len, pieces))
