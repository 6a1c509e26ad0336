"""A VM's TEMPLATE as a tree that may be changed, and back into the record in the schema's order."""
from __future__ import annotations

from dataclasses import replace

from onecore.kinds.kind import inner_xml, tree_of
from onecore.kinds.vm.record import Vm, VmText
from onecore.kinds.vm.shape import fragment
from onecore.pool.store import Tx
from onecore.wire.template import Tree, Vector

MARKS = ("ATTACH", "DETACH")
"""Keys of a DISK or NIC that is on its way: into the guest, or out of it."""


def template_of(tx: Tx, vm: Vm) -> Tree:
    """The VM's TEMPLATE, the caller's own copy; empty for a VM that has none any more."""
    text = tx.get(VmText, vm.oid)
    return tree_of(text.template).copy() if text is not None else Tree()


def keep(tx: Tx, vm: Vm, tree: Tree) -> None:
    """TREE is the VM's TEMPLATE from now on; one that is as before writes nothing."""
    text = tx.get(VmText, vm.oid)
    template = fragment(tree)
    if text is not None and text.template != template:
        tx.put(replace(text, template=template))


def keep_user(tx: Tx, vm: Vm, tree: Tree) -> None:
    """TREE is the VM's USER_TEMPLATE from now on."""
    text = tx.get(VmText, vm.oid)
    user = inner_xml(tree)
    if text is not None and text.user != user:
        tx.put(replace(text, user=user))


def unmarked(vector: Vector) -> Vector:
    """A DISK or NIC without the marks of an operation."""
    return {key: value for key, value in vector.items() if key not in MARKS}
