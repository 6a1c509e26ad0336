"""Which steps make a VM's disks: pure decisions over what is there already."""
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from drivers.tm.blank import blank_steps
from drivers.tm.facts import MB
from drivers.tm.layout import Disk, Kind, disk_path, grown_mb, image_format, kind, size_mb, source, vm_dir
from drivers.tm.steps import Deed, Step
from onecore.wire.messages import Doc

TEMPORARY = ".tmp"
Content = Callable[[str, str, Disk], Sequence[Deed]]
"""content(what, path, disk): the steps that make the file PATH of the disk's image."""


def make_dir_steps(vm: Doc, here: bool = False) -> list[Step]:
    """The VM's directory; other users of the host may pass through it (QEMU's), not list it."""
    return [Step(f"directory of VM {vm['id']}", ("mkdir", "-p", "--mode=0711", "--", vm_dir(vm)), here=here)]


def disks_to_make(vm: Doc, present: Collection[str]) -> list[Disk]:
    """The disks whose own name is not among those PRESENT in the VM's directory: only a complete one has it."""
    return [disk for disk in vm["disks"] if _name(disk_path(vm, disk)) not in present]


def prolog_steps(vm: Doc, present: Collection[str], contents: Mapping[Kind, Content]) -> list[Deed]:
    """All that is missing for the VM's disks; a persistent disk of which CONTENTS says nothing is a link."""
    steps: list[Deed] = []
    for disk in disks_to_make(vm, present):
        steps += _disk_steps(disk_path(vm, disk), disk, contents)
    return steps


def clear_steps(vm: Doc, present: Collection[str]) -> list[Step]:
    """Half-made disks are gone."""
    half = [f"{vm_dir(vm)}/{name}" for name in sorted(present) if name.endswith((TEMPORARY, f"{TEMPORARY}.raw"))]
    return [Step(f"directory of VM {vm['id']}", ("rm", "-rf", "--", *half))] if half else []


def grow_image_steps(vm: Doc, virtual_sizes: Mapping[str, int]) -> list[Step]:
    """Images that are used themselves and are to be larger than VIRTUAL_SIZES (bytes by file) are grown."""
    steps: list[Step] = []
    for disk in vm["disks"]:
        if kind(disk) == "link":
            steps += resize_steps(f"growing the image of disk {disk['DISK_ID']}", source(disk), disk, virtual_sizes)
    return steps


def resize_steps(what: str, path: str, disk: Disk, virtual_sizes: Mapping[str, int]) -> list[Step]:
    """PATH, which has its image's content, gets the disk's SIZE if that is more than its image's."""
    wanted = grown_mb(disk)
    if not wanted or virtual_sizes[source(disk)] >= wanted * MB:
        return []
    return [Step(what, ("qemu-img", "resize", "-q", "-f", image_format(disk), path, f"{wanted}M"))]


def verify_step(what: str, image: str) -> Step:
    """Fail, saying so, unless the image's file is there and not empty."""
    return Step(f"{what}: its image {image} is missing or empty", ("test", "-s", image))


def link_steps(what: str, target: str, path: str) -> list[Step]:
    """PATH becomes a link to TARGET, whatever it was, in one rename."""
    made = path + TEMPORARY
    return [Step(what, ("ln", "-sfn", "--", target, made)), Step(what, ("mv", "-T", "--", made, path))]


def _disk_steps(path: str, disk: Disk, contents: Mapping[Kind, Content]) -> list[Deed]:
    """Make the disk under a temporary name, on stable storage, and give it its own name at last."""
    made, made_as = path + TEMPORARY, kind(disk)
    what = f"disk {disk['DISK_ID']}"
    steps: list[Deed] = [Step(what, ("rm", "-f", "--", made, f"{made}.raw"))]
    if made_as == "link" and made_as not in contents:
        return [*steps, verify_step(what, source(disk)), *link_steps(what, source(disk), path)]
    content = contents.get(made_as, _blank)
    return [*steps, *content(what, made, disk), Step(what, ("chmod", "600", "--", made)),
            Step(what, ("sync", "--", made)), Step(what, ("mv", "-T", "--", made, path))]


def _blank(what: str, made: str, disk: Disk) -> list[Step]:
    fs = {"swap": "swap", "fs": disk.get("FS", "")}.get(kind(disk), "")
    return blank_steps(what, made, size_mb(disk), image_format(disk), fs)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
