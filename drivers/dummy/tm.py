"""Dummy disks: what becomes of a VM's directory as a whole.  They cost nothing, but they can be lost, and are not.

As with real ones, a directory that is carried is marked while it is not whole, and goes only when it is elsewhere.
"""
from __future__ import annotations

from drivers.base import Action, Context, Permanent
from drivers.dummy.folder import ARRIVING, Folder, is_whole, saved_disks, size_mb
from drivers.dummy.moments import moments
from drivers.dummy.seen import seen_of_disk
from drivers.dummy.shelf import Place, place_of
from drivers.dummy.stage import act, stage
from drivers.dummy.tm_disk import ACTIONS as OF_DISKS
from drivers.dummy.work import begin, carry, incomplete, leave, own_place, work_at
from drivers.dummy.world import world
from onecore.wire.messages import Doc


def prolog(ctx: Context, args: Doc) -> Doc:
    """The VM's directory with every disk; one that is complete already is kept."""
    work = begin(ctx, "tm.prolog", args)
    found = work.look()
    whole = found if found and not found.mark else Folder()
    for disk in work.vm.get("disks", []):
        if disk["DISK_ID"] not in whole.disks:
            whole = whole.having(disk["DISK_ID"], work.made(disk))
    work.put(whole)
    return {}


def epilog(ctx: Context, args: Doc) -> Doc:
    """Persistent disks are in their images, then the directory goes."""
    work = begin(ctx, "tm.epilog", args)
    found, saved = work.look(), saved_disks(work.vm)
    if found and found.mark == ARRIVING:
        raise Permanent(incomplete(work.vm, found, work.place))
    if found and not found.mark:
        for disk, file in [(disk, found.disk(disk["DISK_ID"])) for disk in saved]:
            work.save(disk, file)
    elif not all(map(work.is_home, saved)):
        raise Permanent(f"VM {work.vm['id']}: its persistent disks are neither on its host nor saved into their images")
    work.drop()
    moments(ctx).clear(work.vm["id"])
    return {}


def epilog_stop(ctx: Context, args: Doc) -> Doc:
    """From the host to the front-end, if they do not see the same files."""
    carry(ctx, args, "tm.epilog_stop", own_place(args), _stopped(args))
    return {}


def prolog_resume(ctx: Context, args: Doc) -> Doc:
    """The reverse."""
    carry(ctx, args, "tm.prolog_resume", _stopped(args), own_place(args))
    return {}


def delete(ctx: Context, args: Doc) -> Doc:
    """No directory any more, on the front-end neither, and none that was left behind by a file in `dirs`."""
    work = begin(ctx, "tm.delete", args)
    leave(work)
    if not args.get("left_over"):
        leave(work_at(ctx, args, _stopped(args)))
        moments(ctx).clear(work.vm["id"])
    left = f"{args['datastore'].get('id')}-{work.vm['id']}"
    world(ctx).remove(str(args["host"].get("name", "")), "dirs", left)
    return {}


def premigrate(ctx: Context, args: Doc) -> Doc:
    """Files that are not whole, storage of another kind, too little room (the host's DUMMY_DISK_MB)."""
    vm, to, into = args["vm"], args["to"], args["to_datastore"]
    act(ctx, "tm.premigrate", args["host"], vm)
    found = work_at(ctx, args, own_place(args)).look()
    problems = [] if is_whole(vm, found) else [incomplete(vm, found, own_place(args))]
    kinds = args["datastore"]["tm_mad"], into["tm_mad"]
    if kinds[0] != kinds[1]:
        problems.append(f"datastore {into['id']} is of kind {kinds[1]}, that of VM {vm['id']} of kind {kinds[0]}")
    mb = sum(map(size_mb, vm.get("disks", [])))
    room = int((to.get("attrs") or {}).get("DUMMY_DISK_MB", stage(ctx).script().disk_mb))
    if _destination(args) != own_place(args) and mb > room:
        problems.append(f"datastore {into['id']} on {to['name']}: VM {vm['id']} needs {mb} MB, {room} MB are free")
    return {"problems": problems}


def move(ctx: Context, args: Doc) -> Doc:
    """The directory is where it is to be, and nowhere else."""
    carry(ctx, args, "tm.move", own_place(args), _destination(args))
    return {}


def move_back(ctx: Context, args: Doc) -> Doc:
    """The directory is where it was: what is whole there counts, and what is on its way is given up."""
    home, away = own_place(args), _destination(args)
    if home != away and is_whole(args["vm"], work_at(ctx, args, home).look()):
        act(ctx, "tm.move_back", args["host"], args["vm"])
        leave(work_at(ctx, args, away))
    else:
        carry(ctx, args, "tm.move_back", away, home)
    return {}


def state(ctx: Context, args: Doc) -> Doc:
    """What is there now and complete."""
    work = begin(ctx, "tm.state", args)
    found = work.shelf.get(work.place)
    believed = found if found and not found.mark else Folder()
    told = {"dir": found is not None, "checkpoint": believed.checkpoint,
            "disks": {disk["DISK_ID"]: disk["DISK_ID"] in believed.disks for disk in work.vm.get("disks", [])},
            "saved": all(map(work.is_home, saved_disks(work.vm)))}
    disk = believed.disks.get(str(args["look"]["disk_id"])) if args.get("look") else None
    return told | ({"has": seen_of_disk(args["look"], disk)} if disk else {})


def _stopped(args: Doc) -> Place:
    """Where the directory of a VM on no host is."""
    return place_of({}, args["vm"], args["datastore"])


def _destination(args: Doc) -> Place:
    return place_of(args["to"], args["vm"], args["to_datastore"])


ACTIONS: dict[str, Action] = {
    "prolog": prolog, "epilog": epilog, "epilog_stop": epilog_stop, "prolog_resume": prolog_resume, "delete": delete,
    "premigrate": premigrate, "move": move, "move_back": move_back, "state": state, **OF_DISKS,
}
