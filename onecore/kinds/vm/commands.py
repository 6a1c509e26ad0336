"""What drivers are told of a VM: the documents of docs/drivers.md, made from the records when a command is sent."""
from __future__ import annotations

import json
import uuid
from functools import lru_cache
from typing import Any

from onecore.kinds import sealed
from onecore.kinds.datastore import Datastore, base_path
from onecore.kinds.datastore import document as datastore_document
from onecore.kinds.host.commands import document as host_document
from onecore.kinds.host.record import Host
from onecore.kinds.image import work as image_work
from onecore.kinds.image.record import Image
from onecore.kinds.kind import tree_of
from onecore.kinds.vm import pending, snapshots
from onecore.kinds.vm.record import History, Vm, VmText
from onecore.kinds.vm.shape import OF_USER
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Outbox
from onecore.wire.messages import Command, Doc
from onecore.wire.template import Tree

_APART = frozenset(("DISK", "NIC", "NIC_ALIAS", "CONTEXT", "SNAPSHOT", "QEMU_GA_EXEC"))
"""What is no plain attribute of the document."""
_NAMESPACE = uuid.UUID("6f6e6563-6f72-4500-8000-000000000000")
_DEADLINES = {
    "prolog_resume": "prolog", "epilog_stop": "epilog", "reset": "reboot", "delete": "cleanup", "move": "prolog",
    "move_back": "prolog", "attach": "prolog", "detach": "epilog", "saveas": "image", "copy_disk": "image",
    "drop_copy": "hotplug",
    **dict.fromkeys(("attach_disk", "detach_disk", "attach_nic", "detach_nic", "update_nic", "updateconf", "resize",
                     "resize_disk"), "hotplug"),
    **dict.fromkeys(("snapshot_create", "snapshot_revert", "snapshot_delete", "snap_create", "snap_revert",
                     "snap_delete", "disk_snapshot_create", "disk_snapshot_delete"), "snapshot")}


def deadline_key(action: str) -> str:
    """The key of [deadlines] that ACTION has."""
    return _DEADLINES.get(action, action)


def compose(core: Core, box: Outbox) -> Command | None:
    """The command of an outbox row, None when its VM or host is gone."""
    vm = core.store.get(Vm, box.oid)
    if vm is None or vm.op != box.op:
        return None
    family, action = box.command.split(".")
    stay = core.store.get(History, (vm.oid, vm.seq))
    host = core.store.get(Host, vm.hid if vm.hid >= 0 else stay.hid if stay else -1)
    datastore = core.store.get(Datastore, vm.ds_id)
    if stay is None or datastore is None:
        return None
    args: Doc = {"vm": document(core, vm), "host": host_document(core, host) if host else {}}
    if family == "tm":
        args["datastore"] = datastore_document(core, datastore)
    if vm.to_hid >= 0:
        args |= destination(core, vm)
    if vm.op_args:
        args |= json.loads(vm.op_args)
    if action == "detach_nic":
        args["nic"] = pending.leaving(_tree(core, vm), int(args["nic_id"]))
    if action == "saveas":
        args |= _saved_as(core, args["image_id"])
    timeout = float(getattr(core.config.deadlines, deadline_key(action)))
    return Command(box.op, box.attempt, core.epoch, vm.generation, stay.hostname,
                   stay.vm_mad if family == "vm" else stay.tm_mad,
                   action, ("vm", vm.oid), timeout, box.rid, args)


def _saved_as(core: Core, oid: int) -> Doc:
    """The image that a disk becomes, and its datastore."""
    image = core.store.get(Image, oid)
    datastore = core.store.get(Datastore, image.ds_id) if image else None
    return {"image": image_work.document(core, image) if image else {},
            "image_datastore": datastore_document(core, datastore) if datastore else {}}


def question(core: Core, vm: Vm, family: str, action: str, seconds: float, args: Doc | None = None,
             rid: str = "") -> Command:
    """A command that changes nothing, about a VM as it is: what its drivers find on its host (or where it was last)."""
    stay = core.store.get(History, (vm.oid, vm.seq))
    host = core.store.get(Host, vm.hid if vm.hid >= 0 else stay.hid if stay else -1)
    datastore = core.store.get(Datastore, vm.ds_id)
    given: Doc = {"vm": document(core, vm), "host": host_document(core, host) if host else {},
                  "datastore": datastore_document(core, datastore) if datastore else {}}
    if vm.to_hid >= 0:
        given |= destination(core, vm)
    driver = (host.vm_mad if host else "") if family == "vm" else datastore.tm_mad if datastore else ""
    return Command(0, 0, core.epoch, vm.generation, f"ask:{host.name if host else ''}", driver, action,
                   ("vm", vm.oid), seconds, rid, given | (args or {}))


def destination(core: Core, vm: Vm) -> Doc:
    """Where a migration goes, and where it comes from, as drivers see it."""
    host, datastore = core.store.get(Host, vm.to_hid), core.store.get(Datastore, vm.to_ds)
    source = core.store.get(Datastore, vm.ds_id)
    return {"to": host_document(core, host) if host else {}, "to_dir": f"{base_path(core, vm.to_ds)}/{vm.oid}",
            "to_datastore": datastore_document(core, datastore) if datastore else {},
            "datastore": datastore_document(core, source) if source else {}}


def uuid_of(core: Core, oid: int) -> str:
    """The UUID of a VM's domain: another cloud's VM with the same id has another."""
    return _uuid(str(core.kinds["cloud"]), oid)


@lru_cache(1 << 16)
def _uuid(cloud: str, oid: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{cloud}/{oid}"))


def is_ours(core: Core, domain: Doc) -> bool:
    """Whether a domain that a host shows under a VM's id is of this cloud, as far as its UUID, if told, says."""
    told, oid = domain.get("uuid"), int(domain["id"])
    return not told or told == uuid_of(core, oid) or _plain(str(told)) == _asked_for(core, oid)


def _asked_for(core: Core, oid: int) -> str | None:
    """The UUID that the VM's template asks for, if it does and the VM is in memory."""
    text = core.store.get(VmText, oid)
    given = (tree_of(text.template).vector("OS") or {}).get("UUID") if text else ""
    return _plain(given) if given else None


def _plain(text: str) -> str:
    """A UUID without what may be written in several ways."""
    return text.strip().lower().replace("-", "")


def document(core: Core, vm: Vm) -> Doc:
    """The VM as drivers see it."""
    text = core.store.get(VmText, vm.oid)
    datastore = core.store.get(Datastore, vm.ds_id)
    tree = pending.without_leaving(vm, _tree(core, vm))
    user = sealed.tree(core, "vm", vm.oid, text.user) if text else Tree()
    size = pending.size(vm, tree)
    context = dict(tree.vector("CONTEXT") or {})
    disk_id, target = context.pop("DISK_ID", ""), context.pop("TARGET", "")
    attrs: dict[str, Any] = {}
    for name, value in tree:
        if name not in _APART:
            attrs.setdefault(name, value)
    for name in OF_USER:
        if model := user.vector(name):
            attrs.setdefault(name, model)
    return {
        "id": vm.oid, "name": vm.name, "generation": vm.generation, "deploy_id": vm.deploy_id,
        "uuid": uuid_of(core, vm.oid),
        "dir": f"{base_path(core, vm.ds_id)}/{vm.oid}", "tm_mad": datastore.tm_mad if datastore else "",
        "away": vm.hid < 0,
        "cpu": size.cpu / 100, "vcpu": size.vcpu, "memory_mb": size.memory, "attrs": attrs,
        "disks": [_disk(core, d) for d in tree.vectors("DISK")], "snapshots": _snapshots(vm, text),
        "nics": tree.vectors("NIC"), "aliases": tree.vectors("NIC_ALIAS"), "user": dict(user.pairs),
        "context": context, "context_disk": {"DISK_ID": disk_id, "TARGET": target, "DEV_PREFIX": target[:2]} if disk_id
        else None,
        "context_files": _files(core, context)}


def _snapshots(vm: Vm, text: VmText | None) -> Doc:
    """Those of its disks, as they are when what is under way succeeded."""
    trees = snapshots.parse(text.snapshots if text else "")
    if vm.op_args and trees:
        trees = snapshots.applied(trees, vm.op_kind, json.loads(vm.op_args))
    return snapshots.document(trees)


def _tree(core: Core, vm: Vm) -> Tree:
    text = core.store.get(VmText, vm.oid)
    return sealed.tree(core, "vm", vm.oid, text.template) if text else Tree()


def _disk(core: Core, disk: dict[str, str]) -> dict[str, str]:
    """The source of an image may have come after the VM was made (CLONING)."""
    if disk.get("IMAGE_ID") and not disk.get("SOURCE"):
        image = core.store.get(Image, int(disk["IMAGE_ID"]))
        if image is not None:
            return {**disk, "SOURCE": image.source, "FORMAT": image.format, "ORIGINAL_SIZE": str(image.size),
                    "SIZE": disk.get("SIZE") or str(image.size)}
    return disk


def _files(core: Core, context: dict[str, str]) -> list[Doc]:
    """What is copied to the context CD: images of FILES_DS, and paths of FILES (administrators only)."""
    found: list[Doc] = [{"source": path, "name": path.rsplit("/", 1)[-1]} for path in context.get("FILES", "").split()]
    for oid in json.loads(context.pop("_FILES_DS", "[]")):
        image = core.store.get(Image, oid)
        if image is not None:
            found.append({"source": image.source, "name": image.name})
    return found
