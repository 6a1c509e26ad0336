"""Dummy guests that move: one file goes from one host to the other, in one step; before that it is only announced.

By script, `vm.migrate` takes its time and fails before the switch, `vm.migrate.clean` after it (what is left is told),
and where `vm.migrate.where` fails, nobody can tell where the guest is.
"""
from __future__ import annotations

from drivers.base import Context, DriverError, Permanent, Temporary
from drivers.dummy import guest_disks, net
from drivers.dummy.guest import INCOMING, Guest
from drivers.dummy.stage import act, failure, stage
from drivers.dummy.world import world
from drivers.vm.where import where
from onecore.wire.messages import Doc


def premigrate(ctx: Context, args: Doc) -> Doc:
    """What the script's `problems` say of the host that it goes to, and another CPU (DUMMY_CPU_MODEL) there.

    That is in the way of a guest alone that keeps its state.
    """
    act(ctx, "vm.premigrate", args["host"], args["vm"])
    if args.get("live") and not _is_here(ctx, args):
        return {"problems": [f"VM {args['vm']['id']} does not run on {args['host']['name']}"]}
    problems = stage(ctx).script().problems_of(args["to"]["name"])
    here, there = (str((args[side].get("attrs") or {}).get("DUMMY_CPU_MODEL", "")) for side in ("host", "to"))
    if (args.get("live") or args.get("keeps_state")) and here != there:
        problems.append(f"{args['to']['name']} has CPU {there or 'none'}, the guest has {here or 'none'}")
    return {"problems": problems}


def migrate(ctx: Context, args: Doc) -> Doc:
    """The guest runs on `to`, from the directory there; a failure says where it is."""
    try:
        if not _is_over(ctx, args):
            _switch(ctx, args)
    except DriverError as error:
        error.data = _after_failure(ctx, args)
        raise
    left = _complete(ctx, args)
    found, lost = _whereabouts(ctx, args)
    if lost:
        raise Temporary(lost, {"where": found, "left": left})
    return {"where": found, "left": left}


def _is_over(ctx: Context, args: Doc) -> bool:
    """Whether it runs where it should and nowhere else; Permanent for a newer one, or one that does not run."""
    vm = args["vm"]
    for guest in (_guest(ctx, args, "host"), _guest(ctx, args, "to")):
        if guest and guest.generation > vm["generation"]:
            raise Permanent(f"superseded: generation {guest.generation} of VM {vm['id']} runs")
    if _is_there(ctx, args) and not _is_here(ctx, args):
        return True
    if not _is_here(ctx, args):
        raise Permanent(f"VM {vm['id']} does not run on {args['host']['name']}")
    return False


def _switch(ctx: Context, args: Doc) -> None:
    """Announced there, then moved; on one host alone another directory."""
    host, to, vm = args["host"]["name"], args["to"]["name"], args["vm"]
    ctx.progress("preparing")
    if host != to:
        net.plug(ctx, {**args, "host": args["to"]})
        world(ctx).put(to, vm["id"], Guest(vm["generation"], INCOMING))
    guest_disks.announce(ctx, args)
    ctx.progress("copying memory")
    act(ctx, "vm.migrate", args["host"], vm)
    if not _is_here(ctx, args):
        raise Permanent(f"VM {vm['id']} ended on {host} while it was to move")
    ctx.progress("switching over")
    guest_disks.bring(ctx, args)
    if host != to:
        world(ctx).move(vm["id"], host, to)


def _after_failure(ctx: Context, args: Doc) -> Doc:
    """What was announced on `to` is gone; where the guest is."""
    found, lost = _whereabouts(ctx, args)
    there = _guest(ctx, args, "to")
    if found == "from":
        try:
            if there and there.state == INCOMING:
                world(ctx).drop(args["to"]["name"], args["vm"]["id"])
            if args["host"]["name"] != args["to"]["name"]:
                net.unplug(ctx, {**args, "host": args["to"]})
            guest_disks.leave(ctx, args, moved=False)
        except DriverError as error:
            lost = str(error)
    return {"where": found, "left": [args["to"]["id"]] if lost else []}


def _complete(ctx: Context, args: Doc) -> list[int]:
    """The guest has the directory there, and nothing is left where it came from, or that host's id is told."""
    ctx.progress("cleaning up")
    try:
        guest = _guest(ctx, args, "to")
        if guest is not None:
            world(ctx).put(args["to"]["name"], args["vm"]["id"],
                           guest.with_equipment({**guest.equipment(), "dir": _directory(args)}))
        why = failure(ctx, "vm.migrate.clean", args["host"], args["vm"])
        if not why:
            guest_disks.leave(ctx, args, moved=True)
        if args["host"]["name"] != args["to"]["name"] and not why:
            net.unplug(ctx, args)
    except DriverError as error:
        why = str(error)
    if why:
        ctx.log("warning", f"VM {args['vm']['id']}: {why}")
    return [args["host"]["id"]] if why else []


def _whereabouts(ctx: Context, args: Doc) -> tuple[str, str]:
    """Where it is, and why that is not known."""
    lost = failure(ctx, "vm.migrate.where", args["host"], args["vm"])
    return ("unknown", lost) if lost else (where(_is_here(ctx, args), _is_there(ctx, args)), "")


def _is_here(ctx: Context, args: Doc) -> bool:
    guest = _guest(ctx, args, "host")
    return _runs(guest) and not (args["host"]["name"] == args["to"]["name"] and _has_moved(args, guest))


def _is_there(ctx: Context, args: Doc) -> bool:
    guest = _guest(ctx, args, "to")
    return _runs(guest) and (args["host"]["name"] != args["to"]["name"] or _has_moved(args, guest))


def _has_moved(args: Doc, guest: Guest | None) -> bool:
    return guest is not None and guest.equipment().get("dir", args["vm"].get("dir")) == _directory(args)


def _directory(args: Doc) -> str:
    return str(args.get("to_dir") or f"{args['to_datastore']['base_path']}/{args['vm']['id']}")


def _guest(ctx: Context, args: Doc, side: str) -> Guest | None:
    return world(ctx).get(args[side]["name"], args["vm"]["id"])


def _runs(guest: Guest | None) -> bool:
    return guest is not None and guest.state == "running"
