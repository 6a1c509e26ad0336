"""Which steps make a VM's disks: pure decisions over what is there already."""
from __future__ import annotations

from collections.abc import Collection, Mapping

from drivers.tm.blank import blank_steps
from drivers.tm.layout import Disk, disk_path, grown_mb, image_format, kind, size_mb, source, vm_dir
from drivers.tm.steps import Step
from onecore.wire.messages import Doc

TEMPORARY = ".tmp"
_MB = 1 << 20


def make_dir_steps(vm: Doc) -> list[Step]:
    """The VM's directory; other users of the host may pass through it (QEMU's), not list it."""
    return [Step(f"directory of VM {vm['id']}", ("mkdir", "-p", "--mode=0711", "--", vm_dir(vm)))]


def prolog_steps(vm: Doc, present: Collection[str], virtual_sizes: Mapping[str, int]) -> list[Step]:
    """All that is missing for the VM's disks.

    PRESENT holds the names in the VM's directory: a disk under its own name is complete and is kept.  VIRTUAL_SIZES
    gives bytes by image file, for those that are used themselves and are to be grown.
    """
    steps: list[Step] = []
    for disk in vm["disks"]:
        if kind(disk) == "link":
            steps += _grow_image(disk, virtual_sizes)
        if disk_path(vm, disk).rpartition("/")[2] not in present:
            steps += _disk_steps(disk_path(vm, disk), disk)
    return steps


def images_to_grow(vm: Doc) -> dict[str, str]:
    """Format by file of the images whose size has to be known before prolog_steps."""
    return {source(d): image_format(d) for d in vm["disks"] if kind(d) == "link" and grown_mb(d)}


def _grow_image(disk: Disk, virtual_sizes: Mapping[str, int]) -> list[Step]:
    wanted = grown_mb(disk)
    if not wanted or virtual_sizes[source(disk)] >= wanted * _MB:
        return []
    argv = ("qemu-img", "resize", "-q", "-f", image_format(disk), source(disk), f"{wanted}M")
    return [Step(f"growing the image of disk {disk['DISK_ID']}", argv)]


def _disk_steps(path: str, disk: Disk) -> list[Step]:
    """Make the disk under a temporary name, on stable storage, and give it its own name at last."""
    made = path + TEMPORARY
    what = f"disk {disk['DISK_ID']}"
    steps = [Step(what, ("rm", "-f", "--", made, f"{made}.raw"))]
    if kind(disk) == "link":
        return [*steps, verify_step(what, source(disk)), *link_steps(what, source(disk), path)]
    return [*steps, *_content_steps(what, made, disk),
            Step(what, ("chmod", "600", "--", made)), Step(what, ("sync", "--", made)),
            Step(what, ("mv", "-T", "--", made, path))]


def verify_step(what: str, image: str) -> Step:
    """Fail, saying so, unless the image's file is there and not empty."""
    return Step(f"{what}: its image {image} is missing or empty", ("test", "-s", image))


def link_steps(what: str, target: str, path: str) -> list[Step]:
    """PATH becomes a link to TARGET, whatever it was, in one rename."""
    made = path + TEMPORARY
    return [Step(what, ("ln", "-sfn", "--", target, made)), Step(what, ("mv", "-T", "--", made, path))]


def _content_steps(what: str, made: str, disk: Disk) -> list[Step]:
    made_as = kind(disk)
    if made_as == "clone":
        size = (f"{grown_mb(disk)}M",) if grown_mb(disk) else ()
        backing = ("-b", source(disk), "-F", image_format(disk))
        return [Step(what, ("qemu-img", "create", "-q", "-f", "qcow2", *backing, made, *size))]
    fs = {"swap": "swap", "fs": disk.get("FS", ""), "raw": ""}[made_as]
    return blank_steps(what, made, size_mb(disk), image_format(disk), fs)
