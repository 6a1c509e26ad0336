"""A disk, one of its snapshots, or the copy that a running guest left of it, as a new image that stands alone."""
from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import partial

from drivers.base import Action, Context, Executor, Permanent
from drivers.ds.capacity import need as need_in
from drivers.ds.making import making, settle, target_of
from drivers.fence import fenced
from drivers.tm.epilog import flatten_steps
from drivers.tm.facts import MB, Found, guest_size, layer, need, written
from drivers.tm.layout import Disk, active_format, disk_path, image_format, one_disk, snapshot_name, vm_dir
from drivers.tm.on_disk import check_there, layers_of
from drivers.tm.own import alone, passing
from drivers.tm.place import chain, settled, whose
from drivers.tm.prolog import TEMPORARY
from drivers.tm.stack import form_of
from drivers.tm.steps import Carry, Step, perform
from onecore.wire.messages import Doc


def action(apart: bool) -> Action:
    """`saveas` of a driver whose VMs' files are, or (APART) are not, seen from the front-end."""
    return partial(_saveas, apart)


def _saveas(apart: bool, ctx: Context, args: Doc) -> Doc:
    vm, host = whose(ctx, args)
    disk, place = one_disk(vm, args["disk_id"]), host if apart else ctx.host({})
    target, form = target_of(args, args["image_datastore"]), _form(args, disk)
    with _alone(apart, ctx, place, args):
        found = settled(place, vm)
        if not os.path.exists(target):
            path, here = _source(place, vm, disk, args, found)
            size = written(place, *{path, *chain(vm, disk, found)})
            need_in(args["image_datastore"], size, f"image {args['image']['id']}")
            with making(target) as made:
                _copy(ctx, place, (path, here), (made, form), disk_path(vm, disk) + TEMPORARY, size)
                settle(made, target)
        if args.get("live"):
            perform(ctx, place, [Step(f"disk {disk['DISK_ID']}", ("rm", "-f", "--", _copied(vm, disk)))])
    size = guest_size(ctx.host({}), target, form)
    return {"source": target, "format": form, "size_mb": -(-size // MB)}


def _alone(apart: bool, ctx: Context, place: Executor, args: Doc) -> AbstractContextManager[None]:
    return alone(ctx, args, place) if apart else fenced(ctx, place, args)


def _form(args: Doc, disk: Disk) -> str:
    """The image's FORMAT, if it asks for one, else that of the disk's own image."""
    form = str(args["image"].get("format") or image_format(disk))
    if form not in ("raw", "qcow2"):
        raise Permanent(f"image {args['image']['id']}: FORMAT {form!r} is neither raw nor qcow2")
    return form


def _source(place: Executor, vm: Doc, disk: Disk, args: Doc, found: Found) -> tuple[str, str]:
    """The file that holds what is wanted, and its format; Permanent when it is not there."""
    snapshot = int(args.get("snap_id", -1))
    if args.get("live"):
        path, form = _copied(vm, disk), "qcow2"
    elif snapshot < 0:
        path, form = disk_path(vm, disk), active_format(vm, disk)
    else:
        check_there(vm, disk, snapshot, found)
        path = f"{vm_dir(vm)}/{snapshot_name(disk, snapshot)}"
        form = form_of(disk, snapshot, layers_of(place, vm, disk, found))
    if path.removeprefix(f"{vm_dir(vm)}/") not in found:
        raise Permanent(f"disk {disk['DISK_ID']}: {path} is missing")
    return path, form


def _copy(ctx: Context, place: Executor, there: tuple[str, str], made: tuple[str, str], spare: str, size: int) -> None:
    """MADE (path, format), on the front-end, has the content of the file THERE.

    On another machine that is made one file first, SPARE, if it is none.
    """
    path, form = there
    what = f"copying {path}"
    if place.is_local:
        perform(ctx, place, flatten_steps(what, *there, *made, size))
    elif form != made[1] or (form == "qcow2" and _is_more(place, path)):
        with passing(place, spare):
            need(place, os.path.dirname(spare), size, what)
            perform(ctx, place, [*flatten_steps(what, *there, spare, made[1], size),
                                 Carry(what, spare, made[0], home=True)])
    else:
        perform(ctx, place, [Carry(what, path, made[0], home=True)])


def _is_more(place: Executor, path: str) -> bool:
    """Whether the qcow2 file stands on others, or has system snapshots in it."""
    found = layer(place, path)
    return bool(found.backing or found.inner)


def _copied(vm: Doc, disk: Disk) -> str:
    return f"{disk_path(vm, disk)}.saveas"
