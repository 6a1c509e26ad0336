"""one.vm.attachsg, detachsg: which security groups a NIC of a VM is in.  No driver filters by them yet."""
from __future__ import annotations

from onecore.api import Request, method
from onecore.errors import BadArgument, WrongState
from onecore.kinds import verbs
from onecore.kinds.vm.allocate import use_of
from onecore.kinds.vm.edit import keep, template_of
from onecore.kinds.vm.fire import state_of
from onecore.kinds.vm.plug_nics import existing
from onecore.kinds.vm.public import S
from onecore.kinds.vm.record import Vm
from onecore.wire.template import Tree, Vector

NOT_IN = frozenset(s for s in S if s.name.startswith("BOOT")) | {S.MIGRATE, S.HOTPLUG_NIC, S.UNKNOWN}
"""States in which a NIC's groups are not changed: a guest is getting its networks, or nobody knows of it."""


@method("one.vm.attachsg", right="MANAGE", on="vm")
def attachsg(req: Request, vm: Vm, nic_id: int, secgroup_id: int) -> int:
    """Put a NIC into a security group."""
    tree, nic, groups = _groups(req, vm, nic_id)
    use_of(req, "secgroup", verbs.existing("secgroup", req.core, secgroup_id))
    if secgroup_id in groups:
        raise BadArgument(f"secgroup_id: NIC {nic_id} is in security group {secgroup_id} already", vm.oid)
    _keep(req, vm, tree, nic, [*groups, secgroup_id])
    return vm.oid


@method("one.vm.detachsg", right="MANAGE", on="vm")
def detachsg(req: Request, vm: Vm, nic_id: int, secgroup_id: int) -> int:
    """Take a NIC out of a security group."""
    tree, nic, groups = _groups(req, vm, nic_id)
    if secgroup_id not in groups:
        raise BadArgument(f"secgroup_id: NIC {nic_id} is not in security group {secgroup_id}, it is in "
                          f"{', '.join(map(str, groups)) or 'none'}", vm.oid)
    _keep(req, vm, tree, nic, [group for group in groups if group != secgroup_id])
    return vm.oid


def _groups(req: Request, vm: Vm, nic_id: int) -> tuple[Tree, Vector, list[int]]:
    state = state_of(vm)
    if state in NOT_IN:
        raise WrongState(f"the security groups of a NIC cannot be changed while VM {vm.oid} is in state {state.name}",
                         vm.oid)
    tree = template_of(req.tx, vm)
    nic = existing(tree, vm, nic_id)
    return tree, nic, [int(g) for g in nic.get("SECURITY_GROUPS", "").split(",") if g]


def _keep(req: Request, vm: Vm, tree: Tree, nic: Vector, groups: list[int]) -> None:
    nic["SECURITY_GROUPS"] = ",".join(map(str, groups))
    keep(req.tx, vm, tree)
    req.tx.log("vm", vm.oid, "update", keys=["SECURITY_GROUPS"])
