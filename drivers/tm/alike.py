"""What tm/qcow2 and tm/shared have in common: a file system that front-end and hosts see under the same path.

Each action looks, lets a pure function decide the steps (prolog.py, epilog.py), and does them under the VM's fence.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from drivers.base import Action, Context, Executor
from drivers.fence import fenced
from drivers.tm import epilog as home
from drivers.tm import move, on_disk, saveas
from drivers.tm.facts import Found, look, need, virtual_sizes, written
from drivers.tm.layout import Disk, disk_path, is_saved, kind, one_disk, snapshots, source
from drivers.tm.place import chain, is_settled, settled, told, whose
from drivers.tm.prolog import Content, disks_to_make, grow_image_steps, make_dir_steps, prolog_steps
from drivers.tm.saved import check_saved, is_noted, note_saved
from drivers.tm.stack import drop_steps
from drivers.tm.steps import perform
from onecore.wire.messages import Doc

Clone = Callable[[Executor, Sequence[Disk]], Content]
"""clone(host, disks) looks at the images of DISKS and says how their clones are made."""


def actions(clone: Clone) -> dict[str, Action]:
    """The actions of a driver whose clones are made as CLONE says; persistent disks are links to their images."""
    return {"prolog": partial(_prolog, clone), "epilog": epilog, "epilog_stop": keep, "prolog_resume": keep,
            "delete": delete, "attach": partial(_attach, clone), "detach": detach, "state": state,
            "saveas": saveas.action(apart=False), **on_disk.ACTIONS, **move.actions(apart=False)}


def _prolog(clone: Clone, ctx: Context, args: Doc) -> Doc:
    """Make the VM's directory with every disk; a disk that is complete already is kept."""
    vm, executor = whose(ctx, args)
    with fenced(ctx, executor, args):
        found = look(executor, vm) or {}
        if not is_settled(found):
            perform(ctx, executor, home.remove_steps(vm))
            found = {}
        perform(ctx, executor, make_dir_steps(vm))
        _make(clone, ctx, executor, vm, found)
    return {}


def epilog(ctx: Context, args: Doc) -> Doc:
    """Bring persistent disks into their images, then remove the VM's directory."""
    vm, executor = whose(ctx, args)
    with fenced(ctx, executor, args):
        found = look(executor, vm)
        if any(_name(vm, disk) not in (found or {}) for disk in _apart(vm)):
            check_saved(ctx, vm)
        elif found is not None:
            _save(ctx, executor, vm, settled(executor, vm))
            if _apart(vm):
                note_saved(ctx, vm)
        perform(ctx, executor, home.remove_steps(vm))
    return {}


def keep(ctx: Context, args: Doc) -> Doc:
    """The directory is shared: its disks and checkpoint stay where they are, verified and on stable storage."""
    vm, executor = whose(ctx, args)
    with fenced(ctx, executor, args):
        perform(ctx, executor, home.keep_steps(vm, settled(executor, vm)))
    return {}


def delete(ctx: Context, args: Doc) -> Doc:
    """Remove the VM's directory; an image that a disk links to is never touched."""
    vm, executor = whose(ctx, args)
    with fenced(ctx, executor, args):
        perform(ctx, executor, home.remove_steps(vm))
    return {}


def _attach(clone: Clone, ctx: Context, args: Doc) -> Doc:
    """The disk is in the VM's directory."""
    vm, executor = whose(ctx, args)
    with fenced(ctx, executor, args):
        _make(clone, ctx, executor, {**vm, "disks": [one_disk(vm, args["disk_id"])]}, settled(executor, vm))
    return {}


def detach(ctx: Context, args: Doc) -> Doc:
    """The disk's content is in its image, with `save`; then its files are gone."""
    vm, executor = whose(ctx, args)
    disk = one_disk(vm, args["disk_id"])
    with fenced(ctx, executor, args):
        found = settled(executor, vm)
        if args.get("save") and disk_path(vm, disk).rpartition("/")[2] in found:
            _save(ctx, executor, {**vm, "disks": [{**disk, "SAVE": "YES"}]}, found)
        perform(ctx, executor, drop_steps(vm, disk))
    return {}


def state(ctx: Context, args: Doc) -> Doc:
    """What of the VM's files is there, complete; whether all that persistent disks hold is in their images."""
    vm, executor = whose(ctx, args)
    found = look(executor, vm)
    own = _apart(vm) if found is None else [disk for disk in vm["disks"] if is_saved(disk)
                                            and found.get(_name(vm, disk)) != source(disk)]
    return {**told(vm, found), "saved": not own or is_noted(ctx, vm), **on_disk.looked(executor, vm, found, args)}


def _make(clone: Clone, ctx: Context, executor: Executor, vm: Doc, found: Found) -> None:
    """The VM's disks that are not in its directory yet."""
    content = clone(executor, [disk for disk in disks_to_make(vm, found) if kind(disk) == "clone"])
    sizes = virtual_sizes(executor, [disk for disk in vm["disks"] if kind(disk) == "link"])
    perform(ctx, executor, grow_image_steps(vm, sizes))
    perform(ctx, executor, prolog_steps(vm, found, {"clone": content}))


def _save(ctx: Context, executor: Executor, vm: Doc, found: Found) -> None:
    """All that persistent disks hold is in their images."""
    for name in home.missing_disks(vm, found):
        ctx.log("warning", f"VM {vm['id']}: {name} was not there any more")
    own = [disk for disk in vm["disks"] if is_saved(disk) and found.get(_name(vm, disk)) == ""]
    sizes = {disk_path(vm, disk): written(executor, *chain(vm, disk, found)) for disk in own}
    for disk in own:
        need(executor, source(disk).rpartition("/")[0], sizes[disk_path(vm, disk)], f"saving disk {disk['DISK_ID']}")
    perform(ctx, executor, home.epilog_steps(vm, found, sizes))


def _apart(vm: Doc) -> list[Disk]:
    """The persistent disks whose content is not in their images while the VM has them: those with snapshots."""
    return [disk for disk in vm["disks"] if is_saved(disk) and snapshots(vm, disk)]


def _name(vm: Doc, disk: Disk) -> str:
    return disk_path(vm, disk).rpartition("/")[2]
