"""fence/script: a program that the configuration names (and nothing that a host's attributes could) switches it off."""
from __future__ import annotations

import json

from drivers.base import Action, Context, Permanent
from onecore.wire.messages import Doc


def fence(ctx: Context, args: Doc) -> Doc:
    """The program was called with the host's name and ended with 0; JSON of host and VMs is on its standard input."""
    path = str((ctx.settings.get("script") or {}).get("path") or "")
    if not path.startswith("/"):
        raise Permanent("there is no fence script: path in [drivers.script] must be its absolute path")
    told = {"host": args["host"], "vms": args["vms"]}
    ctx.host({}).run([path, str(args["host"]["name"])], stdin=json.dumps(told).encode())
    return {"off": True}


ACTIONS: dict[str, Action] = {"fence": fence}
