"""Images: the type changed; snapshots, of which an image has none."""
from __future__ import annotations

from dataclasses import replace

from onecore.api import Request, method
from onecore.errors import BadArgument
from onecore.kinds.image import FILE_TYPES, MADE_TYPES
from onecore.kinds.image.record import Image
from onecore.kinds.usage import usage
from onecore.wire.states import ImageType


@method("one.image.chtype", right="MANAGE", on="image")
def chtype(req: Request, image: Image, type: str) -> int:
    """Make it OS, CDROM or DATABLOCK, or, in a datastore for files, KERNEL, RAMDISK or CONTEXT; not while in use."""
    same = FILE_TYPES if image.type in FILE_TYPES else tuple(kind for kind in MADE_TYPES if kind not in FILE_TYPES)
    if (given := type.upper()) not in {kind.name for kind in same}:
        raise BadArgument(f"type of IMAGE {image.oid} must be one of {', '.join(kind.name for kind in same)} in its "
                          f"datastore, not {type[:40]!r}", image.oid)
    if usage(req.core).by_image.of(image.oid):
        raise BadArgument(f"IMAGE {image.oid} is in use; its type can change only when no VM has it", image.oid)
    req.tx.put(replace(image, type=int(ImageType[given]), modtime=req.core.now()))
    req.tx.log("image", image.oid, "update", old=ImageType(image.type).name, new=given, keys=["TYPE"])
    return image.oid


def _no_snapshot(image: Image, snapshot_id: int) -> BadArgument:
    """What to raise: snapshots are of the disks of VMs and end with them, so that an image by itself has none."""
    return BadArgument(f"IMAGE {image.oid} has no snapshot {snapshot_id}: snapshots are kept with the disk of a VM "
                       "(one.vm.disksnapshotcreate), an image has none of its own", image.oid)


@method("one.image.snapshotdelete", right="MANAGE", on="image")
def snapshotdelete(_req: Request, image: Image, snapshot_id: int) -> int:
    """Refuses: an image has no snapshots here."""
    raise _no_snapshot(image, snapshot_id)


@method("one.image.snapshotrevert", right="MANAGE", on="image")
def snapshotrevert(_req: Request, image: Image, snapshot_id: int) -> int:
    """Refuses: an image has no snapshots here."""
    raise _no_snapshot(image, snapshot_id)


@method("one.image.snapshotflatten", right="MANAGE", on="image")
def snapshotflatten(_req: Request, image: Image, snapshot_id: int) -> int:
    """Refuses: an image has no snapshots here."""
    raise _no_snapshot(image, snapshot_id)
