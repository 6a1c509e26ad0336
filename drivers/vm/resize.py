"""Processors and memory of a running guest: plugged, or given and taken by its balloon.

Both are looked at before anything is done, and what was changed is set back when the rest cannot be.
"""
from __future__ import annotations

from functools import partial

from drivers.base import Context, DriverError, Permanent
from drivers.fence import fenced
from drivers.vm.domain.cpu import shares
from drivers.vm.domain.element import Part
from drivers.vm.domain.live import Live
from drivers.vm.facts import host_facts
from drivers.vm.guest import Guest
from drivers.vm.inside import LIVE, attach, detach, read
from drivers.vm.work import ask, running
from onecore.wire.messages import Doc

BALLOON_SECONDS = 20.0
"""How long a guest's balloon may stand still."""
_POLL = 0.25
_NEAR_KIB = 1024


def resize(ctx: Context, args: Doc) -> Doc:
    """The running guest has the document's vcpu, memory_mb and share of the CPU."""
    vm = args["vm"]
    with fenced(ctx, ctx.host(args["host"]), args):
        guest = running(ctx, args)
        live = read(ctx, args, guest)
        refuse_impossible(vm, live)
        _memory(ctx, args, guest, live, int(vm["memory_mb"]) * 1024)
        try:
            _processors(ctx, args, guest, live)
        except DriverError:
            _memory(ctx, args, guest, read(ctx, args, guest), live.memory_kib[0])
            raise
        _share(ctx, args, guest, live)
    return {}


def refuse_impossible(vm: Doc, live: Live) -> None:
    """Permanent for what can be seen not to work."""
    (now, most), wanted = live.processors, int(vm["vcpu"])
    if wanted > most:
        raise Permanent(f"VM {vm['id']} may have {most} virtual CPUs while it runs (VCPU_MAX when it started), "
                        f"not {wanted}")
    if wanted < now and live.hypervisor == "qemu":
        raise Permanent(f"VM {vm['id']} is emulated and cannot give virtual CPUs back while it runs: it has {now}, "
                        f"not {wanted}")
    kib, ceiling = int(vm["memory_mb"]) * 1024, live.slots_kib or live.memory_kib[1]
    if kib > ceiling:
        raise Permanent(f"VM {vm['id']} may have {ceiling // 1024} MB while it runs (MEMORY_MAX when it started), "
                        f"not {vm['memory_mb']}")


def dimms_to_remove(dimms: list[tuple[int, str]], kib: int) -> list[str] | None:
    """The XML of plugged DIMMs, the last first, that make KIB together; None when none do."""
    chosen: list[str] = []
    for size, xml in reversed(dimms):
        if kib <= 0:
            break
        chosen.append(xml)
        kib -= size
    return chosen if kib == 0 else None


def _memory(ctx: Context, args: Doc, guest: Guest, live: Live, kib: int) -> None:
    if live.slots_kib:
        _plug_memory(ctx, args, guest, live, kib)
    elif live.memory_kib[0] != kib:
        _inflate(ctx, args, guest, live.memory_kib[0], kib)


def _plug_memory(ctx: Context, args: Doc, guest: Guest, live: Live, kib: int) -> None:
    """By DIMMs: one more, or as many fewer as were plugged."""
    more = kib - live.memory_kib[1]
    if more > 0:
        attach(ctx, args, guest, f"{more // 1024} MB of memory", dimm_xml(more))
        return
    dimms = dimms_to_remove(live.dimms_kib(), -more)
    if dimms is None:
        raise Permanent(f"VM {args['vm']['id']} has {live.memory_kib[1] // 1024} MB; it can give back only what "
                        "was added while it ran, as it was added")
    for xml in dimms:
        detach(ctx, args, guest, "memory", partial(_still_there, xml))


def _still_there(xml: str, live: Live) -> str | None:
    return next((each for _, each in live.dimms_kib() if each == xml), None)


def dimm_xml(kib: int) -> str:
    """A DIMM of KIB in the guest's only NUMA cell."""
    return f"<memory model='dimm'><target><size unit='KiB'>{kib}</size><node>0</node></target></memory>"


def _inflate(ctx: Context, args: Doc, guest: Guest, before: int, kib: int) -> None:
    """By the balloon: waited for as long as it moves; what was, is asked for again when it stands still."""
    _set_balloon(ctx, args, guest, kib)
    now, since = before, ctx.now()
    while abs((seen := balloon(ctx, args, guest)) - kib) > _NEAR_KIB:
        if seen != now:
            now, since = seen, ctx.now()
        if ctx.now() - since >= BALLOON_SECONDS:
            _set_balloon(ctx, args, guest, before)
            raise Permanent(f"VM {args['vm']['id']} has {now // 1024} MB and does not come to {kib // 1024} MB: its "
                            "balloon does not move")
        ctx.sleep(_POLL)


def _set_balloon(ctx: Context, args: Doc, guest: Guest, kib: int) -> None:
    ask(ctx, args, "changing the memory of", lambda _: guest.domain.setMemoryFlags(kib, LIVE))


def balloon(ctx: Context, args: Doc, guest: Guest) -> int:
    """KiB that the guest has now."""
    return ask(ctx, args, "asking for the memory of", lambda _: int(guest.domain.info()[2]))


def _processors(ctx: Context, args: Doc, guest: Guest, live: Live) -> None:
    wanted = int(args["vm"]["vcpu"])
    if live.processors[0] != wanted:
        what = f"giving {wanted} virtual CPUs to"
        ask(ctx, args, what, lambda _: guest.domain.setVcpusFlags(wanted, LIVE))


def _share(ctx: Context, args: Doc, guest: Guest, live: Live) -> None:
    """The guest's share of the host's CPUs, if it was given one when it started."""
    wanted = shares(Part(args["vm"], {}, host_facts(ctx, args["host"])))
    if wanted is not None and live.shares not in (0, wanted):
        ask(ctx, args, "changing the CPU share of",
            lambda _: guest.domain.setSchedulerParametersFlags({"cpu_shares": wanted}, LIVE))
