"""A guest moves to another datastore of its host while it runs: copies of its disks catch up with it, then it stands
still for a moment and goes on with those.

What it writes goes to both while they are the same, so that whatever breaks then, both directories are whole; which
counts is said by the marks in them, changed while it stands still.
"""
from __future__ import annotations

from contextlib import suppress
from xml.sax.saxutils import quoteattr

import libvirt

from drivers.base import Context, DriverError, Permanent
from drivers.tm import carry
from drivers.tm.facts import look as look_at_files
from drivers.tm.layout import Disk, active_format, disk_path, is_cdrom, vm_dir
from drivers.tm.place import LEAVING, incomplete
from drivers.tm.steps import perform
from drivers.tm.trip import Trip
from drivers.vm import events, move_files
from drivers.vm.domain import disk_xml
from drivers.vm.domain.live import Live
from drivers.vm.facts import host_facts
from drivers.vm.guest import Guest
from drivers.vm.inside import at_work, read, sizes_of, update
from drivers.vm.jobs import at_a_standstill, end, pivot, until_ready, wake
from drivers.vm.where import Where
from drivers.vm.work import LAST_SECONDS, ask
from onecore.wire.messages import Doc

_COPY = (libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB | libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT
         | libvirt.VIR_DOMAIN_BLOCK_COPY_SHALLOW | libvirt.VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES)
_AFTERWARDS = 60.0


def move(ctx: Context, args: Doc, way: Trip) -> Doc:
    """The guest's files are in the directory there, and no more where they were; a failure says which counts."""
    if way.stays:
        at_work(ctx, args)
        return {"where": "to", "left": []}
    try:
        with events.quiet(ctx, args["host"], args["vm"]):
            _move(ctx, args, way)
    except DriverError as error:
        error.data = {"where": _where(ctx, args, way), "left": []}
        if error.data["where"] != "to":
            raise
        ctx.log("warning", f"VM {args['vm']['id']} has moved all the same: {error}")
    last = ctx.beyond(_AFTERWARDS)
    try:
        move_files.take_away(last, args["host"], way.vm)
    except DriverError as error:
        last.log("warning", f"VM {args['vm']['id']}: {error}")
        return {"where": "to", "left": [args["host"]["id"]]}
    return {"where": "to", "left": []}


def _move(ctx: Context, args: Doc, way: Trip) -> None:
    guest = at_work(ctx, args)
    live, found = read(ctx, args, guest), look_at_files(way.here, way.vm) or {}
    doing = move_files.plan(way.vm, live, found)
    moved = [target for target in doing.made if _is_there(live, target, way)]
    if len(moved) < len(doing.made) or not doing.made:
        ctx.progress("preparing")
        if not moved:
            _prepare(ctx, args, way, guest, live, doing)
        _copy(ctx, args, way, guest, {target: disk for target, disk in doing.made.items() if target not in moved})
    wake(ctx.beyond(LAST_SECONDS), args, guest)
    _change_media(ctx.beyond(LAST_SECONDS), args, way, guest, live)


def _prepare(ctx: Context, args: Doc, way: Trip, guest: Guest, live: Live, doing: move_files.Plan) -> None:
    move_files.refuse_unmovable(way.vm, doing, live, one_host=True)
    move_files.refuse_inner(ctx, args, guest, doing)
    for target in doing.made:
        end(ctx, args, guest, target)
    found = look_at_files(way.here, way.vm) or {}
    move_files.bring(ctx, way, doing, found, sizes_of(ctx, args, guest, list(doing.made)))


def _copy(ctx: Context, args: Doc, way: Trip, guest: Guest, disks: dict[str, Disk]) -> None:
    """Copies of DISKS, by target, and the switch to them; when they cannot be made, nothing is left there."""
    try:
        for target, disk in disks.items():
            _begin(ctx, args, way, guest, target, disk)
        for target in disks:
            until_ready(ctx, args, guest, target, "copying disks")
        _switch(ctx.beyond(LAST_SECONDS), args, way, guest, list(disks))
    except BaseException:
        _take_back(ctx, args, way, guest, list(disks))
        raise


def _begin(ctx: Context, args: Doc, way: Trip, guest: Guest, target: str, disk: Disk) -> None:
    path, form = disk_path(way.moved, disk), active_format(way.moved, disk)
    xml = f"<disk type='file'><source file={quoteattr(path)}/><driver type={quoteattr(form)}/></disk>"
    ask(ctx, args, f"copying {target} of", lambda _: guest.domain.blockCopy(target, xml, {}, _COPY))


def _switch(ctx: Context, args: Doc, way: Trip, guest: Guest, targets: list[str]) -> None:
    """One disk after the other; only when all are there the guest goes on, and the directory there counts."""
    ctx.progress("switching over")
    with at_a_standstill(ctx, args, guest) as still:
        still.ends = False
        try:
            for target in targets:
                pivot(ctx, args, guest, target)
            move_files.settle(ctx, args["to"], way.moved)
            perform(ctx, ctx.host(args["host"]), carry.mark_steps(way.vm, LEAVING, here=False))
            still.ends = True
        except DriverError:
            still.ends = not any(_is_there(read(ctx, args, guest), target, way) for target in targets)
            raise


def _take_back(ctx: Context, args: Doc, way: Trip, guest: Guest, targets: list[str]) -> None:
    """No copies, unless the guest uses one of them: then the rest is to follow."""
    last = ctx.beyond(LAST_SECONDS)
    with suppress(DriverError):
        live = read(last, args, guest)
        if not any(_is_there(live, target, way) for target in targets):
            for target in targets:
                end(last, args, guest, target)
            move_files.take_away(last, args["host"], way.moved)


def _change_media(ctx: Context, args: Doc, way: Trip, guest: Guest, live: Live) -> None:
    """What is in the guest's drives is of the directory there."""
    facts = host_facts(ctx, args["host"])
    items = [disk for disk in way.moved["disks"] if is_cdrom(disk)]
    if way.moved.get("context_disk"):
        items.append(way.moved["context_disk"])
    for item in items:
        there = live.disk(item["DISK_ID"])
        if there is not None and there.is_removable:
            update(ctx, args, guest, f"the medium in {there.target}", disk_xml(way.moved, facts, item), force=True)


def _is_there(live: Live, target: str, way: Trip) -> bool:
    disk = live.at(target)
    return disk is not None and disk.path.startswith(f"{vm_dir(way.moved)}/")


def _where(ctx: Context, args: Doc, way: Trip) -> Where:
    """By what the guest uses or, if it ended, by the marks in the directories."""
    last = ctx.beyond(LAST_SECONDS)
    try:
        guest = at_work(last, args)
        live = read(last, args, guest)
        used = [disk.path for disk in live.disks() if disk.path and not disk.is_removable]
        return "to" if used and all(path.startswith(f"{vm_dir(way.moved)}/") for path in used) else "from"
    except Permanent:
        place = last.host(args["host"])
        gone, there = look_at_files(place, way.vm), look_at_files(place, way.moved)
        return "to" if not incomplete(way.moved, there) and (gone is None or LEAVING in gone) else "from"
    except DriverError:
        return "unknown"
