"""The record of an image, its states, its body."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from onecore.kinds.kind import KINDS, lock_xml, owner_xml, permissions_xml
from onecore.kinds.usage import usage
from onecore.lifecycle.core import Core
from onecore.lifecycle.machine import Machine, row
from onecore.pool.record import Object, Record
from onecore.pool.store import Groups
from onecore.wire import xmlbody
from onecore.wire.states import ImageState as S
from onecore.wire.xmlrpc import escape_bytes


@dataclass(frozen=True, slots=True)
class Image(Record):
    """`size` is MB of virtual size.  `op` is the datastore operation under way, 0: none.

    `made` is a number that no other image has: its file is named after it, and is found by it when nobody was told
    where it is (0: it was not made by us).
    """

    TABLE: ClassVar[str] = "image_pool"
    KIND: ClassVar[str] = "image"
    oid: int
    uid: int
    gid: int
    name: str
    perms: int
    lock: str
    type: int
    persistent: int
    regtime: int
    modtime: int
    source: str
    path: str
    format: str
    fs: str
    size: int
    state: int
    prev_state: int
    ds_id: int
    cloning_id: int
    op: int
    template: bytes
    error: str
    made: int = 0

    def touches(self) -> tuple[Object, ...]:
        """The image, its datastore, the image that it is cloned from."""
        return (("image", self.oid), ("datastore", self.ds_id), ("image", self.cloning_id))


BUSY = {S.LOCKED, S.LOCKED_USED, S.LOCKED_USED_PERS}


def _persistent(image: Any) -> bool:
    return bool(image.persistent)


IMAGE = Machine("IMAGE", [
    # from                              event         to
    row(S.INIT,                         "make",       S.LOCKED),
    row(S.LOCKED,                       "ok",         S.READY),
    row(S.LOCKED_USED,                  "ok",         S.USED),
    row(S.LOCKED_USED_PERS,             "ok",         S.USED_PERS),
    row(BUSY,                           "fail",       S.ERROR),
    row({S.READY, S.CLONE},             "use",        S.USED_PERS,        when=_persistent),
    row({S.READY, S.CLONE},             "use",        S.USED),
    row(S.USED,                         "use"),
    row(S.LOCKED,                       "use",        S.LOCKED_USED_PERS, when=_persistent),
    row(S.LOCKED,                       "use",        S.LOCKED_USED),
    row(S.LOCKED_USED,                  "use"),
    row({S.USED, S.USED_PERS},          "free",       S.READY),
    row({S.LOCKED_USED, S.LOCKED_USED_PERS}, "free",  S.LOCKED),
    row({S.ERROR, S.DISABLED, S.DELETE}, "free"),
    row({S.READY, S.ERROR},             "disable",    S.DISABLED),
    row({S.DISABLED, S.ERROR},          "enable",     S.READY),
    row(S.READY,                        "enable"),
    row(S.READY,                        "clone",      S.CLONE),
    row({S.CLONE, S.USED},              "clone"),
    row(S.CLONE,                        "cloned",     S.READY),
    row(set(S) - {S.CLONE},             "cloned"),  # whatever became of it meanwhile: no copy is kept waiting
    row({S.READY, S.DISABLED, S.ERROR}, "delete",     S.DELETE),
    row(S.DELETE,                       "fail",       S.ERROR),
])
"""Every state an image can be in and every way it moves (an image whose removal succeeded has no state: it is gone)."""


def clones_under_way(core: Core, oid: int) -> set[int]:
    """Images that are being copied from this one."""
    found: Groups[Any] = core.kinds["image.cloning"]
    return found.of(oid)


def body(core: Core, image: Image) -> list[bytes]:
    """<IMAGE>."""
    datastore: Any = core.store.get(KINDS["datastore"].record, image.ds_id)
    vms, cloning = usage(core).by_image.of(image.oid), clones_under_way(core, image.oid)
    head = (f"<IMAGE>{owner_xml(core, image)}{lock_xml(image)}{permissions_xml(image.perms)}<TYPE>{image.type}</TYPE>"
            f"<DISK_TYPE>0</DISK_TYPE><PERSISTENT>{image.persistent}</PERSISTENT><REGTIME>{image.regtime}</REGTIME>"
            f"<MODTIME>{image.modtime}</MODTIME>{xmlbody.text('SOURCE', image.source)}"
            f"{xmlbody.text('PATH', image.path)}{xmlbody.text('FORMAT', image.format)}"
            f"{xmlbody.text('FS', image.fs)}<SIZE>{image.size}</SIZE>"
            f"<STATE>{image.state}</STATE><PREV_STATE>{image.prev_state}</PREV_STATE><RUNNING_VMS>{len(vms)}</RUNNING_VMS>"
            f"<CLONING_OPS>{len(cloning)}</CLONING_OPS><CLONING_ID>{image.cloning_id}</CLONING_ID>"
            f"<TARGET_SNAPSHOT>-1</TARGET_SNAPSHOT><DATASTORE_ID>{image.ds_id}</DATASTORE_ID>"
            f"{xmlbody.text('DATASTORE', datastore.name if datastore else '')}{xmlbody.ids('VMS', vms)}"
            f"{xmlbody.ids('CLONES', cloning)}<APP_CLONES></APP_CLONES><TEMPLATE>")
    error = xmlbody.text("ERROR", image.error) if image.error else ""
    return [escape_bytes(head), image.template, escape_bytes(
        f"{error}</TEMPLATE><SNAPSHOTS><ALLOW_ORPHANS>NO</ALLOW_ORPHANS><CURRENT_BASE>-1</CURRENT_BASE>"
        "<NEXT_SNAPSHOT>0</NEXT_SNAPSHOT></SNAPSHOTS><BACKUP_INCREMENTS></BACKUP_INCREMENTS>"
        "<BACKUP_DISK_IDS></BACKUP_DISK_IDS></IMAGE>")]
