"""Decompression in bounded pieces."""
from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import Permanent
from drivers.ds.unpack import CHUNK, unpacked

PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
RANDOM = os.urandom(100_000)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[i:i + size] for i in range(0, len(data), size)]


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("content", [b"", b"x", bytes(3 * CHUNK + 5), RANDOM], ids=["empty", "one", "zeros", "random"])
@pytest.mark.parametrize("size", [7000, 1 << 20])
def test_content_comes_back_in_pieces(name: str, content: bytes, size: int) -> None:
    pieces = list(unpacked(name, cut(PACKERS[name](content), size), "x"))
    assert b"".join(pieces) == content
    assert all(0 < len(piece) <= CHUNK for piece in pieces)


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_files_in_a_row_and_padding(name: str, size: int) -> None:
    data = PACKERS[name](b"one ") + PACKERS[name](b"two") + bytes(8)
    assert b"".join(unpacked(name, cut(data, size), "x")) == b"one two"


@pytest.mark.parametrize("name", PACKERS)
def test_a_cut_file_is_refused(name: str) -> None:
    with pytest.raises(Permanent, match="too early|not valid"):
        list(unpacked(name, cut(PACKERS[name](RANDOM)[:-9], 4096), "/x"))


@pytest.mark.parametrize("name", PACKERS)
@settings(max_examples=20, deadline=None)
@given(st.integers(12, 500), st.binary(min_size=8, max_size=8))
def test_a_broken_file_is_refused_or_whole(name: str, at: int, junk: bytes) -> None:
    data = bytearray(PACKERS[name](RANDOM[:1000]))
    data[at:at + 8] = junk
    try:
        assert len(b"".join(unpacked(name, [bytes(data)], "/x"))) <= 2000
    except Permanent as error:
        assert "/x" in str(error)
