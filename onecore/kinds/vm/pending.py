"""What an operation under way makes different in what drivers are told of a VM: what leaves the guest, its new size."""
from __future__ import annotations

from onecore.kinds.vm import eth
from onecore.kinds.vm.edit import unmarked
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.resize_effects import wanted
from onecore.kinds.vm.size import Size
from onecore.wire.states import Lcm, VmState
from onecore.wire.template import Tree, Vector


def without_leaving(vm: Vm, tree: Tree) -> Tree:
    """TREE without the NIC that leaves the guest, its aliases, and what CONTEXT says of them."""
    if vm.state != VmState.ACTIVE or vm.lcm != Lcm.HOTPLUG_NIC:
        return tree
    stays = tree.copy()
    context = stays.vector("CONTEXT")
    for nic in [nic for nic in eth.interfaces(stays) if "DETACH" in nic]:
        stays.pairs = [pair for pair in stays.pairs if pair[1] is not nic]
        if context is not None:
            eth.drop(context, nic)
    return stays


def leaving(tree: Tree, number: int) -> Vector:
    """The NIC or alias of that id as it was, for a driver that takes it out; empty when there is none."""
    return next((unmarked(nic) for nic in eth.interfaces(tree) if nic["NIC_ID"] == str(number)), {})


def size(vm: Vm, tree: Tree) -> Size:
    """What the guest has, or is given by the resize under way."""
    return wanted(vm) or Size(vm.cpu, int(tree.get("VCPU", "1") or 1), vm.memory)
