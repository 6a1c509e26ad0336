"""Dummy networks: nothing is plugged, but it may fail by script."""
from __future__ import annotations

from drivers.base import Action, Context
from drivers.dummy.stage import act
from onecore.wire.messages import Doc


def pre(ctx: Context, args: Doc) -> Doc:
    """Before the guest starts."""
    act(ctx, "net.pre", args["host"], args["vm"])
    return {}


def post(ctx: Context, args: Doc) -> Doc:
    """After it started."""
    act(ctx, "net.post", args["host"], args["vm"])
    return {}


def clean(ctx: Context, args: Doc) -> Doc:
    """After it ended."""
    act(ctx, "net.clean", args["host"], args["vm"])
    return {}


def plug(ctx: Context, args: Doc) -> None:
    """What a dummy guest does before it starts; whatever its NICs' driver is, no real network is touched."""
    if args["vm"].get("nics"):
        pre(ctx, args)


def unplug(ctx: Context, args: Doc) -> None:
    """What it does when it ended."""
    if args["vm"].get("nics"):
        clean(ctx, args)


ACTIONS: dict[str, Action] = {"pre": pre, "post": post, "clean": clean}
