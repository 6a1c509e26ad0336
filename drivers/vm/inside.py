"""What actions on running guests share: its document as it is, devices that come and go, the context in its drive."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import libvirt

from drivers.base import Context, Permanent
from drivers.tm.context import write_context
from drivers.vm.domain import disk_xml
from drivers.vm.domain.live import Live, emptied
from drivers.vm.facts import host_facts
from drivers.vm.guest import Guest
from drivers.vm.work import ask, at_rest, running
from onecore.wire.messages import Doc

UNPLUG_SECONDS = 30.0
"""How long a guest may take to give a device up."""
_ASK_AGAIN = 6.0
_POLL = 0.25
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
_UNDER_WAY = (libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_OPERATION_FAILED)
"""What libvirt answers when a device is about to go already."""


def read(ctx: Context, args: Doc, guest: Guest) -> Live:
    """The guest's document as it is now, secrets included."""
    return Live(ask(ctx, args, "reading", lambda _: str(guest.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE))))


def at_work(ctx: Context, args: Doc) -> Guest:
    """The guest, when libvirt does nothing lasting with it; Permanent when it does not run."""
    running(ctx, args)
    at_rest(ctx, args)
    return running(ctx, args)


def sizes_of(ctx: Context, args: Doc, guest: Guest, targets: list[str]) -> dict[str, int]:
    """Bytes that the guest sees of its disks TARGETS."""
    return ask(ctx, args, "measuring the disks of",
               lambda _: {target: int(guest.domain.blockInfo(target)[0]) for target in targets})


def one(vm: Doc, kind: str, key: str, number: object) -> Mapping[str, str]:
    """The VM's disk or NIC NUMBER; Permanent when it has none such."""
    found: Mapping[str, str] | None = next((each for each in vm[kind] if each[key] == str(number)), None)
    if found is None:
        raise Permanent(f"VM {vm['id']} has no {kind.rstrip('s')} {number}")
    return found


def attach(ctx: Context, args: Doc, guest: Guest, what: str, xml: str) -> None:
    """The guest has the device."""
    ask(ctx, args, f"attaching {what} to", lambda _: guest.domain.attachDeviceFlags(xml, LIVE))


def update(ctx: Context, args: Doc, guest: Guest, what: str, xml: str, force: bool = False) -> None:
    """The guest's device is so."""
    flags = LIVE | (libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE if force else 0)
    ask(ctx, args, f"changing {what} of", lambda _: guest.domain.updateDeviceFlags(xml, flags))


def detach(ctx: Context, args: Doc, guest: Guest, what: str, find: Callable[[Live], str | None]) -> None:
    """The device that FIND has in the guest's document is gone; Permanent when the guest keeps it for too long.

    The guest is asked again: one that still boots does not hear the first time.
    """
    end = ctx.now() + UNPLUG_SECONDS
    asked = ctx.now() - _ASK_AGAIN
    while (xml := find(read(ctx, args, guest))) is not None:
        if ctx.now() >= end:
            raise Permanent(f"VM {args['vm']['id']} still has {what}: it did not let go within {UNPLUG_SECONDS:g} s")
        if ctx.now() - asked >= _ASK_AGAIN:
            asked = ctx.now()
            _ask_for(ctx, args, guest, what, xml)
        ctx.sleep(_POLL)


def renew_context(ctx: Context, args: Doc, guest: Guest) -> None:
    """The context CD is written anew, and the guest's drive has it."""
    write_context(ctx, ctx.host(args["host"]), args["vm"])
    insert_context(ctx, args, guest)


def insert_context(ctx: Context, args: Doc, guest: Guest) -> None:
    """The guest's drive has the context CD as it is written; one that is no drive has it from the next start on."""
    vm, item = args["vm"], args["vm"].get("context_disk")
    there = read(ctx, args, guest).at(str(item["TARGET"])) if item else None
    if there is None:
        return
    if not there.is_removable:
        ctx.log("warning", f"VM {vm['id']} sees its new context after its next start: {there.target} is no CD drive")
        return
    drive = disk_xml(vm, host_facts(ctx, args["host"]), item)
    update(ctx, args, guest, "the context CD", emptied(drive), force=True)
    update(ctx, args, guest, "the context CD", drive, force=True)


def _ask_for(ctx: Context, args: Doc, guest: Guest, what: str, xml: str) -> None:
    def ask_guest(_: Any) -> None:
        try:
            guest.domain.detachDeviceFlags(xml, LIVE)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _UNDER_WAY:
                raise
            ctx.log("info", f"VM {args['vm']['id']}: {error.get_error_message()}")

    ask(ctx, args, f"detaching {what} from", ask_guest)
