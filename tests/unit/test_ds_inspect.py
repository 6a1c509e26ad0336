"""What an image's first bytes say, and which images are refused."""
from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_ground import needs_qemu_img, qemu_img

from drivers.base import Permanent
from drivers.ds.inspect import HEAD, inspect, packing, refuse_foreign


def head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def header(version: int = 3, backing: int = 0, size: int = 1 << 20, features: int = 0) -> bytes:
    return struct.pack(">4sIQIIQ", b"QFI\xfb", version, backing, 0, 16, size).ljust(72, b"\0") + \
        struct.pack(">QQQII", features, 0, 0, 4, 104)


@needs_qemu_img
@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vdi", "vhdx", "vpc", "qed", "parallels"])
def test_formats_as_qemu_makes_them(tmp_path: Path, form: str) -> None:
    path = tmp_path / "image"
    qemu_img("create", "-q", "-f", form, path, "16M")
    look = inspect(head(path))
    assert look.form == form
    if form == "qcow2":
        assert look.virtual_size == 16 << 20 and not look.backing_file
        refuse_foreign(look, "x", "QCOW2")
    else:
        with pytest.raises(Permanent, match=f"{form} is no format that hosts run"):
            refuse_foreign(look, "x")


@needs_qemu_img
def test_references_to_other_files_are_refused(tmp_path: Path) -> None:
    qemu_img("create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", tmp_path / "backing", "1M")
    external = ("-o", f"data_file={tmp_path}/data,data_file_raw=on")
    qemu_img("create", "-q", "-f", "qcow2", *external, tmp_path / "external", "1M")
    for name, said in (("backing", "a backing file"), ("external", "an external data file")):
        with pytest.raises(Permanent, match=said):
            refuse_foreign(inspect(head(tmp_path / name)), "PATH x")


@pytest.mark.parametrize("bad", [b"QFI\xfb", header(1), header(9), header(size=0), header(size=1 << 62)])
def test_a_bad_header_is_refused(bad: bytes) -> None:
    with pytest.raises(Permanent):
        inspect(bad)


def test_a_backing_file_is_seen_in_either_version() -> None:
    assert inspect(header(2, backing=200)).backing_file and inspect(header(3, backing=200)).backing_file
    assert inspect(header(3, features=4)).data_file and not inspect(header(2, features=4)).data_file


def test_a_declared_format_must_be_true() -> None:
    with pytest.raises(Permanent, match="FORMAT says raw and the file is qcow2"):
        refuse_foreign(inspect(header()), "x", "raw")


@given(st.binary(max_size=200))
def test_any_bytes_are_something_or_refused(data: bytes) -> None:
    for prefix in (b"", b"QFI\xfb"):
        try:
            assert inspect(prefix + data).form
        except Permanent:
            assert prefix or data.startswith(b"QFI")


@pytest.mark.parametrize(("magic", "name"), [(b"\x1f\x8b\x08", "gzip"), (b"BZh9", "bzip2"), (b"\xfd7zXZ\0", "xz"),
                                             (b"\x28\xb5\x2f\xfd", "zstd"), (b"hello", ""), (b"", "")])
def test_packings(magic: bytes, name: str) -> None:
    assert packing(magic) == name
