"""Networks around a VM's actions: each NIC's driver, by its VN_MAD, is called with the NICs that are its own."""
from __future__ import annotations

from drivers.base import Context, DriverError
from drivers.registry import find
from onecore.wire.messages import Doc

DEFAULT = "bridge"


def pre(ctx: Context, args: Doc) -> None:
    """Before the guest starts: what its NICs are plugged into is there."""
    for name, own in by_driver(args):
        find("net", name)["pre"](ctx, own)


def post(ctx: Context, args: Doc) -> None:
    """The guest runs: what can only be done on its NICs as they are plugged."""
    for name, own in by_driver(args):
        find("net", name)["post"](ctx, own)


def clean(ctx: Context, args: Doc) -> None:
    """The guest is gone: nothing of its NICs is left; each driver is tried, the first failure is raised at the end."""
    failures: list[DriverError] = []
    for name, own in by_driver(args):
        try:
            find("net", name)["clean"](ctx, own)
        except DriverError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def by_driver(args: Doc) -> list[tuple[str, Doc]]:
    """Driver names with ARGS reduced to their NICs."""
    nics = args["vm"].get("nics", [])
    names = dict.fromkeys(nic.get("VN_MAD") or DEFAULT for nic in nics)
    return [(name, {**args, "vm": {**args["vm"], "nics": [n for n in nics if (n.get("VN_MAD") or DEFAULT) == name]}})
            for name in names]
