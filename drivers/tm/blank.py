"""The steps that make an empty disk file, with or without a file system: volatile disks, and new images."""
from __future__ import annotations

from drivers.base import Permanent
from drivers.tm.steps import Step

_MAKERS: dict[str, tuple[str, ...]] = {
    "ext2": ("mkfs.ext2", "-q", "-F"),
    "ext3": ("mkfs.ext3", "-q", "-F"),
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
    "f2fs": ("mkfs.f2fs", "-q", "-f"),
    "vfat": ("mkfs.vfat",),
    "ntfs": ("mkfs.ntfs", "-q", "-F", "-f"),
    "swap": ("mkswap",),
}


def file_systems() -> list[str]:
    """The names that `fs` may have, besides none."""
    return sorted(_MAKERS)


def blank_steps(what: str, path: str, size_mb: int, image_format: str, fs: str = "") -> list[Step]:
    """Steps that leave at PATH an empty disk of SIZE_MB with file system FS (or none); raises Permanent.

    A file system is made in a raw file beside it, `PATH.raw`, and converted when the format is another.
    """
    if size_mb <= 0:
        raise Permanent(f"{what}: a size of {size_mb} MB")
    if not fs:
        return [_create(what, path, size_mb, image_format)]
    maker = _MAKERS.get(fs.lower())
    if maker is None:
        raise Permanent(f"{what}: no file system {fs!r}; known: {', '.join(file_systems())}")
    if image_format == "raw":
        return [_create(what, path, size_mb, "raw"), Step(what, (*maker, path), grows=path)]
    raw = f"{path}.raw"
    return [*blank_steps(what, raw, size_mb, "raw", fs),
            Step(what, ("qemu-img", "convert", "-q", "-f", "raw", "-O", image_format, raw, path), grows=path),
            Step(what, ("rm", "-f", "--", raw))]


def _create(what: str, path: str, size_mb: int, image_format: str) -> Step:
    return Step(what, ("qemu-img", "create", "-q", "-f", image_format, path, f"{size_mb}M"))
