"""Dummy disks, one at a time: attached, detached, resized, kept as snapshots, saved as new images."""
from __future__ import annotations

from dataclasses import replace

from drivers.base import Action, Context, Permanent
from drivers.dummy.folder import Disk, Folder
from drivers.dummy.shelf import Held
from drivers.dummy.work import Work, begin
from drivers.tm.layout import one_disk
from onecore.wire.messages import Doc


def attach(ctx: Context, args: Doc) -> Doc:
    """The disk's file is there."""
    work, number = begin(ctx, "tm.attach", args), _number(args)
    folder = work.settled()
    if number not in folder.disks:
        work.put(folder.having(number, work.made(one_disk(args["vm"], args["disk_id"]))))
    return {}


def detach(ctx: Context, args: Doc) -> Doc:
    """Its content is in its image, with `save`; then it is gone."""
    work, number = begin(ctx, "tm.detach", args), _number(args)
    folder = work.settled()
    if number in folder.disks:
        if args.get("save"):
            work.save(one_disk(args["vm"], args["disk_id"]), folder.disks[number])
        work.put(folder.having(number, None))
    return {}


def resize(ctx: Context, args: Doc) -> Doc:
    """The disk has `size_mb`; Permanent when it has more."""
    work, folder, disk = _found(ctx, "tm.resize", args)
    if disk.mb > args["size_mb"]:
        raise Permanent(f"disk {_number(args)} has {disk.mb} MB, more than {args['size_mb']}: disks only grow")
    work.put(folder.having(_number(args), replace(disk, mb=args["size_mb"])))
    return {}


def snap_create(ctx: Context, args: Doc) -> Doc:
    """What is on the disk is kept; a snapshot that is there stays as it is."""
    work, folder, disk = _found(ctx, "tm.snap_create", args)
    kept = {_snapshot(args): disk.content, **disk.snapshots}
    work.put(folder.having(_number(args), replace(disk, snapshots=kept)))
    return {}


def snap_revert(ctx: Context, args: Doc) -> Doc:
    """What the snapshot keeps is on the disk."""
    work, folder, disk = _found(ctx, "tm.snap_revert", args)
    work.put(folder.having(_number(args), replace(disk, content=_content(disk, args))))
    return {}


def snap_delete(ctx: Context, args: Doc) -> Doc:
    """It is gone; none there is fine."""
    work, folder, disk = _found(ctx, "tm.snap_delete", args)
    rest = {number: content for number, content in disk.snapshots.items() if number != _snapshot(args)}
    work.put(folder.having(_number(args), replace(disk, snapshots=rest)))
    return {}


def saveas(ctx: Context, args: Doc) -> Doc:
    """An image that holds what the disk, its snapshot or, `live`, its copy does; the copy goes."""
    work, folder, disk = _found(ctx, "tm.saveas", args)
    source, image = f"dummy-{args['image']['id']}", args["image"]
    form = image.get("format") or one_disk(args["vm"], args["disk_id"]).get("FORMAT") or "raw"
    facts = {"source": source, "format": form, "size_mb": disk.mb}
    if not args.get("live"):
        work.shelf.put_image(source, Held(_content(disk, args)))
    elif disk.copy is not None:
        work.shelf.put_image(source, Held(disk.copy))
        work.put(folder.having(_number(args), replace(disk, copy=None)))
    elif not work.shelf.has_image(source):
        raise Permanent(f"disk {_number(args)}: its copy disk.{_number(args)}.saveas is missing")
    return facts


def _found(ctx: Context, action: str, args: Doc) -> tuple[Work, Folder, Disk]:
    work = begin(ctx, action, args)
    folder = work.settled()
    return work, folder, folder.disk(_number(args))


def _number(args: Doc) -> str:
    return str(args["disk_id"])


def _snapshot(args: Doc) -> str:
    return str(args["snap_id"])


def _content(disk: Disk, args: Doc) -> int:
    """What the snapshot holds, or the disk where none (-1) is meant."""
    number = str(args.get("snap_id", -1))
    if number != "-1" and number not in disk.snapshots:
        raise Permanent(f"disk {_number(args)}: its snapshot {number} is missing")
    return disk.content if number == "-1" else disk.snapshots[number]


ACTIONS: dict[str, Action] = {
    "attach": attach, "detach": detach, "resize": resize, "snap_create": snap_create, "snap_revert": snap_revert,
    "snap_delete": snap_delete, "saveas": saveas,
}
