"""A restored cloud compared with what its hosts run: `onecore.reconcile`, and what accepting it does to the records."""
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from onecore.api import Request, method
from onecore.errors import WrongState
from onecore.kinds import restore, verbs
from onecore.kinds.cluster import cluster_ids
from onecore.kinds.datastore import Datastore
from onecore.kinds.host.record import Host, samples
from onecore.kinds.kind import MAX_ID
from onecore.kinds.usage import usage
from onecore.kinds.vm.commands import is_ours
from onecore.kinds.vm.fire import fire, state_of
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.states import LIVE, WAITING
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Outbox, Owed
from onecore.pool.restore import Gap, Hold
from onecore.pool.store import Actor, Counter, Tx
from onecore.wire.messages import Doc, Sample
from onecore.wire.states import DatastoreType, HostState


@dataclass(frozen=True, slots=True)
class Guest:
    """A domain of this cloud that a host has, as it says."""

    vid: int
    name: str
    generation: int
    state: str
    host: Host


def guests(core: Core, host: Host) -> list[Guest]:
    """The guests of this cloud on a host, by its latest sample."""
    sample = samples(core).hosts.get(host.oid)
    found = [Guest(doc["id"], str(doc.get("name") or doc.get("deploy_id") or f"one-{doc['id']}"),
                   int(doc.get("generation") or 0), str(doc["state"]), host)
             for doc in (sample.vms if sample else ()) if doc.get("state") in restore.ALIVE and _ours(core, doc)]
    return sorted(found, key=lambda guest: guest.vid)


def _ours(core: Core, doc: Doc) -> bool:
    return 0 <= doc.get("id", -1) <= MAX_ID and is_ours(core, doc)


def look(core: Core, sample: Sample) -> None:
    """What a sample means to a held cloud: ids that hosts have are given to nobody else."""
    if sample.error or not restore.held(core):
        return
    counter = core.store.get(Counter, "vm")
    last = counter.last if counter else -1
    top = max((doc["id"] for doc in sample.vms if _ours(core, doc)), default=-1)
    if top > last and top < MAX_ID - 1_000_000:
        core.log.warning(f"host {sample.hid} has a VM {top}, which was made after the backup: ids go on behind it")
        with core.store.tx(Actor(method="restore")) as tx:
            tx.put(Counter("vm", top))
            tx.put(Gap("vm", last + 1, top))


def alive_only(sample: Sample) -> Sample:
    """What may be believed while the cloud is held: that a guest runs where it should, not that one is gone."""
    return replace(sample, roster=False, vms=[doc for doc in sample.vms if doc.get("state") == "running"])


# -- the comparison

def report(core: Core) -> dict[str, Any]:
    """What hosts have, and what they should have."""
    hold = core.store.get(Hold, 0)
    hosts = sorted(core.store.all(Host), key=lambda host: host.oid)
    return {"held": hold is not None, "restored": hold.since if hold else 0, "backup": hold.taken if hold else 0,
            "hosts": [_host(core, host) for host in hosts], "unseen": [host.oid for host in restore.unseen(core)],
            "waiting": len(core.store.all(Outbox)), "owed": len(core.store.all(Owed))}


def _host(core: Core, host: Host) -> dict[str, Any]:
    found: dict[str, Any] = {"id": host.oid, "name": host.name, "state": HostState(host.state).name,
                             "compared": restore.seen(core, host.oid), "error": host.error,
                             "missing": [], "wild": [], "moved": [], "changed": []}
    here = {guest.vid: guest for guest in guests(core, host)}
    for guest in here.values():
        what = _kind(core, guest)
        if what:
            found[what].append(_told(core, guest))
    if found["compared"]:
        found["missing"] = [{"id": vm.oid, "name": vm.name, "generation": vm.generation, "state": state_of(vm).name}
                            for vm in _should_run(core, host) if vm.oid not in here]
    return found


def _kind(core: Core, guest: Guest) -> str:
    """What is to be said of a guest: wild, moved, changed, or nothing."""
    vm = core.store.get(Vm, guest.vid)
    if vm is None:
        return "wild"
    if vm.hid != guest.host.oid:
        return "moved"
    return "" if vm.generation == guest.generation else "changed"


def _told(core: Core, guest: Guest) -> dict[str, Any]:
    made: dict[str, Any] = {"id": guest.vid, "name": guest.name, "generation": guest.generation, "state": guest.state}
    vm = core.store.get(Vm, guest.vid)
    if vm is not None:
        made["recorded"] = {"name": vm.name, "host": vm.hid, "generation": vm.generation, "state": state_of(vm).name}
    return made


def _should_run(core: Core, host: Host) -> Iterator[Vm]:
    for oid in sorted(usage(core).by_host.of(host.oid)):
        vm = core.store.get(Vm, oid)
        if vm is not None and not vm.op and state_of(vm) in LIVE:
            yield vm


# -- accepting it

@method("onecore.reconcile")
def reconcile(req: Request, accept: bool = False, force: bool = False, take_over: bool = False) -> str:
    """What a restored cloud's hosts run, compared with its records, as JSON; ACCEPT ends the hold.

    TAKE_OVER: VMs that run on another host than recorded are there from now on.  FORCE: even if such VMs are left as
    they are recorded, or hosts were not compared.
    """
    verbs.administers(req, "RECONCILE")
    adopted = _accept(req, force, take_over) if accept and restore.held(req.core) else []
    return json.dumps({**report(req.core), "adopted": adopted})


def _accept(req: Request, force: bool, take_over: bool) -> list[int]:
    core, tx = req.core, req.tx
    unseen = restore.unseen(core)
    if unseen and not force:
        names = ", ".join(f"{host.oid} ({host.name})" for host in unseen[:10])
        raise WrongState(f"hosts {names} were not compared yet; wait for them, disable them, or accept with --force")
    adopted, moved = _adopt_all(tx, core, take_over)
    if moved and not force:
        names = ", ".join(f"{guest.vid} (host {guest.host.oid}, {guest.host.name})" for guest in moved[:10])
        how = "their datastore is not known: end them there" if take_over else "--take-over, end them there"
        raise WrongState(f"VMs {names} run on another host than recorded, and could be started twice; {how}, "
                         "or accept with --force")
    hold = tx.get(Hold, 0)
    assert hold is not None
    tx.delete(hold)
    tx.log("system", 0, "update", keys=["RECONCILED"])
    core.log.warning(f"user {req.caller.uid} accepts the restored cloud; as they run, VMs {adopted or 'none'} are "
                     "taken over", req.rid)
    tx.after(core.dispatcher.release)
    return adopted


def _adopt_all(tx: Tx, core: Core, take_over: bool) -> tuple[list[int], list[Guest]]:
    """Take over the guests that were started after the backup; the VMs, and the guests on other hosts that are left."""
    adopted, left = list[int](), list[Guest]()
    for host in sorted(core.store.all(Host), key=lambda host: host.oid):
        for guest in guests(core, host):
            what = _kind(core, guest)
            if what in ("moved", "changed") and _adopt(tx, core, guest, what == "moved", take_over):
                adopted.append(guest.vid)
            elif what == "moved":
                left.append(guest)
    return adopted, left


def _adopt(tx: Tx, core: Core, guest: Guest, moved: bool, take_over: bool) -> bool:
    """Let the record of a VM say what its guest is, if that is newer."""
    vm = tx.get(Vm, guest.vid)
    assert vm is not None
    datastore = _datastore(core, vm, guest.host)
    if guest.generation < vm.generation + (not moved) or datastore is None or (moved and not take_over):
        return False
    fire(tx, core, vm, "seen_found", seen=True, host=guest.host, datastore=datastore, generation=guest.generation)
    text = f"found running on host {guest.host.oid} ({guest.host.name}) with generation {guest.generation}"
    core.log.vm(vm.oid, text, tx.actor.rid, "warning")
    return True


def _datastore(core: Core, vm: Vm, host: Host) -> Datastore | None:
    """Where the VM's disks are: as recorded, else in the only system datastore that its host has."""
    known = core.store.get(Datastore, vm.ds_id)
    if known is not None or state_of(vm) not in WAITING:
        return known
    found = [ds for ds in core.store.all(Datastore)
             if ds.type == DatastoreType.SYSTEM and host.cid in cluster_ids(ds.clusters)]
    return found[0] if len(found) == 1 else None
