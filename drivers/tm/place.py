"""Whose files an action is about, and on which machine they are."""
from __future__ import annotations

from drivers.base import Context, Executor, Permanent
from drivers.tm.epilog import missing_disks
from drivers.tm.facts import Found, look
from drivers.tm.layout import Disk, disk_path, snapshots, vm_dir
from onecore.wire.messages import Doc

ARRIVING, LEAVING = ".arriving", ".leaving"
"""Files in a directory that is being filled, or whose files are safe elsewhere: nothing in it is believed."""


def whose(ctx: Context, args: Doc) -> tuple[Doc, Executor]:
    """The VM, its directory checked before anything is made beside it, and the machine that has it.

    That is its host, or the front-end when it has none.
    """
    vm = args["vm"]
    vm_dir(vm)
    return vm, ctx.host({} if vm.get("away") else args["host"])


def chain(vm: Doc, disk: Disk, found: Found) -> list[str]:
    """The disk's file and those of its snapshots that are there."""
    return [disk_path(vm, disk), *(f"{vm_dir(vm)}/{name}" for name in snapshots(vm, disk) if name in found)]


def is_settled(found: Found) -> bool:
    """Whether a directory is neither being filled nor being emptied."""
    return not {ARRIVING, LEAVING}.intersection(found)


def incomplete(vm: Doc, found: Found | None) -> str:
    """What is wrong with the VM's directory with FOUND in it; empty: it is whole, and to be believed."""
    if found is None:
        return f"VM {vm['id']}: {vm_dir(vm)} is missing"
    missing = missing_disks(vm, found)
    if missing:
        return f"VM {vm['id']}: {', '.join(missing)} missing in {vm_dir(vm)}"
    return "" if is_settled(found) else f"VM {vm['id']}: its files are not complete in {vm_dir(vm)}"


def told(vm: Doc, found: Found | None) -> Doc:
    """What `state` says of a directory with FOUND in it, but for whether its disks came home."""
    believed = found if found is not None and is_settled(found) else {}
    names = {disk["DISK_ID"]: disk_path(vm, disk).rpartition("/")[2] for disk in vm["disks"]}
    return {"dir": found is not None, "checkpoint": "checkpoint" in believed,
            "disks": {number: name in believed for number, name in names.items()}}


def settled(place: Executor, vm: Doc) -> Found:
    """What is in the VM's directory, which must be there and be believed, whatever disks are in it; Permanent."""
    found = look(place, vm)
    if found is None or not is_settled(found):
        raise Permanent(incomplete({**vm, "disks": []}, found))
    return found
