"""The guest that an action on a running VM is about."""
from __future__ import annotations

from drivers.base import Context, Permanent
from drivers.dummy.guest import Guest
from drivers.dummy.world import world
from onecore.wire.messages import Doc


def check_newest(ctx: Context, host: Doc, vm: Doc) -> Guest | None:
    """The VM's guest on the host, if any; Permanent when it is a newer one than this command is about."""
    there = world(ctx).get(host["name"], vm["id"])
    if there and there.generation > vm["generation"]:
        raise Permanent(f"superseded: generation {there.generation} of VM {vm['id']} is on {host['name']}")
    return there


def running(ctx: Context, args: Doc) -> Guest:
    """The VM's guest; Permanent when it does not run."""
    guest = check_newest(ctx, args["host"], args["vm"])
    if guest is None or guest.state != "running":
        raise Permanent(f"VM {args['vm']['id']} does not run on {args['host']['name']}")
    return guest


def change(ctx: Context, args: Doc, guest: Guest) -> None:
    """GUEST is what the VM's guest is now."""
    world(ctx).put(args["host"]["name"], args["vm"]["id"], guest)
