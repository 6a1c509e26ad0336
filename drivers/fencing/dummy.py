"""fence/dummy: the power switch of dummy hosts; what ran there is gone, unless the script (`im.fence`) has it fail."""
from __future__ import annotations

from drivers.base import Action, Context
from drivers.dummy.stage import act
from drivers.dummy.world import world
from onecore.wire.messages import Doc


def fence(ctx: Context, args: Doc) -> Doc:
    """No guest is on the host any more."""
    host = args["host"]
    act(ctx, "im.fence", host)
    for vm in world(ctx).guests(host["name"]):
        world(ctx).drop(host["name"], vm)
    return {"off": True}


ACTIONS: dict[str, Action] = {"fence": fence}
