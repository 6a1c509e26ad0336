"""Which steps bring a VM's disks home from a file system that the front-end sees too: pure decisions.

The last complete copy of a disk is never removed before the image that holds its content was verified.
"""
from __future__ import annotations

import re
from collections.abc import Mapping

from drivers.base import Permanent
from drivers.tm.facts import Found
from drivers.tm.layout import (
    GONE,
    Disk,
    active_format,
    base,
    disk_path,
    image_format,
    is_saved,
    snapshots,
    source,
    vm_dir,
)
from drivers.tm.prolog import TEMPORARY, disks_to_make, link_steps, verify_step
from drivers.tm.steps import Step
from onecore.wire.messages import Doc

CHECKPOINT = "checkpoint"
"""The file of a saved state."""
_KEPT = re.compile(rf"disk\.[0-9]+|{CHECKPOINT}|snapshot\.[0-9]+|one-[0-9]+_VARS\.fd")


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
        steps = save_copy_steps(what, path, disk, active_format(vm, disk), sizes.get(path, 0))
        return steps if base(vm, disk) >= 0 else [*steps, *link_steps(what, image, path)]
    if target is not None and target != image:
        raise Permanent(f"{what}: {path} is a link to {target}, not to its image {image}; nothing was removed")
    return [verify_step(f"{what}, nothing was removed", image), Step(what, ("sync", "--", image))]


def save_copy_steps(what: str, path: str, disk: Disk, here: str, size: int) -> list[Step]:
    """A file of format HERE: written beside its image, compared, renamed.

    If it stands on that image it has the same content afterwards.
    """
    image, made, there = source(disk), source(disk) + TEMPORARY, image_format(disk)
    return [*flatten_steps(what, path, here, made, there, size), Step(what, ("mv", "-T", "--", made, image)),
            Step(what, ("sync", "--", image.rpartition("/")[0]))]


def flatten_steps(what: str, path: str, form: str, made: str, target: str, size: int) -> list[Step]:
    """MADE, of format TARGET, is a file that stands alone with the content of PATH, which has format FORM; compared."""
    return [Step(what, ("rm", "-f", "--", made)),
            Step(what, ("qemu-img", "convert", "-q", "-f", form, "-O", target, path, made), grows=made, total=size),
            Step(f"{what}: comparing", ("qemu-img", "compare", "-q", "-f", form, "-F", target, path, made)),
            Step(what, ("sync", "--", made))]


def missing_disks(vm: Doc, found: Found) -> list[str]:
    """The names of the VM's disks that are not in its directory, and of their snapshots."""
    disks = [disk_path(vm, disk).rpartition("/")[2] for disk in disks_to_make(vm, found)]
    return disks + [name for disk in vm["disks"] for name in snapshots(vm, disk) if name not in found]


def kept(vm: Doc, found: Found) -> list[str]:
    """What of a VM's directory a start on another host needs.

    Disks (the context CD's too) with the snapshots that the VM knows of, the checkpoint, system snapshots' words, and
    what a UEFI firmware remembers.  A checkpoint may lack its name: whether it is whole is for the hypervisor to say.
    """
    known = {word for disk in vm["disks"] for name in snapshots(vm, disk) for word in (name, name + GONE)}
    if CHECKPOINT not in found:
        known.add(f"{CHECKPOINT}.part")
    return [name for name in sorted(found) if _KEPT.fullmatch(name) or name in known]


def keep_steps(vm: Doc, found: Found) -> list[Step]:
    """What is in the VM's directory goes to stable storage and stays; raises Permanent when a disk is missing."""
    missing = missing_disks(vm, found)
    if missing:
        raise Permanent(f"VM {vm['id']}: {', '.join(missing)} missing in {vm_dir(vm)}")
    files = [f"{vm_dir(vm)}/{name}" for name in kept(vm, found)]
    return [Step(f"disks of VM {vm['id']}", ("sync", "--", *files))] if files else []


def remove_steps(vm: Doc, here: bool = False) -> list[Step]:
    """The VM's directory is gone; links are removed, never what they point to."""
    return [Step(f"directory of VM {vm['id']}", ("rm", "-rf", "--one-file-system", "--", vm_dir(vm)), here=here)]
