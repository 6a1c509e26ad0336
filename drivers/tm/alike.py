"""What tm/qcow2 and tm/shared have in common: a file system that front-end and hosts see under the same path.

Each action looks, lets a pure function decide the steps (prolog.py, epilog.py), and does them under the VM's fence.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from drivers.base import Action, Context, Executor
from drivers.fence import fenced
from drivers.tm import epilog as home
from drivers.tm.facts import Found, look, virtual_sizes, written
from drivers.tm.layout import Disk, disk_path, is_saved, kind, vm_dir
from drivers.tm.prolog import Content, disks_to_make, grow_image_steps, make_dir_steps, prolog_steps
from drivers.tm.steps import perform
from onecore.wire.messages import Doc

Clone = Callable[[Executor, Sequence[Disk]], Content]
"""clone(host, disks) looks at the images of DISKS and says how their clones are made."""


def actions(clone: Clone) -> dict[str, Action]:
    """The actions of a driver whose clones are made as CLONE says; persistent disks are links to their images."""
    return {"prolog": partial(_prolog, clone), "epilog": epilog, "epilog_stop": keep, "prolog_resume": keep,
            "delete": delete}


def _prolog(clone: Clone, ctx: Context, args: Doc) -> Doc:
    """Make the VM's directory with every disk; a disk that is complete already is kept."""
    vm, executor = _whose(ctx, args)
    with fenced(ctx, executor, args):
        perform(ctx, executor, make_dir_steps(vm))
        found = look(executor, vm) or {}
        content = clone(executor, [disk for disk in disks_to_make(vm, found) if kind(disk) == "clone"])
        sizes = virtual_sizes(executor, [disk for disk in vm["disks"] if kind(disk) == "link"])
        perform(ctx, executor, grow_image_steps(vm, sizes))
        perform(ctx, executor, prolog_steps(vm, found, {"clone": content}))
    return {}


def epilog(ctx: Context, args: Doc) -> Doc:
    """Bring persistent disks into their images, then remove the VM's directory."""
    vm, executor = _whose(ctx, args)
    with fenced(ctx, executor, args):
        found = look(executor, vm) or {}
        for name in home.missing_disks(vm, found) if found else ():
            ctx.log("warning", f"VM {vm['id']}: {name} was not there any more")
        perform(ctx, executor, home.epilog_steps(vm, found, _saved_sizes(executor, vm, found)))
        perform(ctx, executor, home.remove_steps(vm))
    return {}


def keep(ctx: Context, args: Doc) -> Doc:
    """The directory is shared: its disks and checkpoint stay where they are, verified and on stable storage."""
    vm, executor = _whose(ctx, args)
    with fenced(ctx, executor, args):
        perform(ctx, executor, home.keep_steps(vm, look(executor, vm) or {}))
    return {}


def delete(ctx: Context, args: Doc) -> Doc:
    """Remove the VM's directory; an image that a disk links to is never touched."""
    vm, executor = _whose(ctx, args)
    with fenced(ctx, executor, args):
        perform(ctx, executor, home.remove_steps(vm))
    return {}


def _whose(ctx: Context, args: Doc) -> tuple[Doc, Executor]:
    """The VM, its directory checked before anything is made beside it, and where the work is done.

    That is its host, or the front-end, which sees the same files, when it has none.
    """
    vm = args["vm"]
    vm_dir(vm)
    return vm, ctx.host({} if vm.get("away") else args["host"])


def _saved_sizes(executor: Executor, vm: Doc, found: Found) -> dict[str, int]:
    """Bytes on disk of the persistent disks that are files of their own."""
    paths = [disk_path(vm, disk) for disk in vm["disks"] if is_saved(disk)]
    return {path: written(executor, path) for path in paths if found.get(path.rpartition("/")[2]) == ""}
