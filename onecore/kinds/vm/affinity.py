"""VMs in VM groups: how they join and leave, and what their group says of a host that is asked for."""
from __future__ import annotations

from typing import Any

from onecore.api import Request, method
from onecore.errors import BadArgument, NoExists, NotAllocated, WrongState
from onecore.kinds import verbs
from onecore.kinds.host.record import Host
from onecore.kinds.kind import KINDS, identifier, named
from onecore.kinds.vm.disks import owner
from onecore.kinds.vm.edit import keep, template_of
from onecore.kinds.vm.record import Vm, VmText, membership
from onecore.kinds.vmgroup import VmGroup, group_of, members, roles_of
from onecore.lifecycle.core import Core
from onecore.wire.affinity import Place, Ruling, ruling
from onecore.wire.template import Tree


def resolve(req: Request, tree: Tree) -> None:
    """Make VMGROUP in TREE, if it is there, what a VM has: ids checked, the role too, the caller let use the group."""
    given = tree.vector("VMGROUP")
    if not given:
        tree.remove("VMGROUP")
        return
    group = _find(req, given)
    tree.set("VMGROUP", _vector(req, group, given.get("ROLE", "").strip(), "VMGROUP ROLE"))


def _find(req: Request, given: dict[str, str]) -> VmGroup:
    """The group that VMGROUP_ID, or VMGROUP_NAME with VMGROUP_UID or VMGROUP_UNAME, names."""
    name = given.get("VMGROUP_NAME") or given.get("VMGROUP", "")
    found: Any
    if given.get("VMGROUP_ID"):
        found = KINDS["vmgroup"].find(req.core, identifier(given["VMGROUP_ID"], "VMGROUP VMGROUP_ID"))
    elif name:
        uid = owner(req, given, "VMGROUP")
        found = named(req.core, KINDS["vmgroup"], name, uid)
        if found is None:
            raise NoExists(f"User {uid} does not own a VM group with name: {name}. "
                           "Set VMGROUP_UNAME or VMGROUP_UID of owner in VMGROUP.")
    else:
        raise NotAllocated("VMGROUP must hold VMGROUP_ID or VMGROUP_NAME, and ROLE")
    group: VmGroup = found
    return group


def _vector(req: Request, group: VmGroup, role: str, field: str) -> dict[str, str]:
    from onecore.kinds.vm.allocate import use_of
    use_of(req, "vmgroup", group)
    names = [one["NAME"] for one in roles_of(group)]
    if role not in names:
        raise NotAllocated(f"{field} must be a role of VM group {group.oid} ({group.name}), one of "
                           f"{', '.join(names)}, not {role[:40]!r}")
    return {"ROLE": role, "VMGROUP_ID": str(group.oid)}


def of(core: Core, vm: Vm) -> tuple[int, str] | None:
    """(group, role) of a VM."""
    text = core.store.get(VmText, vm.oid)
    found = membership(text.template) if text is not None else ()
    return found[0] if found else None


def check(core: Core, vm: Vm, host: Host) -> None:
    """Raise WrongState when the VM's group does not let it be on HOST, naming group and role."""
    found = of(core, vm)
    why = rule(core, vm, *found).against(host.oid) if found else ""
    if why:
        raise WrongState(f"VM {vm.oid} may not be on host {host.oid} ({host.name}): {why}", vm.oid)


def rule(core: Core, vm: Vm, gid: int, role: str) -> Ruling:
    """What the group says of a VM's hosts."""
    group = group_of(verbs.existing("vmgroup", core, gid))
    places = {one.name: {vid: _place(core, vid) for vid in members(core, gid, one.name)} for one in group.roles}
    return ruling(group, role, places, vm.oid)


def _place(core: Core, vid: int) -> Place:
    """Where a VM is; one that is marked to be moved stays nowhere, until it goes somewhere."""
    vm = core.store.get(Vm, vid)
    if vm is None:
        return Place(vid)
    stays = vm.to_hid if vm.to_hid >= 0 else -1 if vm.resched else vm.hid
    return Place(vid, tuple(hid for hid in dict.fromkeys((vm.hid, vm.to_hid)) if hid >= 0), stays)


@method("one.vm.vmgroupadd", right="MANAGE", on="vm")
def vmgroupadd(req: Request, vm: Vm, vmgroup_id: int, role: str) -> int:
    """Put a VM that is in no group into a role of one; where it is now must be as the group says."""
    mine = of(req.core, vm)
    if mine is not None:
        raise BadArgument(f"VM {vm.oid} is in VM group {mine[0]} already, role {mine[1]}", vm.oid)
    group: VmGroup = verbs.existing("vmgroup", req.core, vmgroup_id)
    try:
        vector = _vector(req, group, role, "role")
    except NotAllocated as error:
        raise BadArgument(error.text, vm.oid) from None
    ruling = rule(req.core, vm, group.oid, role)
    for hid in (hid for hid in (vm.hid, vm.to_hid) if hid >= 0):
        why = ruling.against(hid)
        if why:
            raise WrongState(f"VM {vm.oid} is on host {hid}, and {why}", vm.oid)
    return _keep(req, vm, vector)


@method("one.vm.vmgroupdel", right="MANAGE", on="vm")
def vmgroupdel(req: Request, vm: Vm) -> int:
    """Take a VM out of its group."""
    if of(req.core, vm) is None:
        raise BadArgument(f"VM {vm.oid} is in no VM group", vm.oid)
    return _keep(req, vm, {})


def _keep(req: Request, vm: Vm, vector: dict[str, str]) -> int:
    tree = template_of(req.tx, vm)
    tree.remove("VMGROUP")
    if vector:
        tree.add("VMGROUP", vector)
    keep(req.tx, vm, tree)
    req.tx.log("vm", vm.oid, "update", keys=["VMGROUP"])
    return vm.oid
