"""VM templates: record, body, methods."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from onecore.api import Body, Request, method
from onecore.auth.authorize import authorize
from onecore.errors import NoExists, NotAllocated
from onecore.kinds import image as images
from onecore.kinds import restricted, sealed, verbs
from onecore.kinds.kind import (
    KINDS,
    Kind,
    allowed,
    appended,
    check_name,
    inner_xml,
    lock_xml,
    new_perms,
    owner_xml,
    parse_template,
    permissions_xml,
    rules,
    tree_of,
)
from onecore.kinds.user import User, caller
from onecore.kinds.vm import scheduling
from onecore.kinds.vm.allocate import allocate as allocate_vm
from onecore.kinds.vm.allocate import use_of
from onecore.kinds.vm.disks import find_image
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.wire.states import ImageType
from onecore.wire.template import Tree, Vector
from onecore.wire.xmlrpc import escape_bytes


@dataclass(frozen=True, slots=True)
class Template(Record):
    """A VM template."""

    TABLE: ClassVar[str] = "template_pool"
    KIND: ClassVar[str] = "template"
    oid: int
    uid: int
    gid: int
    name: str
    perms: int
    lock: str
    regtime: int
    template: bytes


def body(core: Core, tpl: Template) -> list[bytes]:
    """<VMTEMPLATE>."""
    return [escape_bytes(f"<VMTEMPLATE>{owner_xml(core, tpl)}{lock_xml(tpl)}{permissions_xml(tpl.perms)}"
                         f"<REGTIME>{tpl.regtime}</REGTIME><TEMPLATE>"), tpl.template,
            b"&lt;/TEMPLATE&gt;&lt;/VMTEMPLATE&gt;"]


TEMPLATE = Kind("template", "VMTEMPLATE", Template, "one.template", "one.templatepool", body, lockable=True, unique="")
KINDS["template"] = TEMPLATE


def _updated(req: Request, tpl: Template, _old: Tree, new: Tree) -> Template:
    restricted.check(req, "vm", new)
    scheduling.check(new)
    return tpl


verbs.declare(TEMPLATE, "pool", "update", "rename", "chown", "lock", "unlock", on_update=_updated)


@method("one.template.info", right="USE", on="template", reads=True)
def info(req: Request, tpl: Template, extended: bool = False, decrypt: bool = False) -> Body:
    """The body; EXTENDED adds what an instance would get from images, DECRYPT is as with `info` of all."""
    if decrypt and allowed(req.core, req.caller, "MANAGE", "template", tpl):
        tpl = sealed.opened(req.core, "template", tpl)
    if not extended:
        return Body(body(req.core, tpl))
    tree = tree_of(tpl.template).copy()
    for disk in tree.vectors("DISK"):
        image = _image(req, disk)
        if image is not None and allowed(req.core, req.caller, "USE", "image", image):
            for key, value in (("IMAGE", image.name), ("IMAGE_ID", str(image.oid)), ("SIZE", str(image.size)),
                               ("DATASTORE_ID", str(image.ds_id))):
                disk.setdefault(key, value)
    return Body(body(req.core, replace(tpl, template=inner_xml(tree))))


@method("one.template.chmod", right=verbs.chmod_right, on="template")
def chmod(req: Request, tpl: Template, owner_u: int, owner_m: int, owner_a: int, group_u: int, group_m: int,
          group_a: int, other_u: int, other_m: int, other_a: int, recursive: bool = False) -> int:
    """Set permission bits, with RECURSIVE also those of its images; -1 leaves one as it is."""
    bits = (owner_u, owner_m, owner_a, group_u, group_m, group_a, other_u, other_m, other_a)
    verbs.set_permissions(req, TEMPLATE, tpl, bits)
    for image in _images(req, tpl) if recursive else ():
        authorize(req.caller, verbs.chmod_right(*bits), "image", image, rules(req.core))
        verbs.check_lock(image, verbs.chmod_right(*bits), images.IMAGE.noun)
        verbs.set_permissions(req, images.IMAGE, image, bits)
    return tpl.oid


def _images(req: Request, tpl: Template) -> list[Any]:
    found = {image.oid: image for disk in tree_of(tpl.template).vectors("DISK")
             if (image := _image(req, disk)) is not None}
    return list(found.values())


def _image(req: Request, disk: Vector) -> Any:
    """The image that a DISK names, None when it names none or one that is not there."""
    try:
        return find_image(req, disk) if disk.get("IMAGE_ID") or disk.get("IMAGE") else None
    except (NoExists, NotAllocated):
        return None


@method("one.template.allocate")
def allocate(req: Request, template: str) -> int:
    """Keep a template; NAME is required."""
    verbs.require_create(req, "template")
    tree = parse_template(template)
    name = tree.get("NAME")
    if not name:
        raise NotAllocated("No NAME in template.")
    restricted.check(req, "vm", tree)
    scheduling.check(tree)
    return make(req, tree, name)


def make(req: Request, tree: Any, name: str) -> int:
    """A new template of TREE."""
    check_name(req.tx, req.core, TEMPLATE, name, req.caller.uid)
    oid = req.tx.next_id("template")
    req.tx.put(Template(oid, req.caller.uid, req.caller.gid, name, new_perms(req.core, req.caller), "", req.core.now(),
                        inner_xml(tree.without(["NAME"]))))
    req.tx.log("template", oid, "create", new=name)
    return oid


@method("one.template.delete", right="MANAGE", on="template")
def delete(req: Request, tpl: Template, recursive: bool = False) -> int:
    """Remove a template, with RECURSIVE also its images."""
    if recursive:
        for image in _images(req, tpl):
            authorize(req.caller, "MANAGE", "image", image, rules(req.core))
            verbs.check_lock(image, "MANAGE", images.IMAGE.noun)
            images.delete(req, image)
    verbs.remove(req.tx, TEMPLATE, tpl)
    return tpl.oid


@method("one.template.clone", right="USE", on="template")
def clone(req: Request, tpl: Template, name: str, recursive: bool = False) -> int:
    """Copy a template, with RECURSIVE also its images."""
    verbs.require_create(req, "template")
    tree = sealed.of(req.core, "template", tpl).copy()
    if recursive:
        _clone_images(req, tree, name, False)
    return make(req, tree, name)


def _clone_images(req: Request, tree: Tree, name: str, persistent: bool) -> None:
    """Have every DISK of TREE name a copy of its image, PERSISTENT where a copy can be."""
    for number, disk in enumerate(tree.vectors("DISK")):
        if not disk.get("IMAGE_ID") and not disk.get("IMAGE"):
            continue
        image = find_image(req, disk)
        use_of(req, "image", image)
        made: Any = req.tx.get(images.Image, images.clone(req, image, f"{name}-disk-{number}"))
        if persistent and image.type in (ImageType.OS, ImageType.DATABLOCK):
            req.tx.put(replace(made, persistent=1))
        for key in ("IMAGE", "IMAGE_UID", "IMAGE_UNAME"):
            disk.pop(key, None)
        disk["IMAGE_ID"] = str(made.oid)


@method("one.template.instantiate", right="USE", on="template")
def instantiate(req: Request, tpl: Template, name: str = "", hold: bool = False, extra_template: str = "",
                persistent: bool = False) -> int:
    """Make a VM of the template with EXTRA_TEMPLATE merged over it, PERSISTENT: of copies of it and its images."""
    tree, extra = sealed.of(req.core, "template", tpl).copy(), parse_template(extra_template, "extra_template")
    trusted = _made_by_administrator(req, tpl)
    if persistent:
        copy = name or f"{tpl.name[:100]}-copy"
        _clone_images(req, tree, copy, True)
        tpl = replace(tpl, oid=make(req, tree, copy), name=copy)
    tree = appended(req.core, tree, extra)
    if name:
        tree.set("NAME", name)
    elif not tree.get("NAME"):
        tree.set("NAME", f"{tpl.name[:100]}-%i")
    tree.set("TEMPLATE_ID", str(tpl.oid))
    return allocate_vm(req, tree, hold, extra if trusted else None)


def _made_by_administrator(req: Request, tpl: Template) -> bool:
    owner = req.core.store.get(User, tpl.uid)
    return owner is not None and caller(owner).admin
