"""one.vm.diskresize: a disk of a VM that runs, is powered off or undeployed becomes larger."""
from __future__ import annotations

from onecore.api import Request, method
from onecore.errors import BadArgument, WrongState
from onecore.kinds import verbs
from onecore.kinds.datastore import Datastore, check_room
from onecore.kinds.host.room import check_growth, takes
from onecore.kinds.image.record import Image
from onecore.kinds.kind import changing, whole
from onecore.kinds.quota.guard import require
from onecore.kinds.vm.disk_record import check_no_moments, existing, is_saved
from onecore.kinds.vm.disks import MAX_MB
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.fire import check, fire
from onecore.kinds.vm.record import Vm
from onecore.wire.template import Vector


@method("one.vm.diskresize", right="MANAGE", on="vm")
def resize(req: Request, vm: Vm, disk_id: int, new_size: str) -> int:
    """Let a disk have NEW_SIZE MB; never less than it has."""
    check(vm, "disk_resize")
    tree = template_of(req.tx, vm)
    disk = existing(tree, vm, disk_id)
    size, before = whole(new_size.strip(), 1, MAX_MB), int(disk["SIZE"])
    if size is None:
        raise BadArgument(f"new_size must be a whole number of MB from 1 to {MAX_MB}, not {new_size[:40]!r}", vm.oid)
    if disk.get("READONLY", "").upper() == "YES":
        raise WrongState(f"disk {disk_id} of VM {vm.oid} is read-only; its size cannot change", vm.oid)
    if size <= before:
        raise WrongState(f"disk {disk_id} of VM {vm.oid} has {before} MB; disks only grow, new_size must be larger "
                         f"than that, not {size}", vm.oid)
    check_no_moments(tree, vm)
    _check_room(req, vm, disk, size - before)
    args = {"disk_id": disk_id, "size_mb": size, "added_mb": 0 if is_saved(disk) else size - before}
    fire(req.tx, req.core, vm, "disk_resize", args=args)
    return vm.oid


def _check_room(req: Request, vm: Vm, disk: Vector, more: int) -> None:
    """Raise what says that MORE MB are not free where the disk lies, or will lie when a persistent one is saved."""
    datastore = req.core.store.get(Datastore, vm.ds_id)
    if datastore is not None and takes(disk, datastore):
        check_growth(req.core, vm, more)
    if is_saved(disk):
        store = int(disk["DATASTORE_ID"])
        with changing():
            check_room(req.core, verbs.existing("datastore", req.core, store), more)
        image = req.tx.get(Image, int(disk["IMAGE_ID"]))
        if image is not None:  # which grows when the disk has
            require(req.core, image.uid, image.gid, {("DATASTORE", store, "SIZE"): more})
