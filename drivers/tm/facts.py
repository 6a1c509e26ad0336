"""What is true of a VM's files before steps are decided: looked up where they are, nothing is changed."""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from drivers.base import Executor, Permanent, Temporary
from drivers.tm.layout import Disk, grown_mb, image_format, source, vm_dir
from onecore.wire.messages import Doc

Found = Mapping[str, str]
"""What lies in a VM's directory: a link's target, or the empty text of what is none, by name."""
MB = 1 << 20


def look(executor: Executor, vm: Doc) -> Found | None:
    """What lies in the VM's directory; None when there is no such directory."""
    path = vm_dir(vm)
    if not executor.exists(path):
        return None
    listed = executor.run(["find", path, "-mindepth", "1", "-maxdepth", "1", "-printf", r"%f\t%l\n"])
    return dict(line.split("\t", 1) for line in listed.splitlines())


def written(executor: Executor, path: str) -> int:
    """Bytes that the file PATH takes on disk; Permanent when it is not there."""
    blocks, size = executor.run(["stat", "--format=%b %B", "--", path]).split()
    return int(blocks) * int(size)


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
    return {path: _virtual_size(executor, path, form) for path, form in formats.items()}


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


def _virtual_size(executor: Executor, path: str, form: str) -> int:
    facts = json.loads(executor.run(["qemu-img", "info", "-U", "-f", form, "--output=json", path]))
    return int(facts["virtual-size"])
