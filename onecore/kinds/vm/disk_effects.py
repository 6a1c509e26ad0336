"""What attaching, detaching and resizing disks does to the records: effects of the state table."""
from __future__ import annotations

from dataclasses import replace

from onecore.kinds.datastore import Datastore
from onecore.kinds.host.commands import is_shared
from onecore.kinds.image import work as image_work
from onecore.kinds.vm import requirements
from onecore.kinds.vm.disk_record import MARKS, about, change, find, keep
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.effects import Info, grow
from onecore.kinds.vm.record import Vm, ids
from onecore.kinds.vm.saveas_effects import fail_image
from onecore.kinds.vm.snapshot_effects import trees_of, write
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx


def comes(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """A disk more, with ATTACH=YES: INFO's template has it."""
    return keep(tx, replace(vm, next_disk=about(vm)["disk_id"] + 1), info["template"])


def goes(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It is to be detached: DETACH=YES."""
    return change(tx, vm, about(vm)["disk_id"], DETACH="YES")


def stays(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The VM has the disk, whatever was begun with it."""
    return change(tx, vm, about(vm)["disk_id"], ATTACH=None, DETACH=None)


def undo(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """What was attached is taken away again: the operation's kind says so from now on."""
    return replace(vm, op_kind=f"{vm.op_kind}_undo")


def gone(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The VM has the disk and its snapshots no more, and its image is another's to use."""
    tree = template_of(tx, vm)
    disk = find(tree, about(vm)["disk_id"])
    if disk is None:
        return vm
    tree.pairs = [pair for pair in tree.pairs if pair[1] is not disk]
    requirements.renew(core, tree)
    vm = keep(tx, vm, tree)
    write(tx, vm, {number: of for number, of in trees_of(tx, vm).items() if str(number) != disk["DISK_ID"]})
    if disk.get("IMAGE_ID") and int(disk["IMAGE_ID"]) not in ids(vm.images):
        image_work.release(tx, core, int(disk["IMAGE_ID"]))
    return vm


def saved(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """As `gone`; a persistent disk is in its image, which is as large as the disk was."""
    disk = find(template_of(tx, vm), about(vm)["disk_id"])
    if disk is not None:
        grow(tx, core, disk)
    return gone(tx, core, vm, info)


def grows(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """A disk is to be larger: the room is taken."""
    return replace(vm, disk_mb=vm.disk_mb + about(vm)["added_mb"])


def grown(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It is larger, and so is its image's file where a persistent disk is that file."""
    told = about(vm)
    vm = change(tx, vm, told["disk_id"], SIZE=str(told["size_mb"]))
    disk, datastore = find(template_of(tx, vm), told["disk_id"]), tx.get(Datastore, vm.ds_id)
    if disk is not None and datastore is not None and is_shared(datastore):
        grow(tx, core, disk)
    return vm


def not_grown(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It is as it was; the room is free."""
    return keep(tx, vm, template_of(tx, vm))


def settle(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Whatever was under way with disks is given up: what the record has is what the VM has."""
    tree = template_of(tx, vm)
    for disk in tree.vectors("DISK"):
        if "HOTPLUG_SAVE_AS" in disk:
            fail_image(tx, core, int(disk["HOTPLUG_SAVE_AS"]), f"VM {vm.oid} ended, or began anew, before it was saved")
        for mark in MARKS:
            disk.pop(mark, None)
    return keep(tx, vm, tree)
