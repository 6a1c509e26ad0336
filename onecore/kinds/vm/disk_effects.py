"""What attaching and detaching disks does to the records.  Effects of the state table, as kinds/vm/effects.py."""
from __future__ import annotations

from dataclasses import replace

from onecore.kinds.image import work as image_work
from onecore.kinds.vm import requirements
from onecore.kinds.vm.disk_record import about, change, find, keep, template_of
from onecore.kinds.vm.effects import Info, grow
from onecore.kinds.vm.record import Vm, ids
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
    clusters = requirements.clusters_of(core, tree)
    if clusters != set():
        requirements.write(tree, clusters)
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


def settle(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Whatever was under way with disks is given up: what the record has is what the VM has."""
    tree = template_of(tx, vm)
    marked = [disk for disk in tree.vectors("DISK") if {"ATTACH", "DETACH"} & disk.keys()]
    for disk in marked:
        disk.pop("ATTACH", None)
        disk.pop("DETACH", None)
    return keep(tx, vm, tree) if marked else vm
