"""Which steps bring a VM's disks home: pure decisions over what is there.

The last complete copy of a disk is never removed before the image that holds its content was verified.
"""
from __future__ import annotations

from collections.abc import Mapping

from drivers.base import Permanent
from drivers.tm.layout import Disk, disk_format, disk_path, image_format, is_saved, source, vm_dir
from drivers.tm.prolog import TEMPORARY, link_steps, verify_step
from drivers.tm.steps import Step
from onecore.wire.messages import Doc

Found = Mapping[str, str]
"""What lies in the VM's directory: a link's target, or the empty text of what is none, by name."""


def epilog_steps(vm: Doc, found: Found, sizes: Mapping[str, int]) -> list[Step]:
    """Steps that bring every persistent disk into its image; SIZES are bytes on disk by path, for the progress."""
    steps: list[Step] = []
    for disk in vm["disks"]:
        if is_saved(disk):
            steps += _save(vm, disk, found, sizes)
    return steps


def _save(vm: Doc, disk: Disk, found: Found, sizes: Mapping[str, int]) -> list[Step]:
    path, image = disk_path(vm, disk), source(disk)
    target = found.get(path.rpartition("/")[2])
    what = f"saving disk {disk['DISK_ID']}"
    if target == "":
        return _save_copy(what, path, disk, sizes.get(path, 0))
    if target is not None and target != image:
        raise Permanent(f"{what}: {path} is a link to {target}, not to its image {image}; nothing was removed")
    return [verify_step(f"{what}, nothing was removed", image), Step(what, ("sync", "--", image))]


def _save_copy(what: str, path: str, disk: Disk, size: int) -> list[Step]:
    """A real file: written beside its image, compared, renamed; then the disk becomes a link: it is saved."""
    image, made = source(disk), source(disk) + TEMPORARY
    here, there = disk_format(disk), image_format(disk)
    return [Step(what, ("rm", "-f", "--", made)),
            Step(what, ("qemu-img", "convert", "-q", "-f", here, "-O", there, path, made), grows=made, total=size),
            Step(f"{what}: comparing", ("qemu-img", "compare", "-q", "-f", here, "-F", there, path, made)),
            Step(what, ("sync", "--", made)), Step(what, ("mv", "-T", "--", made, image)),
            *link_steps(what, image, path)]


def missing_disks(vm: Doc, found: Found) -> list[str]:
    """The names of the VM's disks that are not in its directory."""
    names = [disk_path(vm, disk).rpartition("/")[2] for disk in vm["disks"]]
    return [name for name in names if name not in found]


def keep_steps(vm: Doc, found: Found) -> list[Step]:
    """What is in the VM's directory goes to stable storage and stays; raises Permanent when a disk is missing."""
    missing = missing_disks(vm, found)
    if missing:
        raise Permanent(f"VM {vm['id']}: {', '.join(missing)} missing in {vm_dir(vm)}")
    kept = [f"{vm_dir(vm)}/{name}" for name in sorted(found) if name.startswith("disk.") or name == "checkpoint"]
    return [Step(f"disks of VM {vm['id']}", ("sync", "--", *kept))] if kept else []


def remove_steps(vm: Doc) -> list[Step]:
    """The VM's directory is gone; links are removed, never what they point to."""
    return [Step(f"directory of VM {vm['id']}", ("rm", "-rf", "--one-file-system", "--", vm_dir(vm)))]
