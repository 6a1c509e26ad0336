"""one.vm.disksaveas: what is on a disk, or on a snapshot of it, becomes an image."""
from __future__ import annotations

from dataclasses import replace

from onecore.api import Request, method
from onecore.auth.authorize import authorize
from onecore.errors import BadArgument, NotAllocated, WrongState
from onecore.kinds import verbs
from onecore.kinds.datastore import Datastore, check_room
from onecore.kinds.host.room import check_growth
from onecore.kinds.image import work as image_work
from onecore.kinds.image.record import Image
from onecore.kinds.kind import KINDS, check_name, inner_xml, new_perms, rules, tree_of
from onecore.kinds.vm.disk_record import existing
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.fire import check, fire, state_of
from onecore.kinds.vm.public import S
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.snapshot_effects import trees_of
from onecore.kinds.vm.snapshots import Tree as Snapshots
from onecore.wire.states import DatastoreType, ImageState, ImageType
from onecore.wire.template import Tree, Vector

TYPES = {kind.name: kind for kind in (ImageType.OS, ImageType.CDROM, ImageType.DATABLOCK)}


@method("one.vm.disksaveas", right="MANAGE", on="vm")
def save_as(req: Request, vm: Vm, disk_id: int, image_name: str, image_type: str = "", snap_id: int = -1) -> int:
    """Make an image of a disk, or of its snapshot SNAP_ID; the image's id, LOCKED until the copy is there.

    It is of the type of the disk's image unless IMAGE_TYPE is given, and in its datastore; of a volatile disk it is a
    DATABLOCK, in the default one.
    """
    event = "disk_saveas_live" if state_of(vm) is S.RUNNING and snap_id == -1 else "disk_saveas"
    check(vm, event)
    disk = existing(template_of(req.tx, vm), vm, disk_id)
    size = _size(req, vm, disk, snap_id)
    verbs.require_create(req, "image")
    image = _image(req, vm, disk, check_name(req.tx, req.core, KINDS["image"], image_name, req.caller.uid), size)
    image = image_work.fire(req.tx, replace(image, type=int(_type(image_type, image.type))), "make")
    req.tx.log("image", image.oid, "create", new=image.name)
    if event == "disk_saveas_live":  # the guest writes on while its disk is copied beside it
        check_growth(req.core, vm, size)
    args = {"disk_id": disk_id, "snap_id": snap_id, "image_id": image.oid, "live": event == "disk_saveas_live"}
    fire(req.tx, req.core, vm, event, args=args)
    return image.oid


def _size(req: Request, vm: Vm, disk: Vector, snap_id: int) -> int:
    """MB of what is saved; raises WrongState when there is no such snapshot."""
    if snap_id == -1:
        return int(disk["SIZE"])
    found = trees_of(req.tx, vm).get(int(disk["DISK_ID"]), Snapshots(False)).find(snap_id)
    if found is None:
        raise WrongState(f"disk {disk['DISK_ID']} of VM {vm.oid} has no snapshot {snap_id}; -1 is the disk itself",
                         vm.oid)
    return found.size_mb


def _type(given: str, otherwise: int) -> ImageType:
    if given and given.upper() not in TYPES:
        raise BadArgument(f"image_type must be one of {', '.join(TYPES)} or empty, not {given[:40]!r}")
    return TYPES[given.upper()] if given else ImageType(otherwise)


def _image(req: Request, vm: Vm, disk: Vector, name: str, size: int) -> Image:
    """The image that is to be; raises Forbidden or NotAllocated."""
    core, origin = req.core, req.tx.get(Image, int(disk.get("IMAGE_ID") or -1))
    datastore: Datastore = verbs.existing("datastore", core, origin.ds_id) if origin else _default(req)
    authorize(req.caller, "USE", "datastore", datastore, rules(core))
    check_room(core, datastore, size)
    kept = Tree([("DEV_PREFIX", disk["DEV_PREFIX"]), ("SAVED_DISK_ID", disk["DISK_ID"]),
                 ("SAVED_IMAGE_ID", disk.get("IMAGE_ID", "-1")), ("SAVED_VM_ID", str(vm.oid))])
    if origin is not None and tree_of(origin.template).get("TARGET"):
        kept.set("TARGET", tree_of(origin.template).get("TARGET"))
    now = core.now()
    return Image(req.tx.next_id("image"), req.caller.uid, req.caller.gid, name, new_perms(core, req.caller), "",
                 origin.type if origin else int(ImageType.DATABLOCK), 0, now, now, "", "", disk.get("FORMAT", ""),
                 origin.fs if origin else disk.get("FS", ""), size, int(ImageState.INIT), 0, datastore.oid, -1, 0,
                 inner_xml(kept), "", core.dispatcher.new_op())


def _default(req: Request) -> Datastore:
    """Where images of volatile disks go: the first datastore for images, which a new cloud calls `default`."""
    found = [ds for ds in req.core.store.all(Datastore) if ds.type == DatastoreType.IMAGE]
    if not found:
        raise NotAllocated("there is no IMAGE_DS for the image of a volatile disk")
    return min(found, key=lambda ds: ds.oid)
