"""What is true of a VM's files before steps are decided: looked up where they are, nothing is changed."""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from drivers.base import Executor, Permanent, Temporary
from drivers.tm.layout import Disk, grown_mb, image_format, source, vm_dir
from onecore.wire.messages import Doc

Found = Mapping[str, str]
"""What lies in a VM's directory, snapshots of disks as `disk.N.snap/ID`: a link's target, or the empty text of what is
none, by name."""
MB = 1 << 20
_ROOM = 'd=$1; until [ -e "$d" ]; do d=${d%/*}; d=${d:-/}; done; df --block-size=1 --output=avail -- "$d"'
_SNAPSHOT = re.compile(r"(disk\.[0-9]+)\.snap/[0-9]+(?:\.gone)?")


@dataclass(frozen=True, slots=True)
class Layer:
    """A qcow2 file: the bytes that a guest sees, what it stands on (as it says it) in which format, and how many system
    snapshots are in it."""

    size: int
    backing: str = ""
    form: str = ""
    inner: int = 0


def look(executor: Executor, vm: Doc) -> Found | None:
    """What lies in the VM's directory; None when there is no such directory.

    A second name of a disk's own file (a snapshot that was begun, or is deleted) is no snapshot.
    """
    path = vm_dir(vm)
    if not executor.exists(path):
        return None
    listed = executor.run(["find", path, "-mindepth", "1", "-maxdepth", "2", "-printf", r"%P\t%D:%i\t%l\n"])
    return _told([line.split("\t", 2) for line in listed.splitlines()])


def written(executor: Executor, path: str, *more: str) -> int:
    """Bytes that the file PATH and MORE take on disk; Permanent when one is not there."""
    return sum(each_written(executor, [path, *more]))


def each_written(executor: Executor, paths: Sequence[str]) -> list[int]:
    """Bytes that each of the files PATHS takes on disk; Permanent when one is not there."""
    listed = executor.run(["stat", "--format=%b %B", "--", *paths]) if paths else ""
    return [int(blocks) * int(size) for blocks, size in map(str.split, listed.splitlines())]


def layer(executor: Executor, path: str) -> Layer:
    """What the qcow2 file PATH says of itself; Permanent when it is none."""
    facts = json.loads(executor.run(["qemu-img", "info", "-U", "-f", "qcow2", "--output=json", path]))
    return Layer(int(facts["virtual-size"]), facts.get("backing-filename", ""),
                 facts.get("backing-filename-format", ""), len(facts.get("snapshots", ())))


def guest_size(executor: Executor, path: str, form: str) -> int:
    """Bytes that a guest sees of the file PATH."""
    facts = json.loads(executor.run(["qemu-img", "info", "-U", "-f", form, "--output=json", path]))
    return int(facts["virtual-size"])


def images_written(executor: Executor, disks: Iterable[Disk]) -> dict[str, int]:
    """Bytes on disk of the DISKS' images, by path; Permanent, naming it, when one is missing or empty."""
    found: dict[str, int] = {}
    for disk in disks:
        path = source(disk)
        if path not in found:
            found[path] = _image(executor, disk, path)
    return found


def virtual_sizes(executor: Executor, disks: Iterable[Disk]) -> dict[str, int]:
    """Bytes that a guest sees of the images, by path, of those DISKS that are to be larger than their images were."""
    formats = {source(disk): image_format(disk) for disk in disks if grown_mb(disk)}
    return {path: guest_size(executor, path, form) for path, form in formats.items()}


def room(executor: Executor, directory: str) -> int:
    """Bytes that are left where DIRECTORY is or will be made."""
    return int(executor.run(["sh", "-c", _ROOM, "sh", directory]).split()[-1])


def need(executor: Executor, directory: str, size: int, what: str) -> None:
    """Temporary, saying what is missing, unless the file system of DIRECTORY has SIZE bytes left for WHAT."""
    answer = executor.run(["df", "--block-size=1", "--output=avail", "--", directory])
    free = int(answer.split()[-1])
    if size > free:
        raise Temporary(f"not enough space in {directory}: {what} needs {-(-size // MB)} MB, {free // MB} MB are free")


def _image(executor: Executor, disk: Disk, path: str) -> int:
    what = f"disk {disk['DISK_ID']}: its image {path}"
    if not executor.exists(path):
        seen = "" if executor.is_local else " on the host, which must see the file system of its datastore"
        raise Permanent(f"{what} is missing{seen}")
    size, blocks, block = map(int, executor.run(["stat", "-L", "--format=%s %b %B", "--", path]).split())
    if not size:
        raise Permanent(f"{what} is empty")
    return blocks * block


def _told(listed: Iterable[list[str]]) -> Found:
    """Of (name, inode, link's target): those that mean something."""
    facts = {name: (inode, target) for name, inode, target in listed}
    found: dict[str, str] = {}
    for name, (inode, target) in facts.items():
        disk = _SNAPSHOT.fullmatch(name)
        active = facts.get(disk[1], ("", "")) if disk else ("", "")
        if "/" not in name or (disk and inode != active[0] and not (target and target == active[1])):
            found[name] = target
    return found
