"""Datastores: record, body, methods, and how much room they have."""
from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from onecore.api import Request, method
from onecore.errors import BadArgument, NotAllocated
from onecore.kinds import restricted, sealed, verbs
from onecore.kinds.cluster import cluster_ids, of_new
from onecore.kinds.kind import (
    KINDS,
    Kind,
    check_name,
    inner_xml,
    new_perms,
    owner_xml,
    parse_template,
    permissions_xml,
    tree_of,
)
from onecore.lifecycle.core import Core
from onecore.pool.record import Object, Record
from onecore.pool.store import Groups
from onecore.wire import xmlbody
from onecore.wire.messages import Command, Doc, Result
from onecore.wire.states import DatastoreType, VmState
from onecore.wire.template import Tree
from onecore.wire.xmlrpc import escape_bytes

TYPES = {"IMAGE_DS": DatastoreType.IMAGE, "SYSTEM_DS": DatastoreType.SYSTEM, "FILE_DS": DatastoreType.FILE,
         "BACKUP_DS": DatastoreType.BACKUP}
TM_CONF: dict[str, dict[str, str]] = {
    "qcow2": {"ALLOW_ORPHANS": "NO", "CLONE_TARGET": "SYSTEM", "LN_TARGET": "NONE", "SHARED": "YES"},
    "shared": {"ALLOW_ORPHANS": "NO", "CLONE_TARGET": "SYSTEM", "LN_TARGET": "NONE", "SHARED": "YES"},
    "dummy": {"ALLOW_ORPHANS": "FORMAT", "CLONE_TARGET": "SYSTEM", "LN_TARGET": "NONE", "SHARED": "YES"},
    "ssh": {"ALLOW_ORPHANS": "NO", "CLONE_TARGET": "SYSTEM", "LN_TARGET": "SYSTEM", "SHARED": "NO"},
}
"""What a transfer driver's datastores are like: where clones and persistent disks take space, who sees the files, and
whether a snapshot of a disk may go while others came after it (FORMAT: that of a raw disk)."""


@dataclass(frozen=True, slots=True)
class Datastore(Record):
    """`clusters` are ids as text; room is monitored, not stored."""

    TABLE: ClassVar[str] = "datastore_pool"
    KIND: ClassVar[str] = "datastore"
    oid: int
    uid: int
    gid: int
    name: str
    perms: int
    ds_mad: str
    tm_mad: str
    type: int
    state: int
    clusters: str
    template: bytes

    def touches(self) -> tuple[Object, ...]:
        """The datastore and its clusters."""
        return (("datastore", self.oid), *(("cluster", c) for c in cluster_ids(self.clusters)))


def base_path(core: Core, oid: int) -> str:
    """Where a datastore's files are."""
    return str(Path(core.home) / "datastores" / str(oid))


def room(core: Core, oid: int) -> tuple[int, int, int]:
    """(total, free, used) MB as last read."""
    found: dict[int, tuple[int, int, int]] = core.kinds["datastore.room"]
    return found.get(oid, (0, 0, 0))


def check_room(core: Core, ds: Datastore, size: int) -> None:
    """Raise NotAllocated when less than SIZE MB are free in a datastore for images."""
    total, free, _ = room(core, ds.oid)
    if total and size > free:  # nothing is known yet of a datastore that was made just now
        raise NotAllocated(f"Not enough space in datastore {ds.oid} ({ds.name}): SIZE is {size} MB, free are {free} MB")


def body(core: Core, ds: Datastore) -> list[bytes]:
    """<DATASTORE>."""
    total, free, used = room(core, ds.oid)
    images: Groups[Any] = core.kinds["image.by_datastore"]
    head = (f"<DATASTORE>{owner_xml(core, ds)}{permissions_xml(ds.perms)}{xmlbody.text('DS_MAD', ds.ds_mad)}"
            f"{xmlbody.text('TM_MAD', ds.tm_mad)}{xmlbody.text('BASE_PATH', base_path(core, ds.oid))}"
            f"<TYPE>{ds.type}</TYPE><DISK_TYPE>0</DISK_TYPE><STATE>{ds.state}</STATE>"
            f"{xmlbody.ids('CLUSTERS', cluster_ids(ds.clusters))}"
            f"<TOTAL_MB>{total}</TOTAL_MB><FREE_MB>{free}</FREE_MB><USED_MB>{used}</USED_MB>"
            f"{xmlbody.ids('IMAGES', images.of(ds.oid))}<TEMPLATE>")
    return [escape_bytes(head), ds.template, b"&lt;/TEMPLATE&gt;&lt;/DATASTORE&gt;"]


DATASTORE = Kind("datastore", "DATASTORE", Datastore, "one.datastore", "one.datastorepool", body, unique="all")
KINDS["datastore"] = DATASTORE


def _updated(req: Request, ds: Datastore, old: Tree, new: Tree) -> Datastore:
    restricted.keep(req, "datastore", old, new, ds.oid)
    fields: dict[str, str] = {}
    for key, name in (("TM_MAD", "tm_mad"), ("DS_MAD", "ds_mad")):
        given = new.get(key)
        if given and given != getattr(ds, name):
            _check_unused(req.core, ds, key)
            fields[name] = given
    for name, value in TM_CONF.get(fields.get("tm_mad", ds.tm_mad), {}).items():
        new.set(name, value)
    req.tx.after(lambda: _monitor_again(req.core, ds.oid))
    return replace(ds, **fields)  # type: ignore[arg-type]


def _check_unused(core: Core, ds: Datastore, key: str) -> None:
    """What a driver made another cannot be trusted with."""
    if core_images(core, ds.oid):
        raise BadArgument(f"{key} cannot change while datastore {ds.oid} holds images", ds.oid)
    if vms := _vms_on(core, ds):
        raise BadArgument(f"{key} cannot change while VMs {', '.join(map(str, vms[:10]))} are on datastore {ds.oid}",
                          ds.oid)


def _vms_on(core: Core, ds: Datastore) -> list[int]:
    """Ids of the VMs whose disks are, or are to be, in a system datastore, or on their way to it."""
    vms: Any = core.store.all(KINDS["vm"].record)
    return sorted(vm.oid for vm in vms if ds.oid in (vm.ds_id, vm.to_ds) and vm.state != VmState.DONE)


def core_images(core: Core, oid: int) -> set[int]:
    """Ids of the images in a datastore."""
    found: Groups[Any] = core.kinds["image.by_datastore"]
    return found.of(oid)


verbs.declare(DATASTORE, "info", "pool", "update", "rename", "chmod", "chown", on_update=_updated)


@method("one.datastore.allocate")
def allocate(req: Request, template: str, cluster_id: int = -1) -> int:
    """Make a datastore: NAME, TYPE, TM_MAD and, unless it is a system one, DS_MAD."""
    verbs.require_create(req, "datastore")
    tree = parse_template(template)
    kind = tree.get("TYPE", "IMAGE_DS").upper()
    if kind not in TYPES:
        raise NotAllocated(f"TYPE must be one of {', '.join(TYPES)}, not {kind!r}")
    tm_mad, ds_mad = tree.get("TM_MAD"), tree.get("DS_MAD")
    if not tm_mad:
        raise NotAllocated("No TM_MAD in template: it names the transfer driver, such as qcow2 or dummy.")
    if kind != "SYSTEM_DS" and not ds_mad:
        raise NotAllocated("No DS_MAD in template: it names the datastore driver, such as fs or dummy.")
    cid = of_new(req, cluster_id)
    name = check_name(req.tx, req.core, DATASTORE, tree.get("NAME"), req.caller.uid)
    given = req.tx.next_id("datastore")
    kept = tree.without(["NAME", "TYPE"])
    for key, value in {**TM_CONF.get(tm_mad, {}), "TYPE": kind}.items():
        kept.set(key, value)
    made = req.tx.put(Datastore(given, req.caller.uid, req.caller.gid, name, new_perms(req.core, req.caller),
                                "-" if kind == "SYSTEM_DS" and not ds_mad else ds_mad, tm_mad, int(TYPES[kind]), 0,
                                str(cid), inner_xml(kept)))
    req.tx.log("datastore", given, "create", new=name)
    req.tx.after(lambda: monitor(req.core, made))
    return given


@method("one.datastore.delete", right="ADMIN", on="datastore")
def delete(req: Request, ds: Datastore) -> int:
    """Remove an empty datastore."""
    images = core_images(req.core, ds.oid)
    if images:
        raise BadArgument(f"Cannot delete datastore {ds.oid}: it holds images "
                          f"{', '.join(map(str, sorted(images)[:10]))}.", ds.oid)
    if ds.oid <= 2:
        raise BadArgument(f"datastore {ds.oid} ({ds.name}) is part of the cloud and cannot be deleted", ds.oid)
    using = _vms_on(req.core, ds)
    if using:
        raise BadArgument(f"Cannot delete datastore {ds.oid}: VMs {', '.join(map(str, using[:10]))} are on it.", ds.oid)
    verbs.remove(req.tx, DATASTORE, ds)
    return ds.oid


def document(core: Core, ds: Datastore) -> Doc:
    """The datastore as drivers see it."""
    return {"id": ds.oid, "name": ds.name, "type": ds.type, "ds_mad": ds.ds_mad, "tm_mad": ds.tm_mad,
            "base_path": base_path(core, ds.oid), "attrs": sealed.attributes(core, "datastore", ds)}


def driver(ds: Datastore) -> str:
    """The datastore driver that reads its room (a system datastore names none)."""
    return ds.ds_mad if ds.ds_mad not in ("", "-") else "dummy" if ds.tm_mad == "dummy" else "fs"


def _is_of_hosts(ds: Datastore) -> bool:
    """Whether each host has storage of its own under the name of this system datastore."""
    return ds.type == DatastoreType.SYSTEM and tree_of(ds.template).get("SHARED", "YES").upper() == "NO"


def monitor(core: Core, ds: Datastore) -> None:
    """Ask how much room there is; of hosts' own storage each tells with its samples."""
    if _is_of_hosts(ds):
        core.kinds["datastore.room"].pop(ds.oid, None)
        return

    def then(result: Result) -> None:
        now_is = core.store.get(Datastore, ds.oid)
        if now_is is None or _is_of_hosts(now_is):
            return
        if result.ok:
            found = core.kinds["datastore.room"]
            now = tuple(int(result.data[key]) for key in ("total_mb", "free_mb", "used_mb"))
            first = ds.oid not in found
            found[ds.oid] = now
            if first:  # the match-maker waits for the first figure
                with core.store.tx() as tx:
                    tx.log("datastore", ds.oid, "update", keys=["FREE_MB"])
        else:
            core.log.warning(f"datastore {ds.oid} ({ds.name}) cannot be read: {result.error}")
    core.dispatcher.ask("tm", Command(
        0, 0, core.epoch, 0, f"ask:{ds.oid}", driver(ds), "monitor", ("datastore", ds.oid),
                                      60.0, args={"datastore": document(core, ds)}), then)


def _monitor_again(core: Core, oid: int) -> None:
    ds = core.store.get(Datastore, oid)
    if ds is not None:
        monitor(core, ds)


def monitor_all(core: Core) -> None:
    """Ask all."""
    for ds in list(core.store.all(Datastore)):
        monitor(core, ds)


@method("one.datastore.enable", right="MANAGE", on="datastore")
def enable(req: Request, ds: Datastore, enable: bool) -> int:
    """Let the match-maker use a system datastore, or not."""
    if ds.type != DatastoreType.SYSTEM:
        raise BadArgument(f"datastore {ds.oid} ({ds.name}) is not a SYSTEM_DS; only those are enabled and disabled",
                          ds.oid)
    req.tx.put(replace(ds, state=0 if enable else 1))
    req.tx.log("datastore", ds.oid, "update", keys=["STATE"])
    return ds.oid
