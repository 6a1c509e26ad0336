"""Live migration.  libvirt of the one host hands the guest to that of the other (peer to peer), and goes on with it
when nobody asks any more; so the action looks first which of the two has the guest, and whether it is on its way.

Until the switch a failure or a cancel leaves the guest where it is and nothing there; after it the move is completed.
"""
from __future__ import annotations

from collections.abc import Callable

from drivers.base import Context, DriverError, Permanent
from drivers.fence import fenced_on_both
from drivers.net import around
from drivers.tm.facts import look as look_at_files
from drivers.tm.trip import Trip, trip
from drivers.vm import events, move_files, move_store
from drivers.vm.guest import Guest, end, not_newer
from drivers.vm.handover import follow, hand_over, is_under_way, stop
from drivers.vm.inside import at_work, read, sizes_of
from drivers.vm.jobs import wake
from drivers.vm.whereabouts import find_out, log_says_moved
from drivers.vm.work import ask, look, ours
from onecore.wire.messages import Doc

_AFTERWARDS = 60.0
"""Seconds for what is to be done after the switch, whatever becomes of the command."""
_TAKING_BACK = 4.0
"""Seconds for each part of ending what was begun, when the command was cancelled or failed."""
Undo = list[Callable[[Context], None]]
"""How what was begun is ended again."""


def migrate(ctx: Context, args: Doc) -> Doc:
    """The guest runs on `to`, from the directory there; a failure says where it is."""
    try:
        way = trip(ctx, args)
        there = {**args, "host": args["to"], "vm": way.moved}
        with fenced_on_both(ctx, args, way.there, way.moved["dir"]):
            if way.here is way.there:
                return move_store.move(ctx, args, way)
            if not _is_over(ctx, args, there, way):
                _move(ctx, args, there, way)
            return {"where": "to", "left": _complete(ctx.beyond(_AFTERWARDS), args, there, way)}
    except DriverError as error:
        if "where" not in error.data:
            found = find_out(ctx, args, {**args, "host": args["to"]})
            error.data = {"where": found, "left": [args["host"]["id"]] if found == "to" else []}
        raise


def _is_over(ctx: Context, args: Doc, there: Doc, way: Trip) -> bool:
    """Whether the guest has moved; what is under way is waited for.  Permanent when it does not run, or is newer."""
    while True:
        mine, theirs = look(ctx, args), look(ctx, there)
        for guest in (mine, theirs):
            if guest is not None:
                not_newer(guest, args["vm"]["generation"])
        if theirs is not None and theirs.is_on and not _arrives(theirs):
            return True
        if mine is None or not mine.is_on:
            if log_says_moved(ctx, args):
                return True
            raise Permanent(f"VM {args['vm']['id']} does not run on {args['host']['name']}")
        if not is_under_way(ctx, args, mine):
            return False
        _see_through(ctx, args, there, mine, way)


def _see_through(ctx: Context, args: Doc, there: Doc, guest: Guest, way: Trip) -> None:
    """The end of a hand-over that somebody began; stopped, nothing is left of it there."""
    begun: Undo = [lambda last: around.clean(last, there), lambda last: _end_arriving(last, there)]
    if not move_files.stays(way):
        begun.insert(0, lambda last: move_files.take_away(last, args["to"], way.moved))
    try:
        follow(ctx, args, there, guest)
    except DriverError as error:
        found, left = _after_failure(ctx, args, there, begun)
        error.data = {"where": found, "left": [args["host"]["id"]] if found == "to" else left}
        raise


def _move(ctx: Context, args: Doc, there: Doc, way: Trip) -> None:
    """Make ready, hand over; when that fails nothing is left there, unless the guest has moved all the same."""
    begun: Undo = []
    try:
        guest = at_work(ctx, args)
        ctx.progress("preparing")
        _end_arriving(ctx, there)
        _let_run_on(ctx, args, there)
        copied = _bring_files(ctx, args, way, guest, begun)
        begun.append(lambda last: around.clean(last, there))
        around.pre(ctx, there)
        events.expect(ctx, args["to"], args["vm"], held=False)
        begun.append(lambda last: _end_arriving(last, there))
        hand_over(ctx, args, way.moved, guest, copied)
    except BaseException as error:
        found, left = _after_failure(ctx, args, there, begun)
        if found != "to":
            if isinstance(error, DriverError):
                error.data = {"where": found, "left": left}
            raise
        ctx.log("warning", f"VM {args['vm']['id']} has moved all the same: {error}")


def _bring_files(ctx: Context, args: Doc, way: Trip, guest: Guest,
                 begun: Undo) -> list[str]:
    """The directory there, and which disks are still to be copied into it."""
    if move_files.stays(way):
        return []
    live = read(ctx, args, guest)
    found = look_at_files(way.here, way.vm) or {}
    doing = move_files.plan(way.vm, live, found)
    move_files.refuse_inner(ctx, args, guest, doing)
    begun.append(lambda last: move_files.take_away(last, args["to"], way.moved))
    move_files.bring(ctx, way, doing, found, sizes_of(ctx, args, guest, list(doing.made)))
    move_files.settle(ctx, args["to"], way.moved)
    return list(doing.made)


def _after_failure(ctx: Context, args: Doc, there: Doc, begun: Undo) -> tuple[str, list[int]]:
    """Where the guest is when nothing is under way any more, and what is left there if that is not where it is."""
    try:
        stop(ctx.beyond(_TAKING_BACK), args)
    except DriverError as error:
        ctx.log("warning", str(error))
    found, left = find_out(ctx, args, there), []
    for take_back in reversed(begun) if found == "from" else ():
        try:
            take_back(ctx.beyond(_TAKING_BACK))
        except DriverError as error:
            ctx.log("warning", f"VM {args['vm']['id']}: {error}")
            left = [args["to"]["id"]]
    if found == "from":
        _let_run_on(ctx.beyond(_TAKING_BACK), args, there)
    return found, left


def _let_run_on(ctx: Context, args: Doc, there: Doc) -> None:
    """A guest that stands still here for a move that is over, and is nowhere else, runs."""
    try:
        guest = ours(ctx, args)
        if guest is not None and guest.loaded and not is_under_way(ctx, args, guest) and look(ctx, there) is None:
            wake(ctx, args, guest)
    except DriverError as error:
        ctx.log("warning", f"VM {args['vm']['id']}: {error}")


def _complete(ctx: Context, args: Doc, there: Doc, way: Trip) -> list[int]:
    """The guest has its networks there, and nothing of it is left here; else the host's id."""
    ctx.progress("cleaning up")
    left = []
    try:
        around.post(ctx, there)
    except DriverError as error:
        ctx.log("error", f"VM {args['vm']['id']} runs on {args['to']['name']}, but for its networks: {error}")
    steps: tuple[Callable[[], None], ...] = (
        lambda: _end_rest(ctx, args), lambda: around.clean(ctx, args), lambda: _leave_files(ctx, args, way))
    for step in steps:
        try:
            step()
        except DriverError as error:
            ctx.log("warning", f"VM {args['vm']['id']}: {error}")
            left = [args["host"]["id"]]
    return left


def _end_rest(ctx: Context, args: Doc) -> None:
    """A guest that went stands still here until libvirt has let go of it."""
    guest = look(ctx, args)
    if guest is not None and guest.state == "running":
        raise Permanent(f"VM {guest.vm} runs on {args['host']['name']} and on {args['to']['name']}")
    if guest is not None:
        not_newer(guest, args["vm"]["generation"])
        ask(ctx, args, "ending the rest of", lambda _: end(guest))


def _leave_files(ctx: Context, args: Doc, way: Trip) -> None:
    if not move_files.stays(way):
        move_files.take_away(ctx, args["host"], way.vm)


def _end_arriving(ctx: Context, there: Doc) -> None:
    """What arrived there but for the guest's life is gone."""
    guest = look(ctx, there)
    if guest is not None and _arrives(guest):
        not_newer(guest, there["vm"]["generation"])
        ask(ctx, there, "ending the arrival of", lambda _: end(guest))


def _arrives(guest: Guest) -> bool:
    return guest.loaded or guest.starting
