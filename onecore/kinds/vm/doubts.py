"""Disk snapshots of which nobody knows whether they were made, or deleted: when their host answers, its files tell.

Until then they count as there (snapshot_effects), and a disk that does not stand on one would not be read right.
"""
from __future__ import annotations

from dataclasses import replace

from onecore.kinds.restore import held
from onecore.kinds.vm.commands import question
from onecore.kinds.vm.record import Vm, VmText
from onecore.kinds.vm.snapshot_effects import put, trees_of
from onecore.kinds.vm.snapshots import DOUBT, delete, parse
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor, Tx
from onecore.wire.messages import Result

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
        if there is not None and now is not None and (now.op, now.generation, now.hid) == (0, vm.generation, vm.hid):
            with core.store.tx(Actor(method="monitor")) as tx:
                _settle(tx, core, now, disk, snap, bool(there))
    if vm.oid not in asking:
        asking.add(vm.oid)
        args = {"look": {"disk_id": disk, "snap_id": snap}}
        core.dispatcher.ask("tm", question(core, vm, "tm", "state", SECONDS, args), then)


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
