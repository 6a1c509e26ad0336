"""Images in motion: one event of the state table, datastore operations, what VMs wait for."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from onecore.errors import BadArgument, WrongState
from onecore.kinds import sealed
from onecore.kinds.datastore import document as datastore_document
from onecore.kinds.image import owed
from onecore.kinds.image.record import IMAGE, Image, clones_under_way
from onecore.kinds.kind import KINDS
from onecore.kinds.restore import refuse
from onecore.kinds.usage import usage
from onecore.lifecycle.core import Core
from onecore.lifecycle.operations import Ended
from onecore.lifecycle.outbox import Outbox
from onecore.pool.store import Tx
from onecore.wire.messages import Command, Doc, Result
from onecore.wire.states import ImageState, ImageType


def document(core: Core, image: Image) -> Doc:
    """The image as drivers see it."""
    return {"id": image.oid, "name": image.name, "type": image.type, "persistent": bool(image.persistent),
            "format": image.format, "fs": image.fs, "size_mb": image.size, "source": image.source, "path": image.path,
            "made": image.made, "attrs": sealed.attributes(core, "image", image)}


def fire(tx: Tx, image: Image, event: str, **fields: Any) -> Image:
    """Move an image by one event; raises WrongState."""
    line = IMAGE.decide(ImageState(image.state), image, event)
    if line.target is None:
        return tx.put(replace(image, **fields)) if fields else image
    tx.log("image", image.oid, "state", ImageState(image.state).name, line.target.name)
    return tx.put(replace(image, state=int(line.target), prev_state=image.state, **fields))


def send(tx: Tx, core: Core, image: Image, action: str) -> Image:
    """Put a datastore action of the image into the outbox."""
    refuse(core, "image", image.oid, action, f"tm.{action}")
    op = core.dispatcher.new_op()
    tx.put(Outbox(op, "image", image.oid, f"tm.{action}", 1, core.now(), tx.actor.rid))
    tx.after(lambda: core.dispatcher.send(op))
    return tx.put(replace(image, op=op))


def forget(tx: Tx, core: Core, image: Image) -> None:
    """Drop the datastore action of the image that is under way, if there is one."""
    box = tx.get(Outbox, image.op) if image.op else None
    if box is not None:
        tx.delete(box)
        tx.after(lambda: core.dispatcher.drop(image.op))


def compose(core: Core, box: Outbox) -> Command | None:
    """The command of an outbox row."""
    image = core.store.get(Image, box.oid)
    datastore: Any = core.store.get(KINDS["datastore"].record, image.ds_id) if image else None
    if image is None or datastore is None:
        return None
    args: Doc = {"datastore": datastore_document(core, datastore), "image": document(core, image)}
    action = box.command.split(".")[1]
    if action == "clone":
        source: Any = core.store.get(Image, image.cloning_id)
        if source is None:
            return None
        origin: Any = KINDS["datastore"].find(core, source.ds_id)
        args = {"datastore": datastore_document(core, origin), "image": document(core, source),
                "target": args["datastore"], "copy": document(core, image)}
    return Command(box.op, box.attempt, core.epoch, 0, f"ds:{image.ds_id}", datastore.ds_mad, action,
                   ("image", image.oid), float(core.config.deadlines.image), box.rid, args)


def take(tx: Tx, core: Core, box: Outbox, result: Result) -> None:
    """A datastore action of an image ended."""
    image = tx.get(Image, box.oid)
    if image is None or image.op != box.op:
        return
    action = box.command.split(".")[1]
    image = replace(image, op=0)
    ended = Ended(box.op, "image", image.oid, action, box.since, core.now(), result.ok, result.error, box.rid)
    tx.after(lambda: core.operations.note(ended))
    if action == "remove":
        if result.ok or "force" in box.args:
            tx.delete(image)
            tx.log("image", image.oid, "delete", old=image.name)
        else:
            fire(tx, image, "fail", error=result.error)
        return
    origin = image.cloning_id
    image = replace(image, cloning_id=-1)
    made(tx, core, image, result.data) if result.ok else not_made(tx, core, image, result.error)
    if origin >= 0:
        finish_clone(tx, core, origin)


def made(tx: Tx, core: Core, image: Image, data: Doc) -> None:
    """The image's file is there, as DATA says; VMs that wait for it go on."""
    image = fire(tx, image, "ok", source=str(data["source"]), error="", modtime=core.now(),
                 format=str(data.get("format") or image.format), size=int(data.get("size_mb") or image.size))
    core.kinds["vm.images_changed"](tx, image)


def not_made(tx: Tx, core: Core, image: Image, error: str) -> None:
    """It is not there, and VMs that wait for it are told."""
    core.kinds["vm.images_changed"](tx, fire(tx, image, "fail", error=error))


def finish_clone(tx: Tx, core: Core, origin: int) -> None:
    """One copy of image ORIGIN less is under way."""
    source = tx.get(Image, origin)
    if source is not None and not clones_under_way(core, origin):
        fire(tx, source, "cloned")


def use(tx: Tx, core: Core, image: Image) -> Image:
    """A VM takes the image; raises WrongState or BadArgument."""
    if image.type not in (ImageType.OS, ImageType.CDROM, ImageType.DATABLOCK):
        raise BadArgument(f"IMAGE {image.oid} ({image.name}) is of type {ImageType(image.type).name}, not a disk",
                          image.oid)
    if image.persistent and image.state in (ImageState.USED_PERS, ImageState.LOCKED_USED_PERS):
        raise BadArgument(f"IMAGE {image.oid} ({image.name}) is persistent and in use by another VM", image.oid)
    _check_not_copied(tx, core, image)
    owed.check(core, image, "used")
    return fire(tx, image, "use")


def _check_not_copied(tx: Tx, core: Core, image: Image) -> None:
    """Raise WrongState for a persistent image of which a copy is being made, also since this transaction began."""
    here, copies = tx.get(Image, image.oid) or image, clones_under_way(core, image.oid)
    if image.persistent and (copies or here.state == ImageState.CLONE):
        names = f" as IMAGE {', '.join(map(str, sorted(copies)))}" if copies else ""
        raise WrongState(f"IMAGE {image.oid} ({image.name}) is persistent and being cloned{names}, and what a VM "
                         "writes to it would tear the copy; a VM can use it when it is READY again", image.oid)


def release(tx: Tx, core: Core, oid: int) -> None:
    """A VM that used image OID is gone (its row no longer names it)."""
    image = tx.get(Image, oid)
    if image is not None and not usage(core).by_image.of(oid):
        fire(tx, image, "free")
