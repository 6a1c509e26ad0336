"""Moving a VM's files: whole there before they go here, whatever an earlier run did.

Hosts with storage of their own send each other the files through the front-end, which keeps nothing of them; on one
that both see, and on one host, they are copied by the machine that sees both.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from drivers.base import Action, Cancelled, Context, DriverError, Executor, Permanent
from drivers.fence import fence, fenced
from drivers.tm import carry
from drivers.tm.epilog import keep_steps, kept
from drivers.tm.facts import MB, Found, each_written, look, need, room
from drivers.tm.layout import kind, source, vm_dir
from drivers.tm.place import incomplete
from drivers.tm.steps import perform
from drivers.tm.trip import Trip, arrived_steps, begin_steps, copy_steps, pass_steps, trip, unlike
from onecore.wire.messages import Doc


def actions(apart: bool) -> dict[str, Action]:
    """The actions of a driver whose VMs' files are (APART) or are not on a host's own storage."""
    return {"premigrate": partial(_premigrate, apart), "move": partial(_move, apart),
            "move_back": partial(_move_back, apart)}


def _move(apart: bool, ctx: Context, args: Doc) -> Doc:
    """All files are where they are to be, and then no more where they were."""
    with _under_fences(apart, ctx, args, trip(ctx, args)) as way:
        found = look(way.here, way.vm)
        if way.stays:
            _insist(way.vm, found)
            return {}
        if not incomplete(way.vm, found):
            _bring(ctx, way, found or {})
        elif incomplete(way.moved, look(way.there, way.moved)):
            _insist(way.vm, found)
        _leave(ctx, way.here, way.vm, found)
    return {}


def _move_back(apart: bool, ctx: Context, args: Doc) -> Doc:
    """All files are where they were, and what a move left elsewhere is gone."""
    way = trip(ctx, args)
    if vm_dir(way.vm) == vm_dir(way.moved) and (not apart or way.stays):
        with fenced(ctx, way.here, args):
            _insist(way.vm, look(way.here, way.vm))
        return {}
    with _under_fences(apart, ctx, args, way) as way:
        found, far = look(way.here, way.vm), look(way.there, way.moved)
        if incomplete(way.vm, found):
            if incomplete(way.moved, far):
                _insist(way.vm, found)
            _bring(ctx, way.back(), far or {})
        _leave(ctx, way.there, way.moved, far)
    return {}


def _premigrate(apart: bool, ctx: Context, args: Doc) -> Doc:
    """What keeps the files from getting there, in words; nothing is changed."""
    problem = unlike(args)
    if problem:
        return {"problems": [problem]}
    try:
        return {"problems": _problems(apart, ctx, trip(ctx, args))}
    except Cancelled:
        raise
    except DriverError as error:
        return {"problems": [str(error)]}


def _problems(apart: bool, ctx: Context, way: Trip) -> list[str]:
    found = look(way.here, way.vm)
    problem = incomplete(way.vm, found)
    if problem or way.stays:
        return [problem] if problem else []
    if not apart:
        unseen = _unseen(way, found or {})
        if unseen or vm_dir(way.vm) == vm_dir(way.moved):
            return unseen
    size, base = sum(_sizes(way.here, way.vm, found or {}).values()), vm_dir(way.moved).rpartition("/")[0]
    free = room(way.there, base)
    return [] if size <= free else [f"not enough space in {base} on the host: VM {way.vm['id']} needs "
                                    f"{-(-size // MB)} MB, {free // MB} MB are free"]


def _unseen(way: Trip, found: Found) -> list[str]:
    """What the other host should see of a shared file system, and does not."""
    if incomplete(way.vm, look(way.there, way.vm)):
        return [f"the host does not see {vm_dir(way.vm)}, which hosts of this datastore share"]
    images = {source(disk) for disk in way.vm["disks"] if kind(disk) in ("link", "clone")}
    return [f"the host does not see the image {path}" for path in sorted(images) if not way.there.exists(path)]


@contextmanager
def _under_fences(apart: bool, ctx: Context, args: Doc, way: Trip) -> Iterator[Trip]:
    """On both hosts, the source first; the way as whoever works sees it.

    Of a shared file system the destination sees both ends.  Hosts may share the place of their fences too, where there
    can be but one: the source's is given back when what was at work there has ended, and its writes are durable.
    """
    with ExitStack() as held:
        held.enter_context(_fence_here(apart, ctx, args, way))
        if not apart:
            held.close()
        if way.here is not way.there or not apart:
            run = args["_"]
            held.enter_context(fence(ctx, way.there, vm_dir(way.moved), run["epoch"], run["generation"], run["op"]))
        yield way if apart else Trip(way.vm, way.there, way.moved, way.there)


@contextmanager
def _fence_here(apart: bool, ctx: Context, args: Doc, way: Trip) -> Iterator[None]:
    with fenced(ctx, way.here, args):
        found = None if apart else look(way.here, way.vm)
        if found and not incomplete(way.vm, found):
            perform(ctx, way.here, keep_steps(way.vm, found))
        yield


def _bring(ctx: Context, way: Trip, found: Found) -> None:
    """The files, FOUND where they are, are whole at the other end of the WAY."""
    sizes = _sizes(way.here, way.vm, found)
    names = list(sizes)
    perform(ctx, way.there, carry.arrive_steps(way.moved, here=False))
    need(way.there, vm_dir(way.moved), sum(sizes.values()), f"VM {way.vm['id']}")
    perform(ctx, way.there, begin_steps(way.moved, names))
    if way.here is way.there:
        perform(ctx, way.here, copy_steps(way, sizes, found))
    else:
        perform(ctx, way.here, pass_steps(way, names), to=way.there)
    perform(ctx, way.there, [*arrived_steps(way.moved, names, found), *carry.settle_steps(way.moved, here=False)])


def _leave(ctx: Context, place: Executor, vm: Doc, found: Found | None) -> None:
    if found is not None:
        perform(ctx, place, carry.leave_steps(vm, here=False))


def _sizes(place: Executor, vm: Doc, found: Found) -> dict[str, int]:
    """Bytes on disk of what moves, by name."""
    names = kept(vm, found)
    return dict(zip(names, each_written(place, [f"{vm_dir(vm)}/{name}" for name in names]), strict=True))


def _insist(vm: Doc, found: Found | None) -> None:
    """Permanent unless the directory with FOUND in it is whole."""
    problem = incomplete(vm, found)
    if problem:
        raise Permanent(problem)
