"""What a row of the state table does to the records, in its transaction.  Each effect: (tx, core, vm, info) -> vm."""
from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from onecore.kinds.host.commands import is_shared
from onecore.kinds.image import work as image_work
from onecore.kinds.image.record import Image
from onecore.kinds.kind import KINDS, inner_xml, tree_of
from onecore.kinds.vm import scheduled
from onecore.kinds.vm.record import ACTIONS, History, Vm, VmText, ids
from onecore.kinds.vm.record import text as ids_text
from onecore.kinds.vnet import leases
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Owed
from onecore.pool.store import Tx
from onecore.wire.template import Tree, Vector

Info = dict[str, Any]


def history(tx: Tx, vm: Vm) -> History | None:
    """The present stay on a host, or the last one."""
    return tx.get(History, (vm.oid, vm.seq)) if vm.seq >= 0 else None


def _stamp(tx: Tx, vm: Vm, **fields: int) -> None:
    found = history(tx, vm)
    if found is not None:
        tx.put(replace(found, **fields))  # type: ignore[arg-type]


def clear_error(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Forget the last error."""
    return replace(vm, error="") if vm.error else vm


def note_error(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Keep what went wrong, for USER_TEMPLATE/ERROR."""
    stamp = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(core.now()))
    return replace(vm, error=f"{stamp}: {info.get('error') or 'set to failure by recover'}")


def add_error(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Keep what went wrong; if the operation failed before and this was its undo, both."""
    if not vm.error:
        return note_error(tx, core, vm, info)
    return replace(vm, error=f"{vm.error}; undoing it failed too: {info.get('error') or 'set to failure by recover'}")


def clear_resched(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Take the mark off, and with it why the VM was not moved yet."""
    if not vm.resched:
        return vm
    text = tx.get(VmText, vm.oid)
    if text is not None and b"SCHED_MESSAGE" in text.user:
        tx.put(replace(text, user=inner_xml(tree_of(text.user).without(["SCHED_MESSAGE"]))))
    return replace(vm, resched=0)


def mark_resched(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """To be moved by the match-maker."""
    return replace(vm, resched=1)


def again(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Another try of the same operation: nothing but the attempt changes."""
    return vm


def place(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Put the VM on a host and a system datastore: reserves capacity, opens a history record."""
    host, ds = info["host"], info["datastore"]
    seq = vm.seq + 1
    tx.put(History(vm.oid, seq, host.oid, host.name, host.cid, core.now(), 0, host.vm_mad, ds.tm_mad, ds.oid, 0, 0, 0,
                   0, 0, 0, 0,
                   -1, -1, "", 0))
    text = tx.get(VmText, vm.oid)
    if text is not None and "scheduled" in info:
        tx.put(info["scheduled"](text))
    return replace(vm, hid=host.oid, cid=host.cid, ds_id=ds.oid, seq=seq, deploy_id="")


def prolog_begins(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """PSTIME."""
    _stamp(tx, vm, pstime=core.now())
    return vm


def prolog_ends(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """PETIME."""
    _stamp(tx, vm, petime=core.now())
    return vm


def next_generation(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The guest is about to be started: older news and hands are void."""
    return replace(vm, generation=vm.generation + 1)


def runs(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """RSTIME, DEPLOY_ID; it is not resumed from anywhere any more."""
    found = history(tx, vm)
    if found is not None and not found.rstime:
        tx.put(replace(found, rstime=core.now()))
    return replace(vm, deploy_id=str(info.get("deploy_id") or vm.deploy_id or f"one-{vm.oid}"), came="", error="")


def halts(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """RETIME."""
    _stamp(tx, vm, retime=core.now())
    return vm


def epilog_begins(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """ESTIME."""
    _stamp(tx, vm, estime=core.now())
    return vm


def epilog_ends(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """EETIME and the end of the stay."""
    _stamp(tx, vm, eetime=core.now())
    return stay_ends(tx, core, vm, info)


def stay_ends(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """ETIME of the history record, and which action ended it."""
    found = history(tx, vm)
    if found is not None and not found.etime:
        action = ACTIONS["monitor"] if info.get("seen") else action_of(vm)
        found = replace(found, etime=core.now(), action=action)
        asked = tx.actor.uid < 0 and not info.get("seen")
        tx.put(found if asked else replace(found, uid=tx.actor.uid, gid=tx.actor.gid, rid=tx.actor.rid))
    return vm


def action_of(vm: Vm) -> int:
    """OpenNebula's number of the VM's operation, for the history; 0: none."""
    return ACTIONS.get(vm.op_kind.removeprefix("recover_").removesuffix("_back").replace("deletedb", "delete"), 0)


ENDS_A_STAY = frozenset(("migrate", "live_migrate", "migrate_poff", "migrate_poff_hard", "terminate", "terminate_hard",
                         "undeploy", "undeploy_hard", "stop", "suspend", "poweroff", "poweroff_hard", "recover_delete",
                         "recover_recreate"))


def note_asker(tx: Tx, vm: Vm) -> None:
    """Who asked for what will end the stay: a driver's answer ends it."""
    found = history(tx, vm)
    if found is not None and not found.etime:
        tx.put(replace(found, uid=tx.actor.uid, gid=tx.actor.gid, rid=tx.actor.rid))


def stays_again(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Another stay on the same host: a new history record like the last."""
    found = history(tx, vm)
    if found is None or not found.etime:
        return vm
    tx.put(replace(found, seq=vm.seq + 1, stime=core.now(), etime=0, pstime=0, petime=0, rstime=0, retime=0, estime=0,
                   eetime=0,
                   action=0, uid=-1, gid=-1, rid=""))
    return replace(vm, seq=vm.seq + 1)


def leave_host(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Give the host's capacity back."""
    return replace(vm, hid=-1, cid=-1)


def found(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It runs on a host, whatever the records say: that is where it is, with that generation."""
    vm = replace(vm, generation=info["generation"])
    if vm.hid == info["host"].oid:
        vm = stays_again(tx, core, vm, info)
    else:
        vm = place(tx, core, stay_ends(tx, core, vm, info), info)
    return runs(tx, core, vm, info)


def came_stopped(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It will resume from a checkpoint."""
    return replace(vm, came="stopped")


def came_undeployed(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It will resume from its disks."""
    return replace(vm, came="undeployed")


def came_new(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It starts from nothing."""
    return replace(vm, came="", deploy_id="", ds_id=-1)


def owe_guest(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The guest could not be ended: the host owes it."""
    _owe(tx, core, vm, 0)
    return vm


def owe_files(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The files could not be removed: the host owes it."""
    _owe(tx, core, vm, 1)
    return vm


def owe_fenced(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The guest ended with its host, which ends it again when it returns; the directory is where its disks are."""
    owe(tx, core, vm, vm.hid, vm.ds_id, 0, fenced=1)
    return vm


def owe(tx: Tx, core: Core, vm: Vm, hid: int, ds_id: int, files: int, fenced: int = 0) -> None:
    """Host HID owes the end of the VM's guest and networks and, if FILES, of its directory in datastore DS_ID."""
    text, before = tx.get(VmText, vm.oid), tx.get(Owed, (hid, vm.oid))
    tree = tree_of(text.template) if text else Tree()
    nics = json.dumps(tree.vectors("NIC"), separators=(",", ":")) if text else ""
    images = sorted({*ids(before.images if before else ""), *_written(tx, tree, ds_id)})
    tx.put(Owed(hid, vm.oid, vm.generation, ds_id, core.now(), files, fenced, nics, ids_text(images)))
    tx.log("host", hid, "update", keys=["OWED"])


def _written(tx: Tx, tree: Tree, ds_id: int) -> Iterator[int]:
    """The persistent images whose files are the disks of a guest; on a host's own storage it has copies of them."""
    datastore = tx.get(KINDS["datastore"].record, ds_id)
    if datastore is None or is_shared(datastore):
        yield from (int(disk["IMAGE_ID"]) for disk in tree.vectors("DISK")
                    if disk.get("SAVE") == "YES" and disk.get("IMAGE_ID"))


def _owe(tx: Tx, core: Core, vm: Vm, files: int) -> None:
    last = history(tx, vm)
    hid = vm.hid if vm.hid >= 0 or last is None else last.hid  # what is on no host, the last one sees or had
    if tx.get(KINDS["host"].record, hid) is not None:
        before = tx.get(Owed, (hid, vm.oid))
        owe(tx, core, vm, hid, vm.ds_id, max(files, before.files if before else 0))


def grow_images(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Persistent disks that were made larger than their images are in them now."""
    text = tx.get(VmText, vm.oid)
    for disk in tree_of(text.template).vectors("DISK") if text is not None and vm.generation else ():
        grow(tx, core, disk)
    return vm


def grow(tx: Tx, core: Core, disk: Vector) -> None:
    """A persistent DISK that was made larger than its image is in it now."""
    image = tx.get(Image, int(disk.get("IMAGE_ID") or -1)) if disk.get("SAVE") == "YES" else None
    if image is not None and int(disk.get("SIZE") or 0) > image.size:
        tx.put(replace(image, size=int(disk["SIZE"]), modtime=core.now()))
        tx.log("image", image.oid, "update", keys=["SIZE"])


def finish(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The end: addresses, images and capacity go back; the records leave memory when this is durable."""
    vm = stay_ends(tx, core, vm, info)
    leases.take_back(tx, core, vm.oid)
    scheduled.forget(tx, core, vm.oid)
    images = ids(vm.images)
    vm = tx.put(replace(vm, etime=core.now(), images="", hid=-1, cid=-1, resched=0))
    for image in images:
        image_work.release(tx, core, image)
    text = tx.get(VmText, vm.oid)
    if text is not None:
        tx.put(replace(text, done=1))
    stays = [h for seq in range(vm.seq + 1) if (h := tx.get(History, (vm.oid, seq))) is not None]
    for stay in stays:
        tx.put(replace(stay, done=1))
    tx.after(lambda: _evict(core, vm.oid, vm.seq))
    return vm


def _evict(core: Core, oid: int, last: int) -> None:
    core.store.apply(Vm, oid, None)
    core.store.apply(VmText, oid, None)
    for seq in range(last + 1):
        core.store.apply(History, (oid, seq), None)
    core.kinds["samples"].vms.pop(oid, None)
    core.kinds["vm.bodies"].forget(oid)
