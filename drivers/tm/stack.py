"""Which steps keep, bring back and remove snapshots of a disk whose guest is off: pure decisions.

How the files lie is in docs/drivers.md.  Whatever breaks off, `dir/disk.N` is whole and holds what it should.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from drivers.base import Permanent
from drivers.tm.epilog import save_copy_steps
from drivers.tm.facts import Layer
from drivers.tm.layout import GONE, Disk, disk_path, snapshot_name, snapshots, snapshots_dir, source, vm_dir
from drivers.tm.prolog import TEMPORARY, link_steps
from drivers.tm.steps import CHECK, Step
from onecore.wire.messages import Doc

Layers = Mapping[str, Layer]
"""What the qcow2 files of a disk say of themselves, by name: `disk.N` and `disk.N.snap/ID`."""
_SECOND = 'test "$1" -ef "$2" || ln -P -T -- "$1" "$2"'
_TIDY = 'ls -- "$1" 2>/dev/null | grep -qx "[0-9][0-9]*" || rm -rf -- "$1"'


def create_steps(vm: Doc, disk: Disk, snapshot: int, form: str) -> list[Step]:
    """The disk's file, of format FORM, is the snapshot's from now on; an empty overlay of that takes its place."""
    path, what = disk_path(vm, disk), _what(disk, snapshot)
    return [*stack_dir_steps(vm, disk), Step(what, ("sync", "--", path)),
            Step(what, ("sh", "-c", _SECOND, "sh", path, _file(vm, disk, snapshot))),
            *_overlay_steps(vm, disk, snapshot, form)]


def undo_steps(vm: Doc, disk: Disk, snapshot: int) -> list[Step]:
    """Nothing is left of a snapshot that was not made: the disk's own file has but one name."""
    path, what = disk_path(vm, disk), _what(disk, snapshot)
    script = 'if test "$1" -ef "$2"; then rm -f -- "$2"; fi'
    return [Step(what, ("rm", "-f", "--", path + TEMPORARY)),
            Step(what, ("sh", "-c", script, "sh", path, _file(vm, disk, snapshot))), tidy_step(vm, disk)]


def revert_steps(vm: Doc, disk: Disk, snapshot: int, form: str, size_mb: int = 0) -> list[Step]:
    """The disk is an empty overlay of the snapshot, which has format FORM; of SIZE_MB if that is given."""
    return _overlay_steps(vm, disk, snapshot, form, size_mb)


def stacked(vm: Doc, names: Collection[str]) -> list[Disk]:
    """The VM's disks of which there are snapshots among NAMES."""
    return [disk for disk in vm["disks"] if any(name in names for name in snapshots(vm, disk))]


def stack_dir_steps(vm: Doc, disk: Disk, here: bool = False) -> list[Step]:
    """The directory of the disk's snapshots, in which they have the same names as outside."""
    path, what = snapshots_dir(vm, disk), f"snapshots of disk {disk['DISK_ID']}"
    return [Step(what, ("mkdir", "-p", "--mode=0711", "--", path), here=here),
            Step(what, ("ln", "-sfn", "--", ".", f"{path}/{path.rpartition('/')[2]}"), here=here)]


def drop_steps(vm: Doc, disk: Disk) -> list[Step]:
    """The disk's files are gone: itself, its snapshots, copies; in this order, as the disk may need the others."""
    path, what = disk_path(vm, disk), f"disk {disk['DISK_ID']}"
    rest = [f"{path}{TEMPORARY}", f"{path}.saveas", snapshots_dir(vm, disk)]
    return [Step(what, ("rm", "-f", "--", path)), Step(what, ("rm", "-rf", "--one-file-system", "--", *rest)),
            Step(what, ("sync", "--", vm_dir(vm)))]


def tidy_step(vm: Doc, disk: Disk) -> Step:
    """No directory of snapshots without one."""
    return Step(f"snapshots of disk {disk['DISK_ID']}", ("sh", "-c", _TIDY, "sh", snapshots_dir(vm, disk)))


def stands_on(disk: Disk, backing: str) -> int:
    """The snapshot of the disk that a file names as BACKING; -1: it is none."""
    named = re.fullmatch(rf"(?:.*/)?disk\.{disk['DISK_ID']}\.snap/([0-9]+)", backing)
    return int(named[1]) if named else -1


def made_from(disk: Disk, snapshot: int, layers: Layers) -> list[str]:
    """The names of the files that stand on the snapshot itself."""
    return [name for name, layer in layers.items() if stands_on(disk, layer.backing) == snapshot]


def form_of(disk: Disk, snapshot: int, layers: Layers) -> str:
    """The format of the snapshot's file: what stands on it says so; what nothing stands on was an overlay."""
    return next((layers[name].form for name in made_from(disk, snapshot, layers)), "qcow2")


def delete_steps(vm: Doc, disk: Disk, snapshot: int, layers: Layers, link: str, size: int) -> list[Step]:
    """The snapshot is gone; what was made from it is whole.  LINK is its target, if it is one (a persistent image).

    SIZE is its and the disk's bytes, for the progress.  Permanent when that is not possible.
    """
    active = disk_path(vm, disk).rpartition("/")[2]
    children, form = made_from(disk, snapshot, layers), form_of(disk, snapshot, layers)
    if any(layers[name].inner for name in children):
        raise Permanent(f"disk {disk['DISK_ID']} has system snapshots: delete these first")
    if not children:
        steps: list[Step] = []
    elif children == [active]:
        steps = _merge_steps(vm, disk, snapshot, form, link, size)
    elif link or form != "qcow2":
        raise Permanent(f"{_what(disk, snapshot)}: {', '.join(sorted(children))} cannot do without it, as it is "
                        f"{'the image' if link else form} itself; delete what was made from it first")
    else:
        below = layers[snapshot_name(disk, snapshot)]
        steps = [step for name in children for step in _rebase_steps(vm, disk, name, below)]
    return [*steps, *gone_steps(vm, disk, snapshot)]


def gone_steps(vm: Doc, disk: Disk, snapshot: int) -> list[Step]:
    """No file of the snapshot is left."""
    path = _file(vm, disk, snapshot)
    return [Step(_what(disk, snapshot), ("rm", "-f", "--", path, path + GONE)), tidy_step(vm, disk)]


def _merge_steps(vm: Doc, disk: Disk, snapshot: int, form: str, link: str, size: int) -> list[Step]:
    """The disk and the snapshot that it alone stands on become one: what it was before that was made."""
    path, kept, what = disk_path(vm, disk), _file(vm, disk, snapshot), f"merging {_what(disk, snapshot)}"
    begun = [Step(what, ("touch", "--", kept + GONE)), Step(what, ("sync", "--", snapshots_dir(vm, disk)))]
    if link:
        return [*begun, *save_copy_steps(what, path, disk, "qcow2", size), *link_steps(what, source(disk), path)]
    return [*begun, Step(what, ("qemu-img", "commit", "-q", "-d", "-f", "qcow2", path), grows=kept, total=size),
            Step(f"{what}: comparing", ("qemu-img", "compare", "-q", "-f", "qcow2", "-F", form, path, kept)),
            Step(what, ("chmod", "600", "--", kept)), Step(what, ("sync", "--", kept)),
            Step(what, ("mv", "-T", "--", kept, path)), Step(what, ("sync", "--", vm_dir(vm)))]


def _rebase_steps(vm: Doc, disk: Disk, name: str, below: Layer) -> list[Step]:
    """The file NAME stands on what is BELOW the snapshot, with that one's content in itself."""
    path, what = f"{vm_dir(vm)}/{name}", f"making {name} independent"
    backing = ("-b", below.backing, "-F", below.form) if below.backing else ("-b", "")
    return [Step(what, ("qemu-img", "rebase", "-q", "-f", "qcow2", *backing, path), grows=path),
            Step(what, ("sh", "-c", CHECK, "sh", path)), Step(what, ("sync", "--", path))]


def _overlay_steps(vm: Doc, disk: Disk, snapshot: int, form: str, size_mb: int = 0) -> list[Step]:
    path, what = disk_path(vm, disk), _what(disk, snapshot)
    made, size = path + TEMPORARY, (f"{size_mb}M",) if size_mb else ()
    backing = ("-b", snapshot_name(disk, snapshot), "-F", form)
    return [Step(what, ("rm", "-f", "--", made)),
            Step(what, ("qemu-img", "create", "-q", "-f", "qcow2", *backing, made, *size)),
            Step(what, ("chmod", "600", "--", made)), Step(what, ("sync", "--", made)),
            Step(what, ("mv", "-T", "--", made, path)), Step(what, ("sync", "--", vm_dir(vm)))]


def _file(vm: Doc, disk: Disk, snapshot: int) -> str:
    return f"{vm_dir(vm)}/{snapshot_name(disk, snapshot)}"


def _what(disk: Disk, snapshot: int) -> str:
    return f"snapshot {snapshot} of disk {disk['DISK_ID']}"
