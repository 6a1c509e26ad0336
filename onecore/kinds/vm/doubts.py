"""What nobody knows of disks, and their host tells when it answers: snapshots that were perhaps made, or deleted, and
disks that were perhaps taken away.

Until then they count as there; but a disk that does not stand on a snapshot would not be read right, and one that is
gone would keep its VM from being moved or ended.
"""
from __future__ import annotations

import json
from dataclasses import replace

from onecore.kinds.restore import held
from onecore.kinds.vm.commands import question
from onecore.kinds.vm.disk_effects import saved
from onecore.kinds.vm.record import Vm, VmText, moment
from onecore.kinds.vm.snapshot_effects import put, trees_of
from onecore.kinds.vm.snapshots import DOUBT, delete, parse
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor, Tx
from onecore.wire.messages import Result
from onecore.wire.states import Lcm, VmState

SECONDS = 30.0
"""How long a driver has to look."""


def look(core: Core, vm: Vm) -> None:
    """Have the first snapshot of VM that is in doubt looked for, if there is one and nothing is under way."""
    text = core.store.get(VmText, vm.oid)
    if vm.op or text is None or DOUBT not in text.snapshots or held(core):
        return
    disk, snap = next((disk, one.id) for disk, tree in parse(text.snapshots).items() for one in tree.snaps
                      if not one.sure)
    asking: set[int] = core.kinds.setdefault("vm.doubts", set())

    def then(result: Result) -> None:
        asking.discard(vm.oid)
        there = result.data.get("has", {}).get("snapshot") if result.ok else None
        now = core.store.get(Vm, vm.oid)
        if there is not None and now is not None and moment(now) == moment(vm):
            with core.store.tx(Actor(method="monitor")) as tx:
                _settle(tx, core, now, disk, snap, bool(there))
    if vm.oid not in asking:
        asking.add(vm.oid)
        args = {"look": {"disk_id": disk, "snap_id": snap}}
        core.dispatcher.ask("tm", question(core, vm, "tm", "state", SECONDS, args), then)


def look_for_disk(core: Core, vm: Vm) -> None:
    """Have a disk looked for whose detaching failed: its file may have gone, unheard, after the guest gave it up."""
    asking: set[int] = core.kinds.setdefault("vm.doubts", set())
    if vm.op or vm.op_kind != "disk_detach" or not vm.error or vm.oid in asking or held(core):
        return
    runs = (vm.state, vm.lcm) == (VmState.ACTIVE, Lcm.RUNNING)

    def of_files(result: Result) -> None:
        asking.discard(vm.oid)
        disks = result.data.get("disks", {}) if result.ok and result.data.get("dir") else {}
        lost = [int(number) for number, there in disks.items() if not there]
        if len(lost) != 1 or len(disks) == 1 or not _is_as_it_was(core, vm):
            return
        if not runs:
            return _take_away(core, vm, lost[0])

        def of_guest(result: Result) -> None:
            asking.discard(vm.oid)
            if result.ok and result.data.get("has", {}).get("disk_mb") == -1 and _is_as_it_was(core, vm):
                _take_away(core, vm, lost[0])
        asking.add(vm.oid)
        look = {"look": {"disk_id": lost[0]}}
        core.dispatcher.ask("vm", question(core, vm, "vm", "state", SECONDS, look), of_guest)
    asking.add(vm.oid)
    core.dispatcher.ask("tm", question(core, vm, "tm", "state", SECONDS), of_files)


def _is_as_it_was(core: Core, vm: Vm) -> bool:
    now = core.store.get(Vm, vm.oid)
    return now is not None and moment(now) == moment(vm)


def _take_away(core: Core, vm: Vm, disk_id: int) -> None:
    """Neither files nor guest have the disk: it was detached, and what was on a persistent one is in its image."""
    with core.store.tx(Actor(method="monitor")) as tx:
        now = tx.get(Vm, vm.oid)
        assert now is not None
        tx.put(replace(saved(tx, core, replace(now, op_args=json.dumps({"disk_id": disk_id})), {}), op_args=""))
        tx.log("vm", vm.oid, "update", keys=["DISK"])
        core.log.vm(vm.oid, f"disk {disk_id} is not there any more, its host tells")


def _settle(tx: Tx, core: Core, vm: Vm, disk: int, snap: int, there: bool) -> None:
    """The snapshot was made, or it is not in the record any more."""
    trees = trees_of(tx, vm)
    tree = trees.get(disk)
    found = tree.find(snap) if tree else None
    if tree is None or found is None or found.sure:
        return
    made = replace(tree, snaps=tuple(replace(one, sure=True) if one.id == snap else one for one in tree.snaps))
    put(tx, vm, {**trees, disk: made if there else delete(tree, snap)})
    tx.log("vm", vm.oid, "update", keys=["SNAPSHOTS"])
    core.log.vm(vm.oid, f"snapshot {snap} of disk {disk} is {'' if there else 'not '}there, its host tells")
