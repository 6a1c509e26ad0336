"""Which of two hosts has a guest that was to move from the one to the other."""
from __future__ import annotations

from drivers.base import Context, DriverError
from drivers.vm.domain import domain_name
from drivers.vm.where import Where, where
from drivers.vm.work import look
from onecore.wire.messages import Doc

_SECONDS = 4.0
"""How long each of them may take to answer."""
_LOG = 'tail -n 5 -- "/var/log/libvirt/qemu/$1.log" 2> /dev/null || true'


def find_out(ctx: Context, here: Doc, there: Doc) -> Where:
    """Where the guest runs, from the args of an action on each host; asked whatever became of the command."""
    away = _runs(ctx, there)
    home = _runs(ctx, here)
    if home is False and not away and log_says_moved(ctx, here):
        return "to"
    return where(home, away)


def log_says_moved(ctx: Context, here: Doc) -> bool:
    """Whether QEMU on the host that a guest left ended because it had moved, and not in another way."""
    try:
        log = ctx.beyond(_SECONDS).host(here["host"]).run(["sh", "-c", _LOG, "sh", domain_name(here["vm"]["id"])])
    except DriverError:
        return False
    ends = [line for line in log.splitlines() if "shutting down, reason=" in line]
    return bool(ends) and ends[-1].endswith("reason=migrated") and log.splitlines()[-1] == ends[-1]


def _runs(ctx: Context, args: Doc) -> bool | None:
    """None: the host does not say.  A guest that only arrives does not run yet."""
    try:
        guest = look(ctx.beyond(_SECONDS), args)
    except DriverError as error:
        ctx.log("warning", str(error))
        return None
    return guest is not None and guest.is_on and not (guest.loaded or guest.starting)
