"""What dummy guests do to their directories: each start writes once on the disks, saving makes a checkpoint, and so on.

Where a guest has no directory (nobody ran prolog), nothing is done.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from drivers.base import Context
from drivers.dummy.folder import ARRIVING, Disk, Folder, is_whole, saved_disks
from drivers.dummy.shelf import place_of, shelf
from onecore.wire.messages import Doc


def write_disks(ctx: Context, args: Doc) -> None:
    """A guest writes; one without persistent disks saves itself the effort."""
    if saved_disks(args["vm"]):
        _change(ctx, args, Folder.written)


def keep_checkpoint(ctx: Context, args: Doc, there: bool) -> None:
    """There is a checkpoint, or none."""
    _change(ctx, args, lambda found: replace(found, checkpoint=there))


def has_checkpoint(ctx: Context, args: Doc) -> bool:
    """Whether there is one, in a directory that is to be believed."""
    here = shelf(ctx, "vm")
    place = here.find(args["host"]["name"], args["vm"])
    found = here.get(place) if place else None
    return found is not None and not found.mark and found.checkpoint


def keep_snapshot(ctx: Context, args: Doc) -> None:
    """What is on the disk is kept; a snapshot that is there stays as it is."""
    number = str(args["snap_id"])
    _change_disk(ctx, args, lambda disk: replace(disk, snapshots={number: disk.content, **disk.snapshots}))


def drop_snapshot(ctx: Context, args: Doc) -> None:
    """The disk's snapshot is gone."""
    number = str(args["snap_id"])
    _change_disk(ctx, args, lambda disk: replace(
        disk, snapshots={each: kept for each, kept in disk.snapshots.items() if each != number}))


def keep_copy(ctx: Context, args: Doc) -> None:
    """What is on the disk waits for `tm saveas`."""
    _change_disk(ctx, args, lambda disk: replace(disk, copy=disk.content))


def lose_copy(ctx: Context, args: Doc) -> None:
    """Nothing waits for `tm saveas` any more."""
    _change_disk(ctx, args, lambda disk: replace(disk, copy=None))


def grow(ctx: Context, args: Doc) -> None:
    """The disk has `size_mb`, if that is more."""
    _change_disk(ctx, args, lambda disk: replace(disk, mb=max(disk.mb, args["size_mb"])))


def announce(ctx: Context, args: Doc) -> None:
    """The guest's directory is about to arrive on another host, if that does not see it already."""
    places = _way(args)
    if places and shelf(ctx, "vm").get(places[0]):
        shelf(ctx, "vm").put(places[1], Folder(mark=ARRIVING))


def bring(ctx: Context, args: Doc) -> None:
    """It is whole there, and here still."""
    places = _way(args)
    found = shelf(ctx, "vm").get(places[0]) if places else None
    if places and found:
        shelf(ctx, "vm").put(places[1], found)


def leave(ctx: Context, args: Doc, moved: bool) -> None:
    """It is no more where the guest is not (on the first host when that has MOVED, else on the other), if it is whole
    where the guest is."""
    if places := _way(args):
        away, kept = places if moved else places[::-1]
        if is_whole(args["vm"], shelf(ctx, "vm").get(kept)):
            shelf(ctx, "vm").drop(away)


def _way(args: Doc) -> tuple[tuple[str, int, int], tuple[str, int, int]] | None:
    """From where to where a directory moves; None: it is seen there already, or nobody said where it is."""
    if "datastore" not in args or "to_datastore" not in args:
        return None
    here = place_of(args["host"], args["vm"], args["datastore"])
    there = place_of(args["to"], args["vm"], args["to_datastore"])
    return (here, there) if here != there else None


def _change(ctx: Context, args: Doc, change: Callable[[Folder], Folder]) -> None:
    here = shelf(ctx, "vm")
    place = here.find(args["host"]["name"], args["vm"])
    found = here.get(place) if place else None
    changed = change(found) if found else None
    if place and changed and changed != found:
        here.put(place, changed)


def _change_disk(ctx: Context, args: Doc, change: Callable[[Disk], Disk]) -> None:
    number = str(args["disk_id"])
    _change(ctx, args, lambda found: found.having(number, change(found.disk(number))))
