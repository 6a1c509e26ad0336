"""Images: the kind and its methods."""
from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from onecore.api import Request, method
from onecore.auth.authorize import authorize
from onecore.errors import BadArgument, NotAllocated
from onecore.kinds import restricted, sealed, verbs
from onecore.kinds.datastore import Datastore, check_room
from onecore.kinds.datastore import document as datastore_document
from onecore.kinds.image import owed, work
from onecore.kinds.image.record import BUSY, Image, body, clones_under_way
from onecore.kinds.kind import (
    KINDS,
    Kind,
    allowed,
    check_name,
    inner_xml,
    new_perms,
    parse_template,
    rules,
    tree_of,
    whole,
)
from onecore.kinds.usage import saved_from, usage
from onecore.wire.messages import Command
from onecore.wire.states import DatastoreType, ImageState, ImageType
from onecore.wire.template import TemplateError, Tree, parse

IMAGE = Kind("image", "IMAGE", Image, "one.image", "one.imagepool", body, lockable=True)
KINDS["image"] = IMAGE
_WORD = re.compile(r"[a-z0-9]{0,16}\Z")
FILE_TYPES = (ImageType.KERNEL, ImageType.RAMDISK, ImageType.CONTEXT)
MADE_TYPES = (ImageType.OS, ImageType.CDROM, ImageType.DATABLOCK, *FILE_TYPES)


def _updated(req: Request, image: Image, old: Tree, new: Tree) -> Image:
    restricted.keep(req, "image", old, new, image.oid)
    return replace(image, modtime=req.core.now(), template=inner_xml(new))


verbs.declare(IMAGE, "info", "pool", "update", "rename", "chmod", "chown", "lock", "unlock", on_update=_updated)


async def _stat(req: Request, template: str, ds_id: int, skip_capacity_check: bool = False) -> Any:
    ds: Any = verbs.optional("datastore", req.core, ds_id)
    try:
        tree = parse(template)
    except TemplateError:  # the decision says so
        return None
    may = allowed(req.core, req.caller, "CREATE", "image", None)
    if ds is None or not tree.get("PATH") or not may or not allowed(req.core, req.caller, "USE", "datastore", ds):
        return None
    doc = {"id": -1, "name": tree.get("NAME"), "type": 0, "persistent": False, "format": "", "fs": "", "size_mb": 0,
           "source": "", "path": tree.get("PATH"), "attrs": dict(tree.pairs)}
    return await req.core.dispatcher.question("tm", Command(
        0, 0, req.core.epoch, 0, f"ask:{ds_id}", ds.ds_mad, "stat", ("datastore", ds_id), 60.0, req.rid,
        {"datastore": datastore_document(req.core, ds), "image": doc}))


def _whole(tree: Tree, key: str) -> int:
    given = tree.get(key)
    found = whole(given, 1, 2**40)
    if found is None:
        raise NotAllocated(f"{key} must be a positive whole number (of MB), not {given[:40]!r}")
    return found


@method("one.image.allocate", prepare=_stat)
def allocate(req: Request, template: str, ds_id: int, skip_capacity_check: bool = False) -> int:
    """Register a PATH, make an empty image of SIZE, or adopt a SOURCE."""
    verbs.require_create(req, "image")
    tree = parse_template(template)
    restricted.check(req, "image", tree)
    ds: Datastore = verbs.existing("datastore", req.core, ds_id)
    authorize(req.caller, "USE", "datastore", ds, rules(req.core))
    kind = _type(tree, ds)
    name = check_name(req.tx, req.core, IMAGE, tree.get("NAME"), req.caller.uid)
    path, source = tree.get("PATH"), tree.get("SOURCE")
    if path and source:
        raise NotAllocated("PATH and SOURCE cannot both be given: one is copied, the other taken as it is")
    given = _whole(tree, "SIZE") if any(tree.all("SIZE")) else 0
    if req.prepared is not None and not req.prepared.ok:
        raise NotAllocated(f"PATH: {req.prepared.error}")
    if path and req.prepared is None:  # the datastore, or the right to it, is newer than the question
        raise NotAllocated("PATH was not looked at yet; ask again")
    if path:
        size = int(req.prepared.data["size_mb"])
        format_ = str(req.prepared.data.get("format") or tree.get("FORMAT", "raw"))
    else:
        if kind not in (ImageType.DATABLOCK, ImageType.OS) and not source:
            raise NotAllocated(f"No PATH in template for an image of type {kind.name}.")
        if not tree.get("SIZE"):
            raise NotAllocated("No PATH, SOURCE or SIZE in template: say where the image comes from or how large it is")
        size, format_ = given, _empty(tree)
    if not source and not (skip_capacity_check and req.caller.admin):
        check_room(req.core, ds, size)
    oid = req.tx.next_id("image")
    now = req.core.now()
    kept = tree.without(["NAME", "TYPE", "PATH", "SOURCE", "SIZE", "PERSISTENT", "FORMAT", "FS"])
    if not kept.get("DEV_PREFIX") and kind not in FILE_TYPES:
        kept.set("DEV_PREFIX", "hd" if kind == ImageType.CDROM else req.core.config.defaults.device_prefix)
    image = Image(oid, req.caller.uid, req.caller.gid, name, new_perms(req.core, req.caller), "", int(kind),
                  int(_persistent(tree)), now, now, source, path, format_,
                  tree.get("FS"), size, int(ImageState.INIT), 0, ds_id, -1, 0, inner_xml(kept), "",
                  0 if source else req.core.dispatcher.new_op())
    req.tx.log("image", oid, "create", new=name)
    image = work.fire(req.tx, image, "make")
    if source:
        work.fire(req.tx, image, "ok")
    else:
        work.send(req.tx, req.core, image, "register" if path else "mkfs")
    return oid


def _persistent(tree: Tree) -> bool:
    return tree.get("PERSISTENT").upper() in ("YES", "1", "TRUE")


def _empty(tree: Tree) -> str:
    """The format of an image that is not a copy; raises NotAllocated."""
    found = tree.get("FORMAT", "raw")
    if found not in ("raw", "qcow2"):
        raise NotAllocated(f"FORMAT must be raw or qcow2, not {found[:40]!r}")
    if not _WORD.match(tree.get("FS")):
        raise NotAllocated(f"FS must be the name of a file system, such as ext4, not {tree.get('FS')[:40]!r}")
    return found


def _type(tree: Tree, ds: Datastore) -> ImageType:
    given = tree.get("TYPE", "OS" if ds.type == DatastoreType.IMAGE else "CONTEXT").upper()
    if given not in {kind.name for kind in MADE_TYPES}:
        raise NotAllocated(f"TYPE must be one of {', '.join(kind.name for kind in MADE_TYPES)}, not {given[:40]!r}")
    kind = ImageType[given]
    if kind in FILE_TYPES and _persistent(tree):
        raise NotAllocated(f"PERSISTENT: an image of type {given} cannot be persistent")
    wanted = DatastoreType.FILE if kind in FILE_TYPES else DatastoreType.IMAGE
    if ds.type != wanted:
        raise NotAllocated(f"images of type {given} go into a {wanted.name} datastore; datastore {ds.oid} ({ds.name}) "
                           f"is of type {DatastoreType(ds.type).name}")
    return kind


@method("one.image.delete", right="MANAGE", on="image")
def delete(req: Request, image: Image, force: bool = False) -> int:
    """Remove an image that nobody uses; with FORCE, forget it even if its file cannot be removed."""
    if clones_under_way(req.core, image.oid):
        raise BadArgument(f"IMAGE {image.oid} is being cloned", image.oid)
    vms = usage(req.core).by_image.of(image.oid)
    if vms:
        raise BadArgument(f"IMAGE {image.oid} is in use by VMs {', '.join(map(str, sorted(vms)[:10]))}", image.oid)
    if image.state in BUSY and (vm := saved_from(req.core, image.oid)) >= 0:
        raise BadArgument(f"IMAGE {image.oid} is being saved from a disk of VM {vm}; it can be deleted when that ended",
                          image.oid)
    owed.check(req.core, image, "deleted")
    if force and image.state in (ImageState.DELETE, ImageState.LOCKED):
        work.forget(req.tx, req.core, image)
        verbs.remove(req.tx, IMAGE, image)
        if image.cloning_id >= 0:
            work.finish_clone(req.tx, req.core, image.cloning_id)
        return image.oid
    moved = work.fire(req.tx, image, "delete")
    if image.source or image.made:
        work.send(req.tx, req.core, moved, "remove")
    else:
        verbs.remove(req.tx, IMAGE, moved)
    return image.oid


@method("one.image.clone", right="USE", on="image")
def clone(req: Request, image: Image, name: str, ds_id: int = -1) -> int:
    """Copy an image under another name, into another datastore unless -1; it is LOCKED until the copy is there."""
    verbs.require_create(req, "image")
    check_name(req.tx, req.core, IMAGE, name, req.caller.uid)
    ds: Datastore = verbs.existing("datastore", req.core, image.ds_id if ds_id == -1 else ds_id)
    authorize(req.caller, "USE", "datastore", ds, rules(req.core))
    if ds.type != KINDS["datastore"].find(req.core, image.ds_id).type:
        raise BadArgument(f"datastore {ds.oid} is of another type than that of IMAGE {image.oid}", ds.oid)
    if image.persistent and image.state != ImageState.READY:
        raise BadArgument(f"IMAGE {image.oid} is persistent and in state {ImageState(image.state).name}; "
                          "only a READY one is cloned", image.oid)
    owed.check(req.core, image, "cloned")
    check_room(req.core, ds, image.size)
    work.fire(req.tx, image, "clone")
    oid, now = req.tx.next_id("image"), req.core.now()
    plain = sealed.opened(req.core, "image", image)
    made = replace(plain, oid=oid, uid=req.caller.uid, gid=req.caller.gid, name=name, lock="", op=0, source="",
                   persistent=0,
                   perms=new_perms(req.core, req.caller), regtime=now, modtime=now, ds_id=ds.oid, cloning_id=image.oid,
                   state=int(ImageState.INIT), prev_state=0, error="", made=req.core.dispatcher.new_op())
    req.tx.log("image", oid, "create", new=name)
    work.send(req.tx, req.core, work.fire(req.tx, made, "make"), "clone")
    return oid


@method("one.image.enable", right="MANAGE", on="image")
def enable(req: Request, image: Image, enable: bool) -> int:
    """Enable or disable."""
    moved = work.fire(req.tx, image, "enable" if enable else "disable")
    if moved.state == ImageState.READY and usage(req.core).by_image.of(image.oid):  # VMs wait since it failed
        req.core.kinds["vm.images_changed"](req.tx, work.fire(req.tx, moved, "use"))
    return image.oid


@method("one.image.persistent", right="MANAGE", on="image")
def persistent(req: Request, image: Image, persistent: bool) -> int:
    """Make persistent or not; not while in use."""
    if usage(req.core).by_image.of(image.oid):
        raise BadArgument(f"IMAGE {image.oid} is in use; it can become persistent or not only when no VM has it",
                          image.oid)
    owed.check(req.core, image, "made persistent or not")
    if persistent and image.type in FILE_TYPES:
        raise BadArgument(f"IMAGE {image.oid} is of type {ImageType(image.type).name}, which cannot be persistent",
                          image.oid)
    req.tx.put(replace(image, persistent=int(persistent), modtime=req.core.now()))
    req.tx.log("image", image.oid, "update", keys=["PERSISTENT"])
    return image.oid


__all__ = ["IMAGE", "Image", "tree_of"]
