"""tm/qcow2: disks are overlays of images on a file system that front-end and hosts see under the same path.

Each action looks, lets a pure function decide the steps (prolog.py, epilog.py), and does them under the VM's fence.
"""
from __future__ import annotations

import json
from collections.abc import Mapping

from drivers.base import Action, Context, Executor
from drivers.fence import fenced
from drivers.tm import epilog as home
from drivers.tm.layout import disk_path, is_saved, vm_dir
from drivers.tm.prolog import images_to_grow, make_dir_steps, prolog_steps
from drivers.tm.steps import perform
from onecore.wire.messages import Doc


def prolog(ctx: Context, args: Doc) -> Doc:
    """Make the VM's directory with every disk; a disk that is complete already is kept."""
    vm, executor = _whose(ctx, args)
    with fenced(ctx, executor, args):
        perform(ctx, executor, make_dir_steps(vm))
        sizes = {path: virtual_size(executor, path, form) for path, form in images_to_grow(vm).items()}
        perform(ctx, executor, prolog_steps(vm, look(executor, vm), sizes))
    return {}


def epilog(ctx: Context, args: Doc) -> Doc:
    """Bring persistent disks into their images, then remove the VM's directory."""
    vm, executor = _whose(ctx, args)
    with fenced(ctx, executor, args):
        found = look(executor, vm)
        for name in home.missing_disks(vm, found) if found else ():
            ctx.log("warning", f"VM {vm['id']}: {name} was not there any more")
        perform(ctx, executor, home.epilog_steps(vm, found, _saved_sizes(executor, vm, found)))
        perform(ctx, executor, home.remove_steps(vm))
    return {}


def keep(ctx: Context, args: Doc) -> Doc:
    """The directory is shared: its disks and checkpoint stay where they are, verified and on stable storage."""
    vm, executor = _whose(ctx, args)
    with fenced(ctx, executor, args):
        perform(ctx, executor, home.keep_steps(vm, look(executor, vm)))
    return {}


def delete(ctx: Context, args: Doc) -> Doc:
    """Remove the VM's directory; an image that a disk links to is never touched."""
    vm, executor = _whose(ctx, args)
    with fenced(ctx, executor, args):
        perform(ctx, executor, home.remove_steps(vm))
    return {}


def _whose(ctx: Context, args: Doc) -> tuple[Doc, Executor]:
    """The VM, its directory checked before anything is made beside it, and its host."""
    vm_dir(args["vm"])
    return args["vm"], ctx.host(args["host"])


def look(executor: Executor, vm: Doc) -> Mapping[str, str]:
    """What lies in the VM's directory: link target or empty text by name; nothing when it is not there."""
    path = vm_dir(vm)
    if not executor.exists(path):
        return {}
    listed = executor.run(["find", path, "-mindepth", "1", "-maxdepth", "1", "-printf", r"%f\t%l\n"])
    return dict(line.split("\t", 1) for line in listed.splitlines())


def virtual_size(executor: Executor, path: str, image_format: str) -> int:
    """Bytes that a guest sees of the disk in PATH."""
    facts = json.loads(executor.run(["qemu-img", "info", "-U", "-f", image_format, "--output=json", path]))
    return int(facts["virtual-size"])


def _saved_sizes(executor: Executor, vm: Doc, found: Mapping[str, str]) -> dict[str, int]:
    """Bytes on disk of the persistent disks that are files of their own."""
    paths = [disk_path(vm, disk) for disk in vm["disks"] if is_saved(disk)]
    own = [path for path in paths if found.get(path.rpartition("/")[2]) == ""]
    return {path: 512 * int(executor.run(["stat", "--format=%b", "--", path])) for path in own}


ACTIONS: dict[str, Action] = {
    "prolog": prolog, "epilog": epilog, "epilog_stop": keep, "prolog_resume": keep, "delete": delete,
}
