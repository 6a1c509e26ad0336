"""Taps that guests left behind: removed by name, when nobody holds them."""
from __future__ import annotations

import re

from drivers.base import Context, DriverError, Executor, Permanent
from onecore.wire.messages import Doc

_OURS = re.compile(r"one-\d{1,9}-\d{1,4}\Z")
_NET = "/sys/class/net"


def untap(ctx: Context, args: Doc) -> Doc:
    """The taps are gone; Permanent for a device that is no tap of ours, or that a process holds."""
    executor = ctx.host(args["host"])
    for name in args["taps"]:
        if not _OURS.match(str(name)):
            raise Permanent(f"{name!r} is no name of a VM's tap")
        if executor.exists(f"{_NET}/{name}"):
            _check_free(executor, str(name))
            executor.run(["ip", "link", "delete", "dev", str(name)])
    return {}


def _check_free(executor: Executor, name: str) -> None:
    if not executor.exists(f"{_NET}/{name}/tun_flags"):
        raise Permanent(f"{name} is a network device, but no tap")
    try:
        carrier = executor.read(f"{_NET}/{name}/carrier").strip()
    except DriverError:  # it is down, so no guest uses it
        return
    if carrier == b"1":
        raise Permanent(f"{name} is in use: a process holds it")
