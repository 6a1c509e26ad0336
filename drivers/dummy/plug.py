"""What changes in a dummy guest while it runs: disks, NICs, processors, memory, context; and what it is asked to do."""
from __future__ import annotations

from dataclasses import replace

from drivers.base import Context, Permanent
from drivers.dummy import net
from drivers.dummy.folder import size_mb
from drivers.dummy.guest import context_sum, is_alias, nic_facts
from drivers.dummy.guest_disks import grow
from drivers.dummy.running import change, running
from drivers.dummy.stage import act
from drivers.tm.layout import one_disk
from onecore.wire.messages import Doc


def attach_disk(ctx: Context, args: Doc) -> Doc:
    """The guest has the disk."""
    act(ctx, "vm.attach_disk", args["host"], args["vm"])
    disk = one_disk(args["vm"], args["disk_id"])
    return _put(ctx, args, "disks", args["disk_id"], size_mb(disk))


def detach_disk(ctx: Context, args: Doc) -> Doc:
    """The guest has it no more."""
    act(ctx, "vm.detach_disk", args["host"], args["vm"])
    return _drop(ctx, args, "disks", args["disk_id"])


def resize_disk(ctx: Context, args: Doc) -> Doc:
    """The guest's disk has `size_mb`, if that is more; Permanent when the guest has no such disk."""
    act(ctx, "vm.resize_disk", args["host"], args["vm"])
    disks = running(ctx, args).equipment().get("disks", {})
    number = str(args["disk_id"])
    if number not in disks:
        raise Permanent(f"VM {args['vm']['id']} has no disk {number}")
    grow(ctx, args)
    return _put(ctx, args, "disks", number, max(disks[number], int(args["size_mb"])))


def attach_nic(ctx: Context, args: Doc) -> Doc:
    """The guest has the NIC, and a context that says so; of an alias the context alone."""
    net.plug(ctx, args)
    act(ctx, "vm.attach_nic", args["host"], args["vm"])
    return _nic(ctx, args)


def detach_nic(ctx: Context, args: Doc) -> Doc:
    """The guest has it no more."""
    act(ctx, "vm.detach_nic", args["host"], args["vm"])
    _drop(ctx, args, "nics", args["nic_id"])
    net.unplug(ctx, {**args, "vm": {**args["vm"], "nics": [args["nic"]]}})
    return _context(ctx, args)


def update_nic(ctx: Context, args: Doc) -> Doc:
    """The guest's NIC is as the document has it."""
    act(ctx, "vm.update_nic", args["host"], args["vm"])
    return _nic(ctx, args)


def updateconf(ctx: Context, args: Doc) -> Doc:
    """The guest has the context of the document."""
    act(ctx, "vm.updateconf", args["host"], args["vm"])
    return _context(ctx, args)


def resize(ctx: Context, args: Doc) -> Doc:
    """The guest has the document's vcpu, cpu and memory."""
    vm = args["vm"]
    act(ctx, "vm.resize", args["host"], vm)
    guest = running(ctx, args)
    made = replace(guest, cpu=float(vm["cpu"]), memory_kb=int(vm["memory_mb"]) * 1024)
    change(ctx, args, made.with_equipment({**guest.equipment(), "vcpu": int(vm["vcpu"])}))
    return {}


def execute(ctx: Context, args: Doc) -> Doc:
    """As if a shell had the command echoed; `exit N` ends with N."""
    act(ctx, "vm.exec", args["host"], args["vm"])
    running(ctx, args)
    words = str(args["command"]).split()
    code = int(words[1]) if len(words) == 2 and words[0] == "exit" and words[1].isdecimal() else 0
    said = "" if words[:1] == ["exit"] else f"{args['command']}\n"
    return {"pid": 1, "return_code": code, "stdout": said + str(args.get("stdin") or ""), "stderr": ""}


def _nic(ctx: Context, args: Doc) -> Doc:
    nic = next((nic for nic in args["vm"]["nics"] if nic["NIC_ID"] == str(args["nic_id"])), None)
    if nic is not None and not is_alias(nic):
        _put(ctx, args, "nics", args["nic_id"], nic_facts(nic))
    return _context(ctx, args)


def _context(ctx: Context, args: Doc) -> Doc:
    guest = running(ctx, args)
    change(ctx, args, guest.with_equipment({**guest.equipment(), "context": context_sum(args["vm"])}))
    return {}


def _put(ctx: Context, args: Doc, kind: str, number: object, value: object) -> Doc:
    guest = running(ctx, args)
    has = guest.equipment()
    change(ctx, args, guest.with_equipment({**has, kind: {**has.get(kind, {}), str(number): value}}))
    return {}


def _drop(ctx: Context, args: Doc, kind: str, number: object) -> Doc:
    guest = running(ctx, args)
    has = guest.equipment()
    rest = {name: value for name, value in has.get(kind, {}).items() if name != str(number)}
    change(ctx, args, guest.with_equipment({**has, kind: rest}))
    return {}
