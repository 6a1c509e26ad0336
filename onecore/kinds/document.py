"""Documents: what clients keep beside the cloud's own objects; `type` is a number that each client has for its own."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onecore.api import Body, Request, method
from onecore.errors import BadArgument
from onecore.kinds import sealed, verbs
from onecore.kinds.kind import (
    KINDS,
    Kind,
    check_name,
    inner_xml,
    lock_xml,
    new_perms,
    owner_xml,
    parse_template,
    permissions_xml,
)
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.wire.xmlrpc import escape_bytes


@dataclass(frozen=True, slots=True)
class Document(Record):
    """A document."""

    TABLE: ClassVar[str] = "document_pool"
    KIND: ClassVar[str] = "document"
    oid: int
    uid: int
    gid: int
    name: str
    perms: int
    lock: str
    type: int
    template: bytes


def body(core: Core, doc: Document) -> list[bytes]:
    """<DOCUMENT>."""
    return [escape_bytes(f"<DOCUMENT>{owner_xml(core, doc)}<TYPE>{doc.type}</TYPE>{permissions_xml(doc.perms)}"
                         f"{lock_xml(doc)}<TEMPLATE>"), doc.template,
            b"&lt;/TEMPLATE&gt;&lt;/DOCUMENT&gt;"]


DOCUMENT = Kind("document", "DOCUMENT", Document, "one.document", "one.documentpool", body, lockable=True, unique="")
KINDS["document"] = DOCUMENT
verbs.declare(DOCUMENT, "info", "update", "rename", "chmod", "chown", "lock", "unlock")


@method("one.documentpool.info", reads=True)
def pool_info(req: Request, filter_flag: int, start: int = -1, end: int = -1, type: int = 0) -> Body:
    """The documents of a TYPE that the caller may see."""
    paged = end < -1
    found = [d for d in verbs.select(req, DOCUMENT, filter_flag, -1 if paged else start, -1 if paged else end)
             if d.type == type]
    return verbs.pool_body(req, DOCUMENT, found[max(start, 0):max(start, 0) - end] if paged else found)


@method("one.document.allocate")
def allocate(req: Request, template: str, type: int) -> int:
    """Keep a document; NAME is in its template."""
    verbs.require_create(req, "document")
    if type < 0:
        raise BadArgument(f"type must be a number of 0 or more, not {type}")
    tree = parse_template(template)
    return _keep(req, tree.get("NAME"), type, inner_xml(tree.without(["NAME"])))


def _keep(req: Request, name: str, type: int, template: bytes) -> int:
    check_name(req.tx, req.core, DOCUMENT, name, req.caller.uid)
    oid = req.tx.next_id("document")
    who = req.caller
    req.tx.put(Document(oid, who.uid, who.gid, name, new_perms(req.core, who), "", type, template))
    req.tx.log("document", oid, "create", new=name)
    return oid


@method("one.document.clone", right="USE", on="document")
def clone(req: Request, doc: Document, name: str) -> int:
    """Another one with the same content."""
    verbs.require_create(req, "document")
    return _keep(req, name, doc.type, sealed.opened(req.core, "document", doc).template)


@method("one.document.delete", right="MANAGE", on="document")
def delete(req: Request, doc: Document) -> int:
    """Remove it."""
    verbs.remove(req.tx, DOCUMENT, doc)
    return doc.oid
