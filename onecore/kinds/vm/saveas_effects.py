"""What saving a disk as an image does to the records.  Effects of the state table, as kinds/vm/effects.py."""
from __future__ import annotations

from dataclasses import replace

from onecore.kinds.image import work as image_work
from onecore.kinds.image.record import BUSY, Image
from onecore.kinds.vm.disk_record import about, change
from onecore.kinds.vm.effects import Info
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx
from onecore.wire.states import ImageState

_FAILED = "set to failure by recover"
_NOT_TOLD = "no driver told where its file is: its making was said to have succeeded by recover"


def begins(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The disk says which image it becomes."""
    told = about(vm)
    return change(tx, vm, told["disk_id"], HOTPLUG_SAVE_AS=str(told["image_id"]),
                  HOTPLUG_SAVE_AS_SNAPSHOT_ID=str(told["snap_id"]))


def done(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The image is READY, where INFO says; if nobody says where, it is not."""
    told = about(vm)
    image = tx.get(Image, told["image_id"])
    if image is not None and info.get("source"):
        image_work.made(tx, core, image, info)
    else:
        fail_image(tx, core, told["image_id"], _NOT_TOLD)
    return _ends(tx, vm, told["disk_id"])


def believed(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It is said to be done, and no driver told where the image is; what was copied beside the disk is to go."""
    fail_image(tx, core, about(vm)["image_id"], _NOT_TOLD)
    return _takes_back(vm)


def undo(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The image is in ERROR; what was copied beside the disk is to go: the operation's kind says so from now on."""
    fail_image(tx, core, about(vm)["image_id"], str(info.get("error") or _FAILED))
    return _takes_back(vm)


def over(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The disk says nothing of it any more."""
    return _ends(tx, vm, about(vm)["disk_id"])


def failed(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The image is in ERROR."""
    told = about(vm)
    fail_image(tx, core, told["image_id"], str(info.get("error") or _FAILED))
    return _ends(tx, vm, told["disk_id"])


def fail_image(tx: Tx, core: Core, oid: int, error: str) -> None:
    """An image that was to be of a disk never will be."""
    image = tx.get(Image, oid)
    if image is not None and ImageState(image.state) in BUSY:
        image_work.not_made(tx, core, image, error)


def _takes_back(vm: Vm) -> Vm:
    return replace(vm, op_kind=f"{vm.op_kind}_undo")


def _ends(tx: Tx, vm: Vm, disk_id: int) -> Vm:
    return change(tx, vm, disk_id, HOTPLUG_SAVE_AS=None, HOTPLUG_SAVE_AS_SNAPSHOT_ID=None)
