"""Where a VM's disks lie on its host and what each of them is there.  Pure: nothing is looked at, nothing is done."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from drivers.base import Permanent
from onecore.wire.messages import Doc

Disk = Mapping[str, str]
Kind = Literal["clone", "link", "swap", "fs", "raw"]
VOLATILE: tuple[Kind, ...] = ("swap", "fs", "raw")
_FORMATS = ("raw", "qcow2")
_DIR = re.compile(r"(/[^/\0\n]+)+/[0-9]+\Z")


def vm_dir(vm: Doc) -> str:
    """The VM's directory, checked: absolute, two levels deep at least, named after the VM; raises Permanent."""
    path = str(vm["dir"])
    levels = path.split("/")[1:]
    if not _DIR.match(path) or levels[-1] != str(vm["id"]) or len(levels) < 3 or {".", ".."} & set(levels):
        raise Permanent(f"VM {vm['id']}: {path!r} is not a directory of this VM")
    return path


def disk_path(vm: Doc, disk: Disk) -> str:
    """The disk's file on the host: `dir/disk.DISK_ID`."""
    number = disk.get("DISK_ID", "")
    if not (number.isascii() and number.isdigit()):
        raise Permanent(f"VM {vm['id']}: DISK_ID {number!r} is not a number")
    return f"{vm_dir(vm)}/disk.{number}"


def kind(disk: Disk) -> Kind:
    """How the disk comes to be: a clone of its image, a link to it (persistent, CDROM), or empty (volatile)."""
    of_image = bool(disk.get("IMAGE_ID") or disk.get("SOURCE"))
    named = disk.get("TYPE", "").lower()
    for volatile in VOLATILE:
        if not of_image and named == volatile:
            return volatile
    if not of_image:
        raise Permanent(f"disk {disk.get('DISK_ID')}: TYPE {named!r} without an image is none of fs, raw, swap")
    return "link" if is_cdrom(disk) or disk.get("CLONE", "YES").upper() == "NO" else "clone"


def image_format(disk: Disk) -> str:
    """The format of the disk's image or, of a volatile disk, of the disk itself: raw or qcow2; raises Permanent."""
    named = "raw" if is_cdrom(disk) else disk.get("FORMAT", "").lower() or "raw"
    if named not in _FORMATS:
        raise Permanent(f"disk {disk.get('DISK_ID')}: FORMAT {named!r} is neither raw nor qcow2")
    return named


def disk_format(disk: Disk, tm_mad: str = "qcow2") -> str:
    """The format of the disk's file on the host: under tm/qcow2 a clone is an overlay, all else keeps its format."""
    return "qcow2" if tm_mad == "qcow2" and kind(disk) == "clone" else image_format(disk)


def active_format(vm: Doc, disk: Disk) -> str:
    """The format of `dir/disk.N` as it is now: an overlay while the disk stands on a snapshot."""
    return "qcow2" if base(vm, disk) >= 0 else disk_format(disk, str(vm.get("tm_mad") or "qcow2"))


def base(vm: Doc, disk: Disk) -> int:
    """The snapshot that the disk stands on; -1: on none."""
    told = (vm.get("snapshots") or {}).get(disk.get("DISK_ID", "")) or {}
    return int(told.get("base", -1))


def snapshots_dir(vm: Doc, disk: Disk) -> str:
    """Where the disk's snapshots lie: `dir/disk.N.snap`."""
    return f"{disk_path(vm, disk)}.snap"


def snapshot_name(disk: Disk, snapshot: int) -> str:
    """What the files of a VM's directory call a snapshot of the disk, from wherever they lie: `disk.N.snap/ID`."""
    return f"disk.{disk['DISK_ID']}.snap/{int(snapshot)}"


GONE = ".gone"
"""Behind a snapshot's name: the file that says that its deletion began, and that it is not to be believed any more."""


def snapshots(vm: Doc, disk: Disk) -> list[str]:
    """The files of the disk's snapshots that the VM's document knows, as `disk.N.snap/ID`."""
    told = (vm.get("snapshots") or {}).get(disk.get("DISK_ID", "")) or {}
    return [snapshot_name(disk, each["id"]) for each in told.get("list", ())]


def one_disk(vm: Doc, disk_id: object) -> Disk:
    """The VM's disk DISK_ID; raises Permanent when it has none."""
    found: Disk | None = next((disk for disk in vm["disks"] if disk.get("DISK_ID") == str(disk_id)), None)
    if found is None:
        raise Permanent(f"VM {vm['id']} has no disk {disk_id}")
    return found


def source(disk: Disk) -> str:
    """The image's file; raises Permanent when the disk names none."""
    path = disk.get("SOURCE", "")
    if not path.startswith("/"):
        raise Permanent(f"disk {disk.get('DISK_ID')}: SOURCE {path!r} is not an absolute path")
    return path


def size_mb(disk: Disk, name: str = "SIZE") -> int:
    """SIZE (or ORIGINAL_SIZE) in MB, 0 when not given; raises Permanent when it is no number."""
    text = disk.get(name, "") or "0"
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise Permanent(f"disk {disk.get('DISK_ID')}: {name} {text!r} is not a number of MB")
    return int(text)


def grown_mb(disk: Disk) -> int:
    """The size in MB that the disk is to be grown to; 0: it keeps its image's size."""
    wanted = size_mb(disk)
    return wanted if wanted > size_mb(disk, "ORIGINAL_SIZE") > 0 else 0


def is_saved(disk: Disk) -> bool:
    """Whether what the VM writes on the disk belongs to the image (persistent)."""
    return disk.get("SAVE", "").upper() == "YES"


def is_cdrom(disk: Disk) -> bool:
    """Whether the VM can only read the disk."""
    return disk.get("TYPE", "").lower() == "cdrom"
