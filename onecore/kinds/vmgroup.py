"""VM groups: roles, and which VMs must, or must not, share a host.  Which VMs are in them is derived from the VMs.

What roles and rules mean is in wire/affinity.py; how VMs join and what their hosts are asked for in vm/affinity.py.
"""
from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import ClassVar

from onecore.api import Request, method
from onecore.errors import BadArgument, NotAllocated, WrongState
from onecore.kinds import verbs
from onecore.kinds.kind import (
    KINDS,
    MAX_ID,
    Kind,
    changing,
    check_name,
    inner_xml,
    lock_xml,
    new_perms,
    owner_xml,
    parse_template,
    permissions_xml,
    tree_of,
    whole,
)
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.wire import affinity, xmlbody
from onecore.wire.affinity import AFFINED, ANTI_AFFINED, POLICIES, Group
from onecore.wire.template import Tree, Vector
from onecore.wire.xmlrpc import escape_bytes

MAX_ROLES = 48
"""OpenNebula's."""
_KEYS = ("HOST_AFFINED", "HOST_ANTI_AFFINED", "NAME", "POLICY")
Role = dict[str, str]
"""What a role was given, and its ID; only what it has."""


@dataclass(frozen=True, slots=True)
class VmGroup(Record):
    """A VM group; `roles` is a JSON list of roles, `next_role` an id that none of them ever had."""

    TABLE: ClassVar[str] = "vmgroup_pool"
    KIND: ClassVar[str] = "vmgroup"
    oid: int
    uid: int
    gid: int
    name: str
    perms: int
    lock: str
    roles: str
    next_role: int
    template: bytes


def roles_of(group: VmGroup) -> list[Role]:
    """The roles, in the order of their ids."""
    found: list[Role] = json.loads(group.roles)
    return found


def group_of(group: VmGroup) -> Group:
    """The group as the value that says what it means."""
    return _value(group.oid, group.name, roles_of(group), tree_of(group.template))


def _value(oid: int, name: str, roles: list[Role], rules: Tree) -> Group:
    return Group(oid, name, tuple(
        affinity.Role(int(role["ID"]), role["NAME"], role.get("POLICY", affinity.NONE),
                      affinity.hosts(role.get("HOST_AFFINED", "")), affinity.hosts(role.get("HOST_ANTI_AFFINED", "")))
        for role in roles), _rules(rules, AFFINED), _rules(rules, ANTI_AFFINED))


def _rules(tree: Tree, word: str) -> tuple[frozenset[str], ...]:
    values = tree.all(word)
    if not all(isinstance(value, str) for value in values):
        raise NotAllocated(f"{word} must be names of roles with commas between them, not a vector")
    return tuple(affinity.rule(str(value)) for value in values if value)


# -- the VMs in it

def members(core: Core, oid: int, role: str) -> set[int]:
    """The VMs in a role."""
    found: set[int] = core.kinds["vmgroup.members"].of((oid, role))
    return found


def _used(core: Core, group: VmGroup) -> list[int]:
    return sorted(vm for role in roles_of(group) for vm in members(core, group.oid, role["NAME"]))


def _must_be_free(core: Core, group: VmGroup, what: str, role: Role | None = None) -> None:
    """Raise WrongState when VMs are in the group, or in ROLE."""
    used = _used(core, group) if role is None else sorted(members(core, group.oid, role["NAME"]))
    if used:
        whose = f"VM group {group.oid} ({group.name})" + (f", role {role['NAME']}," if role else "")
        raise WrongState(f"{whose} has VMs {', '.join(map(str, used[:10]))}: {what}", group.oid)


# -- what it looks like

def body(core: Core, group: VmGroup) -> list[bytes]:
    """<VM_GROUP>."""
    roles = "".join(_role_xml(core, group, role) for role in roles_of(group))
    return [escape_bytes(f"<VM_GROUP>{owner_xml(core, group)}{permissions_xml(group.perms)}{lock_xml(group)}"
                         f"<ROLES>{roles}</ROLES><TEMPLATE>"), group.template,
            b"&lt;/TEMPLATE&gt;&lt;/VM_GROUP&gt;"]


def _role_xml(core: Core, group: VmGroup, role: Role) -> str:
    vms = sorted(members(core, group.oid, role["NAME"]))
    shown = {**role, "VMS": ",".join(map(str, vms))}
    return "<ROLE>" + "".join(xmlbody.text(key, shown[key]) for key in sorted(shown) if shown[key]) + "</ROLE>"


# -- what it may be

def _role(given: object, number: int) -> Role:
    """A ROLE vector as a role; raises NotAllocated naming what is wrong in it."""
    if not isinstance(given, dict):
        raise NotAllocated(f"ROLE must be a vector, ROLE = [ NAME = … ], not {str(given)[:40]!r}")
    unknown = [key for key in given if key not in (*_KEYS, "ID", "VMS")]
    if unknown:
        raise NotAllocated(f"ROLE may hold {', '.join(_KEYS)}, not {unknown[0]}")
    role = {key: given[key].strip() for key in _KEYS if given.get(key, "").strip()}
    name = role.get("NAME", "")
    if not name or len(name) > 128 or any(c in name for c in ",\n\r\t"):
        raise NotAllocated(f"ROLE NAME must be 1 to 128 characters in one line without commas, not {name[:40]!r}")
    if role.get("POLICY", "").upper() not in ("", *POLICIES):
        raise NotAllocated(f"ROLE {name} POLICY must be one of {', '.join(POLICIES)}, not {role['POLICY'][:40]!r}")
    if "POLICY" in role:
        role["POLICY"] = role["POLICY"].upper()
    for key in ("HOST_AFFINED", "HOST_ANTI_AFFINED"):
        if key in role:
            role[key] = _host_list(f"ROLE {name} {key}", role[key])
    return {**role, "ID": str(number)}


def _host_list(what: str, text: str) -> str:
    found = [whole(part.strip(), 0, MAX_ID) for part in text.split(",")]
    if None in found:
        raise NotAllocated(f"{what} must be ids of hosts with commas between them, such as 0,3, not {text[:40]!r}")
    return ",".join(map(str, dict.fromkeys(found)))


def _check(roles: list[Role], rules: Tree, oid: int = -1, name: str = "") -> None:
    """Raise NotAllocated when roles and rules cannot be, naming what."""
    names = [role["NAME"] for role in roles]
    if not 1 <= len(roles) <= MAX_ROLES:
        raise NotAllocated(f"ROLE must be given 1 to {MAX_ROLES} times, not {len(roles)}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise NotAllocated(f"ROLE NAME {twice[0]} is given twice")
    wrong = affinity.conflict(_value(oid, name, roles, rules))
    if wrong:
        raise NotAllocated(wrong)


def _updated(req: Request, group: VmGroup, old: Tree, new: Tree) -> VmGroup:
    """Other rules: while no VM follows the old ones.  ROLEs have methods of their own and are not read here."""
    new.remove("ROLE")
    if any(_rules(old, word) != _rules(new, word) for word in (AFFINED, ANTI_AFFINED)):
        _must_be_free(req.core, group, f"{AFFINED} and {ANTI_AFFINED} cannot change")
        _check(roles_of(group), new)
    return group


VMGROUP = Kind("vmgroup", "VM_GROUP", VmGroup, "one.vmgroup", "one.vmgrouppool", body, lockable=True)
KINDS["vmgroup"] = VMGROUP
verbs.declare(VMGROUP, "info", "pool", "update", "rename", "chmod", "chown", "lock", "unlock", on_update=_updated)


# -- methods

@method("one.vmgroup.allocate")
def allocate(req: Request, template: str) -> int:
    """Make a group of NAME, ROLEs and the rules AFFINED and ANTI_AFFINED."""
    verbs.require_create(req, "vmgroup")
    tree = parse_template(template)
    rest = tree.without(["NAME", "ROLE"])
    roles = [_role(given, number) for number, given in enumerate(tree.all("ROLE"))]
    name, who = check_name(req.tx, req.core, VMGROUP, tree.get("NAME"), req.caller.uid), req.caller
    _check(roles, rest)
    oid = req.tx.next_id("vmgroup")
    req.tx.put(VmGroup(oid, who.uid, who.gid, name, new_perms(req.core, who), "", json.dumps(roles), len(roles),
                       inner_xml(rest)))
    req.tx.log("vmgroup", oid, "create", new=name)
    return oid


@method("one.vmgroup.delete", right="MANAGE", on="vmgroup")
def delete(req: Request, group: VmGroup) -> int:
    """Remove a group that no VM is in."""
    _must_be_free(req.core, group, "it cannot be deleted")
    verbs.remove(req.tx, VMGROUP, group)
    return group.oid


def _existing(group: VmGroup, role_id: int) -> Role:
    found = next((role for role in roles_of(group) if int(role["ID"]) == role_id), None)
    if found is None:
        ids = ", ".join(role["ID"] for role in roles_of(group))
        raise BadArgument(f"role_id must be that of a role of VM group {group.oid}, one of {ids}, not {role_id}",
                          group.oid)
    return found


def _given(template: str) -> Vector:
    """The one ROLE in a template, as a vector or as its attributes alone; raises NotAllocated."""
    tree = parse_template(template)
    found = tree.all("ROLE")
    if not found:
        return {key: value for key, value in tree if isinstance(value, str)}
    if len(found) > 1 or not isinstance(found[0], dict):
        raise NotAllocated("the template must hold ROLE = [ … ] once")
    return found[0]


def _keep(req: Request, group: VmGroup, roles: list[Role], next_role: int, key: str) -> int:
    with changing():
        _check(roles, tree_of(group.template))
    req.tx.put(replace(group, roles=json.dumps(roles), next_role=next_role))
    req.tx.log("vmgroup", group.oid, "update", keys=[key])
    return group.oid


@method("one.vmgroup.roleadd", right="MANAGE", on="vmgroup")
def roleadd(req: Request, group: VmGroup, template: str) -> int:
    """Add a role: TEMPLATE holds one ROLE."""
    with changing():
        role = _role(_given(template), group.next_role)
    return _keep(req, group, [*roles_of(group), role], group.next_role + 1, "ROLE_ADD")


@method("one.vmgroup.roledelete", right="MANAGE", on="vmgroup")
def roledelete(req: Request, group: VmGroup, role_id: int) -> int:
    """Remove a role that no VM is in and no rule names."""
    role = _existing(group, role_id)
    _must_be_free(req.core, group, "the role cannot be deleted", role)
    return _keep(req, group, [one for one in roles_of(group) if one != role], group.next_role, "ROLE_DELETE")


@method("one.vmgroup.roleupdate", right="MANAGE", on="vmgroup")
def roleupdate(req: Request, group: VmGroup, role_id: int, template: str) -> int:
    """Give a role that no VM is in other attributes; a NAME that is not given stays."""
    role = _existing(group, role_id)
    _must_be_free(req.core, group, "the role cannot change", role)
    with changing():
        changed = _role({"NAME": role["NAME"], **_given(template)}, role_id)
    return _keep(req, group, [changed if one == role else one for one in roles_of(group)], group.next_role,
                 "ROLE_UPDATE")
