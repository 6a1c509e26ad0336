"""Disks and NICs of a running guest that come, change and go; and the context, which tells it of its NICs."""
from __future__ import annotations

from collections.abc import Mapping

import libvirt

from drivers.base import Context, DriverError, Permanent
from drivers.fence import fenced
from drivers.net import around
from drivers.tm.context import write_context
from drivers.vm.domain import disk_xml, interface_xml, scsi_xml
from drivers.vm.domain.live import Live, altered
from drivers.vm.facts import host_facts
from drivers.vm.guest import Guest
from drivers.vm.inside import attach, detach, insert_context, one, read, renew_context, update
from drivers.vm.work import LAST_SECONDS, ask, running
from onecore.wire.messages import Doc

Nic = Mapping[str, str]
_BYTES = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES


def attach_disk(ctx: Context, args: Doc) -> Doc:
    """The guest has the disk, whose file is there."""
    vm, host, number = args["vm"], args["host"], args["disk_id"]
    with fenced(ctx, ctx.host(host), args):
        guest = running(ctx, args)
        disk, live = one(vm, "disks", "DISK_ID", number), read(ctx, args, guest)
        if live.disk(number) is None:
            if live.at(disk.get("TARGET", "")) is not None:
                raise Permanent(f"VM {vm['id']} has another disk at {disk.get('TARGET')}")
            facts = host_facts(ctx, host)
            controller = scsi_xml(vm, facts, disk)
            if controller and not live.has_scsi():
                attach(ctx, args, guest, "a SCSI controller", controller)
            attach(ctx, args, guest, f"disk {number}", disk_xml(vm, facts, disk))
    return {}


def detach_disk(ctx: Context, args: Doc) -> Doc:
    """The guest has the disk no more; its file is left."""
    def find(live: Live) -> str | None:
        disk = live.disk(args["disk_id"])
        return disk.xml if disk else None

    with fenced(ctx, ctx.host(args["host"]), args):
        detach(ctx, args, running(ctx, args), f"disk {args['disk_id']}", find)
    return {}


def attach_nic(ctx: Context, args: Doc) -> Doc:
    """The guest has the NIC, and a context CD that tells of it; an alias is in the context alone."""
    executor, nic = ctx.host(args["host"]), _nic(args)
    with fenced(ctx, executor, args):
        guest = running(ctx, args)
        write_context(ctx, executor, args["vm"])
        insert_context(ctx, args, guest)  # before the NIC: the guest reads it when the NIC comes
        if not is_alias(nic):
            _plug(ctx, args, guest, nic)
    return {}


def detach_nic(ctx: Context, args: Doc) -> Doc:
    """The guest has the NIC no more, and a context CD without it; its network is cleaned."""
    nic = args["nic"]
    with fenced(ctx, ctx.host(args["host"]), args):
        guest = running(ctx, args)
        if not is_alias(nic):
            _unplug(ctx, args, guest, nic)
        renew_context(ctx, args, guest)
    return {}


def update_nic(ctx: Context, args: Doc) -> Doc:
    """What may change in a plugged NIC is as the VM's document has it, and so is the context."""
    vm, nic = args["vm"], one(args["vm"], "nics", "NIC_ID", args["nic_id"])
    with fenced(ctx, ctx.host(args["host"]), args):
        guest = running(ctx, args)
        if not is_alias(nic):
            there = read(ctx, args, guest).interface(nic)
            if there is None:
                raise Permanent(f"VM {vm['id']} runs without NIC {args['nic_id']} ({nic.get('MAC')})")
            around.pre(ctx, _only(args, nic))
            wanted = interface_xml(vm, host_facts(ctx, args["host"]), nic)
            update(ctx, args, guest, f"NIC {args['nic_id']}", altered(there, wanted))
            around.post(ctx, _only(args, nic))
        renew_context(ctx, args, guest)
    return {}


def resize_disk(ctx: Context, args: Doc) -> Doc:
    """The running guest's disk has `size_mb`; a larger one is left as it is."""
    number, size = args["disk_id"], int(args["size_mb"]) << 20
    with fenced(ctx, ctx.host(args["host"]), args):
        guest = running(ctx, args)
        disk = read(ctx, args, guest).disk(number)
        if disk is None:
            raise Permanent(f"VM {args['vm']['id']} runs without disk {number}")
        now = ask(ctx, args, f"measuring disk {number} of", lambda _: int(guest.domain.blockInfo(disk.target)[0]))
        if now < size:
            ask(ctx, args, f"growing disk {number} of", lambda _: guest.domain.blockResize(disk.target, size, _BYTES))
    return {}


def updateconf(ctx: Context, args: Doc) -> Doc:
    """The guest's context CD is that of the VM's document, and a password for its screen too."""
    with fenced(ctx, ctx.host(args["host"]), args):
        guest = running(ctx, args)
        password = str((args["vm"].get("attrs", {}).get("GRAPHICS") or {}).get("PASSWD") or "")
        screen = read(ctx, args, guest).screen(password) if password else None
        if screen is not None:
            update(ctx, args, guest, "the screen", screen)
        renew_context(ctx, args, guest)
    return {}


def _nic(args: Doc) -> Nic:
    """The NIC, or alias, that an action is about."""
    vm = args["vm"]
    return one({**vm, "nics": [*vm["nics"], *vm.get("aliases", ())]}, "nics", "NIC_ID", args["nic_id"])


def is_alias(nic: Nic) -> bool:
    """Whether it is an address on another NIC, and no device."""
    return bool(nic.get("PARENT_ID") or nic.get("PARENT"))


def _plug(ctx: Context, args: Doc, guest: Guest, nic: Nic) -> None:
    """Network up, NIC in; neither when the guest does not take it."""
    if read(ctx, args, guest).interface(nic) is None:
        xml = interface_xml(args["vm"], host_facts(ctx, args["host"]), nic)
        around.pre(ctx, _only(args, nic))
        try:
            attach(ctx, args, guest, f"NIC {nic['NIC_ID']}", xml)
        except DriverError:
            _clean(ctx.beyond(LAST_SECONDS), args, nic)
            raise
    try:
        around.post(ctx, _only(args, nic))
    except DriverError:
        _unplug(ctx.beyond(LAST_SECONDS), args, guest, nic)
        raise


def _unplug(ctx: Context, args: Doc, guest: Guest, nic: Nic) -> None:
    detach(ctx, args, guest, f"NIC {nic['NIC_ID']}", lambda live: live.interface(nic))
    _clean(ctx, args, nic)


def _clean(ctx: Context, args: Doc, nic: Nic) -> None:
    """Nothing is left of the NIC's network, unless another NIC of the VM is in it."""
    others = [each for each in args["vm"]["nics"] if each["NIC_ID"] != nic["NIC_ID"] and not is_alias(each)]
    if not any(each.get("BRIDGE") == nic.get("BRIDGE") for each in others):
        around.clean(ctx, _only(args, nic))


def _only(args: Doc, nic: Nic) -> Doc:
    return {**args, "vm": {**args["vm"], "nics": [nic]}}
