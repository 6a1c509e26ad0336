"""What an image file is, told from its first bytes alone: no tool opens a file that nobody has looked at.

A qcow2 header can name other files (a backing file, an external data file); whoever opens such an image reads, as root,
what the image's author chose.  So the header is read here, and such images are refused (`refuse_foreign`).
"""
from __future__ import annotations

import struct
from dataclasses import dataclass

from drivers.base import Permanent

HEAD = 4096
"""Bytes of a file that `inspect` wants to see (fewer are fine)."""
_EXTERNAL_DATA = 4
_VERSIONS = (2, 3)
_MAX_SIZE = 1 << 53

_FOREIGN = (
    (b"KDMV", "vmdk"), (b"COWD", "vmdk"), (b"# Disk DescriptorFile", "vmdk"), (b"conectix", "vpc"),
    (b"vhdxfile", "vhdx"), (b"QED\0", "qed"), (b"LUKS\xba\xbe", "luks"), (b"WithoutFreeSpace", "parallels"),
    (b"WithouFreSpacExt", "parallels"),
)
_PACKED = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))


@dataclass(frozen=True, slots=True)
class Look:
    """What a file's head says: its format and, for qcow2, the size in bytes that a guest sees and whom it refers to."""

    form: str
    virtual_size: int = 0
    backing_file: bool = False
    data_file: bool = False


def packing(head: bytes) -> str:
    """How the file is compressed: gzip, bzip2, xz, zstd, or the empty text."""
    return next((name for magic, name in _PACKED if head.startswith(magic)), "")


def inspect(head: bytes) -> Look:
    """The format of the file that begins with HEAD, raw when it is none known; raises Permanent for a bad header."""
    if head.startswith(b"QFI\xfb"):
        return _qcow2(head)
    if head[64:68] == b"\x7f\x10\xda\xbe":
        return Look("vdi")
    return Look(next((name for magic, name in _FOREIGN if head.startswith(magic)), "raw"))


def _qcow2(head: bytes) -> Look:
    if len(head) < 104:
        raise Permanent("the file ends within its qcow2 header")
    version, backing_offset, backing_length = struct.unpack_from(">IQI", head, 4)
    size, = struct.unpack_from(">Q", head, 24)
    features, = struct.unpack_from(">Q", head, 72)
    if version not in _VERSIONS:
        raise Permanent(f"a qcow2 file of version {version}, known are 2 and 3")
    if not 0 < size <= _MAX_SIZE:
        raise Permanent(f"a qcow2 file of {size} bytes")
    external = version >= 3 and bool(features & _EXTERNAL_DATA)
    return Look("qcow2", size, bool(backing_offset or backing_length), external)


def refuse_foreign(look: Look, what: str, declared: str = "") -> None:
    """Raise Permanent unless the image stands alone, in a format that hosts run: in DECLARED, if that is given."""
    if look.backing_file or look.data_file:
        names = "a backing file" if look.backing_file else "an external data file"
        raise Permanent(f"{what}: the image refers to {names}; make it stand alone with qemu-img convert -O qcow2")
    if look.form not in ("raw", "qcow2"):
        raise Permanent(f"{what}: {look.form} is no format that hosts run; convert it with qemu-img convert -O qcow2")
    if declared and declared.lower() != look.form:
        raise Permanent(f"{what}: FORMAT says {declared} and the file is {look.form}")
