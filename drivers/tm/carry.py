"""Which steps carry a VM's files between the front-end and a host with disks of its own: pure decisions.

A directory that is being filled has a file ARRIVING in it, one whose files are safe elsewhere a file LEAVING: while
either is there, what else is in it is not to be believed.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping

from drivers.tm.epilog import remove_steps
from drivers.tm.layout import Disk, image_format, is_cdrom, is_saved, source, vm_dir
from drivers.tm.place import ARRIVING, LEAVING
from drivers.tm.prolog import TEMPORARY, make_dir_steps, resize_steps
from drivers.tm.stack import stack_dir_steps, stacked
from drivers.tm.steps import CHECK, Carry, Deed, Step, Successor
from onecore.wire.messages import Doc


def fetch_steps(virtual_sizes: Mapping[str, int], what: str, made: str, disk: Disk) -> list[Deed]:
    """MADE, on the host, is a copy of the disk's image, which lies on the front-end, grown to the disk's size."""
    return [Carry(what, source(disk), made), *resize_steps(what, made, disk, virtual_sizes)]


def saved_disks(vm: Doc) -> list[Disk]:
    """The disks whose content belongs to their images and may have changed."""
    return [disk for disk in vm["disks"] if is_saved(disk) and not is_cdrom(disk)]


def save_steps(vm: Doc, disk: Disk, whole: str) -> list[Deed]:
    """WHOLE, a file of the host with the disk's content, comes beside the image, is verified, and takes its place."""
    image, made, what = source(disk), source(disk) + TEMPORARY, f"saving disk {disk['DISK_ID']}"
    form = image_format(disk)
    check = [Step(what, ("sh", "-c", CHECK, "sh", made), here=True)] if form == "qcow2" else []
    return [Carry(what, whole, made, home=True), Successor(what, made, image, form), *check,
            Step(what, ("chmod", "644", "--", made), here=True), Step(what, ("sync", "--", made), here=True),
            Step(what, ("mv", "-T", "--", made, image), here=True),
            Step(what, ("sync", "--", image.rpartition("/")[0]), here=True)]


def clear_image_steps(disk: Disk) -> list[Deed]:
    """What a save that broke off left beside the disk's image is gone."""
    return [Step(f"disk {disk['DISK_ID']}", ("rm", "-f", "--", source(disk) + TEMPORARY), here=True)]


def forget_steps(vm: Doc) -> list[Deed]:
    """What the front-end has of the VM is gone, but for its images."""
    half = [step for disk in saved_disks(vm) for step in clear_image_steps(disk)]
    return [*remove_steps(vm, here=True), *half]


def arrive_steps(vm: Doc, here: bool) -> list[Deed]:
    """The VM's directory on the host or, HERE, on the front-end is there, empty, and marked as being filled."""
    what, path = f"directory of VM {vm['id']}", vm_dir(vm)
    return [*make_dir_steps(vm, here), *mark_steps(vm, ARRIVING, here),
            Step(what, ("find", path, "-mindepth", "1", "!", "-path", f"{path}/{ARRIVING}", "-delete"), here=here)]


def carry_steps(vm: Doc, names: Collection[str], home: bool) -> list[Deed]:
    """The files NAMES of the VM's directory go to the directory of that name on the other machine, which is whole then.

    HOME: from the host to the front-end.
    """
    steps: list[Deed] = [step for disk in stacked(vm, names) for step in stack_dir_steps(vm, disk, here=home)]
    for name in names:
        path, what = f"{vm_dir(vm)}/{name}", f"{name} of VM {vm['id']}"
        made = path + TEMPORARY
        steps += [Carry(what, path, made, home), Step(what, ("chmod", "600", "--", made), here=home),
                  Step(what, ("mv", "-T", "--", made, path), here=home)]
    return [*steps, *settle_steps(vm, home)]


def leave_steps(vm: Doc, here: bool) -> list[Deed]:
    """The VM's directory, whose files are safe elsewhere, is gone; it says so until the last of them is."""
    what, path = f"directory of VM {vm['id']}", vm_dir(vm)
    return [*mark_steps(vm, LEAVING, here),
            Step(what, ("find", path, "-mindepth", "1", "!", "-path", f"{path}/{LEAVING}", "-delete"), here=here),
            *remove_steps(vm, here)]


def mark_steps(vm: Doc, mark: str, here: bool) -> list[Step]:
    """The VM's directory says that it is being filled (ARRIVING) or emptied (LEAVING)."""
    what, path = f"directory of VM {vm['id']}", vm_dir(vm)
    return [Step(what, ("touch", "--", f"{path}/{mark}"), here=here), Step(what, ("sync", "--", path), here=here)]


def settle_steps(vm: Doc, here: bool) -> list[Step]:
    """The VM's directory is filled, and to be believed from now on.

    Files got their names in the directories of snapshots too.
    """
    what, path = f"directory of VM {vm['id']}", vm_dir(vm)
    below = ("find", path, "-maxdepth", "1", "-type", "d", "-name", "disk.*.snap", "-exec", "sync", "--", "{}", "+")
    own = ("sync", "--", path)
    return [Step(what, argv, here=here) for argv in (below, own, ("rm", "-f", "--", f"{path}/{ARRIVING}"), own)]
