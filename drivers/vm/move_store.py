"""A guest moves to another datastore of its host while it runs: copies of its disks catch up with it, then it stands
still for a moment and goes on with those.

What it writes goes to both while they are the same, so that whatever breaks then, both directories are whole; which
counts is said by the marks in them, changed while it stands still.
"""
from __future__ import annotations

from contextlib import suppress
from xml.sax.saxutils import quoteattr

import libvirt

from drivers.base import Context, DriverError, Executor, Permanent
from drivers.tm import carry
from drivers.tm.facts import look as look_at_files
from drivers.tm.layout import Disk, active_format, disk_path, is_cdrom, vm_dir
from drivers.tm.place import LEAVING, incomplete, is_settled
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
    """Once the guest uses one file of the directory there, it is only gone on with."""
    guest = at_work(ctx, args)
    live = read(ctx, args, guest)
    counts = _counts(way.here, live, way)
    if counts == "to":
        _settle(ctx.beyond(LAST_SECONDS), args, way)
    else:
        ctx.progress("preparing")
        doing = move_files.plan(way.vm, live, look_at_files(way.here, way.vm) or {})
        (_prepare if counts == "from" else _go_on)(ctx, args, way, guest, live, doing)
        _copy(ctx, args, way, guest, doing.made)
    wake(ctx.beyond(LAST_SECONDS), args, guest)
    _change_media(ctx.beyond(LAST_SECONDS), args, way, guest, live)


def _prepare(ctx: Context, args: Doc, way: Trip, guest: Guest, live: Live, doing: move_files.Plan) -> None:
    move_files.refuse_unmovable(way.vm, doing, live, one_host=True)
    move_files.refuse_inner(ctx, args, guest, doing)
    for target in doing.made:
        end(ctx, args, guest, target)
    found = look_at_files(way.here, way.vm) or {}
    move_files.bring(ctx, way, doing, found, sizes_of(ctx, args, guest, list(doing.made)))


def _go_on(ctx: Context, args: Doc, way: Trip, guest: Guest, live: Live, doing: move_files.Plan) -> None:
    """Of the disks that the guest has not left, those whose copy is not under way any more get an empty file again."""
    sizes = sizes_of(ctx, args, guest, list(doing.made))
    for target, disk in doing.made.items():
        if not _is_there(live, target, way) and not _is_copied(live, target, way, disk):
            end(ctx, args, guest, target)
            perform(ctx, way.there, move_files.make_steps(way, disk, sizes[target]))


def _copy(ctx: Context, args: Doc, way: Trip, guest: Guest, disks: dict[str, Disk]) -> None:
    """Copies of DISKS, by target, and the switch to them; when they cannot be made, nothing is left there."""
    try:
        live = read(ctx, args, guest)
        rest = {target: disk for target, disk in disks.items() if not _is_there(live, target, way)}
        for target, disk in rest.items():
            if not _is_copied(live, target, way, disk):
                _begin(ctx, args, way, guest, target, disk)
        for target in rest:
            until_ready(ctx, args, guest, target, "copying disks")
        _switch(ctx.beyond(LAST_SECONDS), args, way, guest, list(rest))
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
            _settle(ctx, args, way)
            still.ends = True
        except DriverError:
            still.ends = _counts(ctx.host(args["host"]), read(ctx, args, guest), way) == "from"
            raise


def _settle(ctx: Context, args: Doc, way: Trip) -> None:
    """The directory there counts, and the one here no more."""
    move_files.settle(ctx, args["to"], way.moved)
    place = ctx.host(args["host"])
    if look_at_files(place, way.vm) is not None:
        perform(ctx, place, carry.mark_steps(way.vm, LEAVING, here=False))


def _take_back(ctx: Context, args: Doc, way: Trip, guest: Guest, targets: list[str]) -> None:
    """No copies, unless the guest uses one of them: then the rest is to follow."""
    last = ctx.beyond(LAST_SECONDS)
    with suppress(DriverError):
        if _counts(last.host(args["host"]), read(last, args, guest), way) == "from":
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


def _is_copied(live: Live, target: str, way: Trip, disk: Disk) -> bool:
    """Whether the copy that is wanted is under way: a driver that began it has ended."""
    there = live.at(target)
    return there is not None and there.copy_path == disk_path(way.moved, disk)


def _where(ctx: Context, args: Doc, way: Trip) -> Where:
    """Which directory counts for who asks; `unknown` also before the marks say what the guest does: it is gone on with.

    A guest that ended stood still as long as they did not.
    """
    last = ctx.beyond(LAST_SECONDS)
    place = last.host(args["host"])
    try:
        try:
            counts = _counts(place, read(last, args, at_work(last, args)), way)
        except Permanent:
            return _marked(place, way)
        return counts if counts == "from" or _is_settled(place, way) else "unknown"
    except DriverError:
        return "unknown"


def _counts(place: Executor, live: Live, way: Trip) -> Where:
    """In which directory the disks are that the guest uses, `unknown`: in both; of one without disks the marks tell."""
    used = [disk.path for disk in live.disks() if disk.path and not disk.is_removable]
    there = [path for path in used if path.startswith(f"{vm_dir(way.moved)}/")]
    if not used:
        return _marked(place, way)
    return "from" if not there else "to" if len(there) == len(used) else "unknown"


def _marked(place: Executor, way: Trip) -> Where:
    """Which directory counts by what is in them."""
    return "to" if _is_settled(place, way) and not incomplete(way.moved, look_at_files(place, way.moved)) else "from"


def _is_settled(place: Executor, way: Trip) -> bool:
    """Whether the marks say that the directory there counts."""
    gone, there = look_at_files(place, way.vm), look_at_files(place, way.moved)
    return there is not None and is_settled(there) and (gone is None or LEAVING in gone)
