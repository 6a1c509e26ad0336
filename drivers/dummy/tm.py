"""Dummy disks: every transfer succeeds and moves nothing."""
from __future__ import annotations

from drivers.base import Action, Context
from drivers.dummy.stage import act
from drivers.dummy.world import world
from onecore.wire.messages import Doc


def prolog(ctx: Context, args: Doc) -> Doc:
    """As if the disks were on the host."""
    return _moved(ctx, args, "tm.prolog")


def epilog(ctx: Context, args: Doc) -> Doc:
    """As if persistent disks were saved and the rest removed."""
    return _moved(ctx, args, "tm.epilog")


def epilog_stop(ctx: Context, args: Doc) -> Doc:
    """As if the disks were safe for another host."""
    return _moved(ctx, args, "tm.epilog_stop")


def prolog_resume(ctx: Context, args: Doc) -> Doc:
    """As if the disks were back."""
    return _moved(ctx, args, "tm.prolog_resume")


def delete(ctx: Context, args: Doc) -> Doc:
    """As if the disks were removed; a directory that was left behind is."""
    _moved(ctx, args, "tm.delete")
    left = f"{args.get('datastore', {}).get('id')}-{args['vm']['id']}"
    world(ctx).remove(str(args["host"].get("name", "")), "dirs", left)
    return {}


def _moved(ctx: Context, args: Doc, action: str) -> Doc:
    act(ctx, action, args["host"], args["vm"])
    return {}


ACTIONS: dict[str, Action] = {
    "prolog": prolog, "epilog": epilog, "epilog_stop": epilog_stop, "prolog_resume": prolog_resume, "delete": delete,
}
