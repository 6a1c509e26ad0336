"""What making, deleting and going back to a system snapshot does to the records: SNAPSHOT vectors of TEMPLATE.

The one that an operation is about has ACTIVE=YES and its ACTION.  HYPERVISOR_ID is empty until the driver told it.
"""
from __future__ import annotations

import json
from dataclasses import replace

from onecore.kinds.vm.edit import keep, template_of
from onecore.kinds.vm.effects import Info
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx
from onecore.wire.template import Tree, Vector

_ACTIONS = {"snapshot_revert": "REVERT", "snapshot_delete": "DELETE", "snapshot_create_undo": "DELETE"}


def comes(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The operation's snapshot is being made."""
    tree, snapshot = template_of(tx, vm), json.loads(vm.op_args)["snapshot"]
    size = vm.memory + vm.disk_mb
    tree.add("SNAPSHOT", {"ACTION": "CREATE", "ACTIVE": "YES", "HYPERVISOR_ID": "", "NAME": snapshot["name"],
                          "SNAPSHOT_ID": str(snapshot["id"]), "SYSTEM_DISK_SIZE": str(size), "TIME": str(core.now())})
    keep(tx, vm, tree)
    return vm


def in_use(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The operation is about one of them."""
    tree = template_of(tx, vm)
    snapshot = _of_operation(tree, vm)
    if snapshot is not None:
        _replace(tree, snapshot, {"ACTION": _ACTIONS[vm.op_kind], "ACTIVE": "YES", **_idle(snapshot)})
    keep(tx, vm, tree)
    return vm


def made(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It is there, under the name that the driver tells."""
    tree = template_of(tx, vm)
    snapshot = _of_operation(tree, vm)
    if snapshot is not None:
        told = str(info.get("hypervisor_id") or snapshot["HYPERVISOR_ID"])
        _replace(tree, snapshot, {**_idle(snapshot), "HYPERVISOR_ID": told})
    keep(tx, vm, tree)
    return vm


def idle(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """No operation is about any of them."""
    tree = template_of(tx, vm)
    for snapshot in tree.vectors("SNAPSHOT"):
        _replace(tree, snapshot, _idle(snapshot))
    keep(tx, vm, tree)
    return vm


def undone(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Nobody knows whether it was made: it is deleted."""
    return in_use(tx, core, replace(vm, op_kind="snapshot_create_undo"), info)


def gone(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It was deleted."""
    tree = template_of(tx, vm)
    snapshot = _of_operation(tree, vm)
    tree.pairs = [(name, value) for name, value in tree.pairs if value is not snapshot]
    keep(tx, vm, tree)
    return vm


def find(tree: Tree, number: int) -> Vector | None:
    """The snapshot of that id, if there is one."""
    return next((each for each in tree.vectors("SNAPSHOT") if each["SNAPSHOT_ID"] == str(number)), None)


def _of_operation(tree: Tree, vm: Vm) -> Vector | None:
    return find(tree, int(json.loads(vm.op_args)["snapshot"]["id"]))


def _idle(snapshot: Vector) -> Vector:
    return {key: value for key, value in snapshot.items() if key not in ("ACTION", "ACTIVE")}


def _replace(tree: Tree, old: Vector, new: Vector) -> None:
    """NEW in the place of OLD, with the keys in its own order."""
    tree.pairs = [(name, new if value is old else value) for name, value in tree.pairs]
