"""What attaching, detaching and changing a NIC, or an alias, does to the records.  Effects of the state table.

An address is leased before the guest has the NIC and goes back when it certainly has it no more.  Meanwhile the NIC is
in TEMPLATE with a mark: ATTACH (on its way in), DETACH (on its way out; drivers do not see it among the VM's NICs).
"""
from __future__ import annotations

import json
from dataclasses import replace

from onecore.kinds.vm import eth, requirements
from onecore.kinds.vm.edit import keep, template_of
from onecore.kinds.vm.effects import Info
from onecore.kinds.vm.record import Vm, text
from onecore.kinds.vnet import leases
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx
from onecore.wire.template import Tree, Vector


def as_decided(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """TEMPLATE is INFO's `tree`: the NICs are complete and their addresses leased."""
    keep(tx, vm, info["tree"])
    return replace(vm, networks=_networks(info["tree"]))


def comes(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """As decided, and the NIC is on its way in."""
    find(info["tree"], _number(vm, info))["ATTACH"] = "YES"
    return as_decided(tx, core, vm, info)


def leaves(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The NIC and its aliases are on their way out."""
    tree = template_of(tx, vm)
    for nic in group(tree, _number(vm, info)):
        nic.pop("ATTACH", None)
        nic["DETACH"] = "YES"
    keep(tx, vm, tree)
    return vm


def attach_undone(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Nobody knows whether the guest has it: it is taken out again."""
    return replace(leaves(tx, core, vm, info), op_kind="nic_attach_undo")


def gone(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The guest has the NIC, with its aliases, no more: their addresses are free."""
    tree = template_of(tx, vm)
    for nic in group(tree, _number(vm, info)):
        leases.take_back_nic(tx, core, vm.oid, int(nic["NIC_ID"]))
        _take_out(tree, nic)
    requirements.renew(core, tree)
    keep(tx, vm, tree)
    return replace(vm, networks=_networks(tree))


def update_undone(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The NIC is what it was; the guest's is made so again."""
    tree, was = template_of(tx, vm), json.loads(vm.op_args)["was"]
    nic = find(tree, int(was["NIC_ID"]))
    eth.swap(core, tree, dict(nic), was)
    nic.clear()
    nic.update(was)
    keep(tx, vm, tree)
    return replace(vm, op_kind="nic_update_undo")


def find(tree: Tree, number: int) -> Vector:
    """The NIC or alias of that id."""
    return next(nic for nic in eth.interfaces(tree) if nic["NIC_ID"] == str(number))


def group(tree: Tree, number: int) -> list[Vector]:
    """The NIC or alias of that id, and what goes with it: the aliases of a NIC."""
    return [nic for nic in eth.interfaces(tree) if str(number) in (nic["NIC_ID"], nic.get("PARENT_ID"))]


def _number(vm: Vm, info: Info) -> int:
    """Which NIC it is about: the argument of the call, or of the operation that it began."""
    args = info.get("args") or json.loads(vm.op_args)
    return int(args["nic_id"])


def _take_out(tree: Tree, nic: Vector) -> None:
    context = tree.vector("CONTEXT")
    if context is not None:
        eth.drop(context, nic)
    tree.pairs = [(name, value) for name, value in tree.pairs if value is not nic]
    for parent in tree.vectors("NIC"):
        if parent["NIC_ID"] == nic.get("PARENT_ID"):
            left = [one for one in parent.get("ALIAS_IDS", "").split(",") if one and one != nic["NIC_ID"]]
            parent.update({"ALIAS_IDS": ",".join(left)})
            if not left:
                del parent["ALIAS_IDS"]


def _networks(tree: Tree) -> str:
    return text([int(nic["NETWORK_ID"]) for nic in eth.interfaces(tree)])
