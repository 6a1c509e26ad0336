"""VM templates: record, body, methods."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from onecore.api import Body, Request, method
from onecore.auth.authorize import authorize
from onecore.errors import NotAllocated
from onecore.kinds import image as images
from onecore.kinds import verbs
from onecore.kinds.kind import (
    KINDS,
    Kind,
    check_name,
    inner_xml,
    lock_xml,
    named,
    new_perms,
    owner_xml,
    parse_template,
    permissions_xml,
    rules,
    tree_of,
)
from onecore.kinds.vm.allocate import allocate as allocate_vm
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
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
verbs.declare(TEMPLATE, "pool", "update", "rename", "chown", "lock", "unlock")


@method("one.template.info", right="USE", on="template", reads=True)
def info(req: Request, tpl: Template, extended: bool = False, decrypt: bool = False) -> Body:
    """The body; EXTENDED adds what an instance would get from images."""
    if not extended:
        return Body(body(req.core, tpl))
    tree = tree_of(tpl.template).copy()
    for disk in tree.vectors("DISK"):
        given = disk.get("IMAGE_ID", "")
        image: Any = verbs.optional("image", req.core, int(given)) if given.isdigit() else None
        image = image or named(req.core, KINDS["image"], disk.get("IMAGE", ""), req.caller.uid)
        if image:
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
        verbs.set_permissions(req, images.IMAGE, image, bits)
    return tpl.oid


def _images(req: Request, tpl: Template) -> list[Any]:
    found = []
    for disk in tree_of(tpl.template).vectors("DISK"):
        image = verbs.optional("image", req.core, int(disk["IMAGE_ID"])) if disk.get("IMAGE_ID", "").isdigit() else (
            named(req.core, KINDS["image"], disk.get("IMAGE", ""), tpl.uid))
        if image is not None:
            found.append(image)
    return found


@method("one.template.allocate")
def allocate(req: Request, template: str) -> int:
    """Keep a template; NAME is required."""
    verbs.require_create(req, "template")
    tree = parse_template(template)
    name = tree.get("NAME")
    if not name:
        raise NotAllocated("No NAME in template.")
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
            images.delete(req, image)
    verbs.remove(req.tx, TEMPLATE, tpl)
    return tpl.oid


@method("one.template.clone", right="USE", on="template")
def clone(req: Request, tpl: Template, name: str, recursive: bool = False) -> int:
    """Copy a template, with RECURSIVE also its images."""
    verbs.require_create(req, "template")
    tree = tree_of(tpl.template).copy()
    if recursive:
        for disk in tree.vectors("DISK"):
            one = Template(**{**{f: getattr(tpl, f) for f in tpl.__dataclass_fields__},
                              "template": inner_xml(type(tree)([("DISK", disk)]))})
            for image in _images(req, one):
                authorize(req.caller, "USE", "image", image, rules(req.core))
                made = images.clone(req, image, f"{name}-disk-{disk.get('DISK_ID', image.oid)}")
                disk.pop("IMAGE", None)
                disk["IMAGE_ID"] = str(made)
    return make(req, tree, name)


@method("one.template.instantiate", right="USE", on="template")
def instantiate(req: Request, tpl: Template, name: str = "", hold: bool = False, extra_template: str = "",
                persistent: bool = False) -> int:
    """Make a VM of the template with EXTRA_TEMPLATE merged over it."""
    tree = tree_of(tpl.template).copy()
    if extra_template.strip():
        tree = tree.merged(parse_template(extra_template, "extra_template"))
    if persistent:
        new = clone(req, tpl, name or f"{tpl.name}-copy", True)
        made: Any = req.tx.get(Template, new)
        tree = tree_of(made.template).copy()
    if name:
        tree.set("NAME", name)
    elif not tree.get("NAME"):
        tree.set("NAME", f"{tpl.name}-%i")
    tree.set("TEMPLATE_ID", str(tpl.oid))
    return allocate_vm(req, tree, hold)
