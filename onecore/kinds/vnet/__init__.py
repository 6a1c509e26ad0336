"""Virtual networks: the kind and its methods."""
from __future__ import annotations

import re
from dataclasses import replace

from onecore.api import Request, method
from onecore.errors import BadArgument, NotAllocated
from onecore.kinds import restricted, verbs
from onecore.kinds.cluster import of_new
from onecore.kinds.kind import (
    KINDS,
    Kind,
    changing,
    check_name,
    identifier,
    inner_xml,
    new_perms,
    parse_template,
    tree_of,
    whole,
)
from onecore.kinds.secgroup import check_new
from onecore.kinds.vnet import ranges as ar
from onecore.kinds.vnet.body import body, pool_body
from onecore.kinds.vnet.leases import free, hold, ranges, release, used
from onecore.kinds.vnet.record import Lease, Range, Vnet, mac_text
from onecore.wire.states import VnetState
from onecore.wire.template import Tree, Vector

VNET = Kind("vnet", "VNET", Vnet, "one.vn", "one.vnpool", body, pool_body, lockable=True, classes=(Range, Lease))
KINDS["vnet"] = VNET
DRIVERS = ("bridge", "fw", "dummy")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}\Z")
_FIELDS = {"BRIDGE": "bridge", "PHYDEV": "phydev", "VLAN_ID": "vlan_id", "VN_MAD": "vn_mad"}


def _updated(req: Request, vnet: Vnet, old: Tree, new: Tree) -> Vnet:
    if "AR" in new:
        raise BadArgument("AR cannot be changed by update; use add_ar, update_ar and rm_ar", vnet.oid)
    known = Tree((key, getattr(vnet, field)) for key, field in _FIELDS.items() if getattr(vnet, field))
    restricted.keep(req, "vnet", known.merged(old.without(_FIELDS)), new, vnet.oid)
    fields = {field: new.get(key) for key, field in _FIELDS.items() if new.get(key)}
    if used(req.core, vnet.oid) and any(getattr(vnet, f) != v for f, v in fields.items()):
        raise BadArgument(f"{', '.join(_FIELDS)} cannot change while addresses of network {vnet.oid} are in use",
                          vnet.oid)
    _check(new, fields.get("vn_mad", vnet.vn_mad))
    check_new(req, old.get("SECURITY_GROUPS"), new.get("SECURITY_GROUPS"))
    return replace(vnet, **fields)  # type: ignore[arg-type]


verbs.declare(VNET, "info", "pool", "update", "rename", "chmod", "chown", "lock", "unlock", on_update=_updated)


def _check(tree: Tree, driver: str) -> None:
    if driver not in DRIVERS:
        raise NotAllocated(f"VN_MAD must be one of {', '.join(DRIVERS)}, not {driver[:40]!r}")
    for key in ("BRIDGE", "PHYDEV"):
        if tree.get(key) and not _INTERFACE.match(tree.get(key)):
            raise NotAllocated(f"{key} must be the name of a network interface of at most 15 characters, "
                               f"not {tree.get(key)[:40]!r}")
    if tree.get("VLAN_ID") and whole(tree.get("VLAN_ID"), 0, 2**24 - 1) is None:
        raise NotAllocated(f"VLAN_ID must be a number from 0 to {2**24 - 1}, not {tree.get('VLAN_ID')[:40]!r}")


@method("one.vn.allocate")
def allocate(req: Request, template: str, cluster_id: int = -1) -> int:
    """Make a network: NAME, VN_MAD, usually BRIDGE and one AR or more."""
    verbs.require_create(req, "vnet")
    tree = parse_template(template)
    _check(tree, tree.get("VN_MAD"))
    cid = of_new(req, cluster_id)
    name = check_name(req.tx, req.core, VNET, tree.get("NAME"), req.caller.uid)
    oid = req.tx.next_id("vnet")
    bridge = tree.get("BRIDGE") or f"onebr{oid}"
    kept = tree.without(["NAME", "AR"])
    kept.set("BRIDGE", bridge)
    if not kept.get("SECURITY_GROUPS"):
        kept.set("SECURITY_GROUPS", "0")
    check_new(req, "0", kept.get("SECURITY_GROUPS"))
    vnet = Vnet(oid, req.caller.uid, req.caller.gid, name, new_perms(req.core, req.caller), "", int(VnetState.READY),
                int(VnetState.INIT), str(cid), tree.get("VN_MAD"), bridge, tree.get("PHYDEV"), tree.get("VLAN_ID"), 0,
                inner_xml(kept))
    for given in _vectors(tree, "AR"):
        vnet = _add(req, vnet, given)
    req.tx.put(vnet)
    req.tx.log("vnet", oid, "create", new=name)
    return oid


def _add(req: Request, vnet: Vnet, given: Vector) -> Vnet:
    req.tx.put(ar.make(req.core, vnet.oid, vnet.next_ar, given, ranges(req.core, vnet.oid)))
    return replace(vnet, next_ar=vnet.next_ar + 1)


@method("one.vn.delete", right="MANAGE", on="vnet")
def delete(req: Request, vnet: Vnet) -> int:
    """Remove a network of which no address is in use."""
    if used(req.core, vnet.oid):
        raise BadArgument("Can not remove a virtual network with leases in use: "
                          f"{used(req.core, vnet.oid)} of VNET {vnet.oid}", vnet.oid)
    for found in ranges(req.core, vnet.oid):
        req.tx.delete(found)
    verbs.remove(req.tx, VNET, vnet)
    return vnet.oid


def _vectors(tree: Tree, name: str) -> list[Vector]:
    if len(found := tree.vectors(name)) < len(tree.all(name)):
        raise NotAllocated(f"{name} must be a vector, {name} = [ … ]")
    return found


def _given(template: str, name: str) -> list[Vector]:
    found = _vectors(parse_template(template), name)
    if not found:
        raise NotAllocated(f"the template must hold {name} = [ … ]")
    return found


@method("one.vn.add_ar", right="ADMIN", on="vnet")
def add_ar(req: Request, vnet: Vnet, template: str) -> int:
    """Add address ranges; not to a reservation, which has only parts of its parent's."""
    if vnet.parent >= 0:
        raise BadArgument(f"virtual network {vnet.oid} is a reservation from network {vnet.parent}; "
                          "one.vn.reserve adds addresses to it", vnet.oid)
    with changing():
        for given in _given(template, "AR"):
            vnet = _add(req, vnet, given)
    req.tx.put(vnet)
    req.tx.log("vnet", vnet.oid, "update", keys=["AR"])
    return vnet.oid


def range_of(req: Request, vnet: Vnet, ar_id: int) -> Range:
    """A range of a network; raises BadArgument when there is none of that id."""
    found = req.core.store.get(Range, (vnet.oid, ar_id))
    if found is None:
        raise BadArgument(f"virtual network {vnet.oid} has no address range {ar_id}", vnet.oid)
    return found


@method("one.vn.rm_ar", right="ADMIN", on="vnet")
def rm_ar(req: Request, vnet: Vnet, ar_id: int, force: bool = False) -> int:
    """Remove an address range; with FORCE also when addresses are on hold, never when a VM has one."""
    found = range_of(req, vnet, ar_id)
    if found.parent >= 0:
        raise BadArgument(f"address range {ar_id} of network {vnet.oid} is reserved from network {found.parent}; "
                          "one.vn.free_ar gives it back", vnet.oid)
    if kept := free(req.core).reserved.of(vnet.oid, ar_id):
        raise BadArgument(f"address range {ar_id} of network {vnet.oid} has addresses that network {kept[0].vnet} "
                          "reserved; free them first", vnet.oid)
    taken = dict(free(req.core).taken(vnet.oid, ar_id))
    if taken and (not force or any(lease.vm >= 0 for lease in taken.values())):
        raise BadArgument(f"address range {ar_id} of network {vnet.oid} has {len(taken)} addresses in use", vnet.oid)
    for lease in taken.values():
        req.tx.delete(lease)
    req.tx.delete(found)
    req.tx.log("vnet", vnet.oid, "update", keys=["AR"])
    return vnet.oid


@method("one.vn.update_ar", right="MANAGE", on="vnet")
def update_ar(req: Request, vnet: Vnet, template: str) -> int:
    """Change address ranges: AR = [AR_ID = n, …]; addresses in use stay in the range."""
    with changing():
        for given in _given(template, "AR"):
            _update_range(req, vnet, given)
    req.tx.log("vnet", vnet.oid, "update", keys=["AR"])
    return vnet.oid


def _update_range(req: Request, vnet: Vnet, given: Vector) -> None:
    found = range_of(req, vnet, identifier(given.get("AR_ID", ""), "AR AR_ID"))
    current = {"TYPE": found.type, "SIZE": str(found.size), "MAC": mac_text(found.mac), "IP": found.ip,
               "IP6": found.ip6, "GLOBAL_PREFIX": found.global_prefix, "ULA_PREFIX": found.ula_prefix,
               "PREFIX_LENGTH": found.prefix_length, **{k: v for k, v in tree_of(found.attrs) if isinstance(v, str)}}
    changed = {k: v for k, v in given.items() if k not in ("TYPE", "IP", "IP6", "MAC", "AR_ID")}
    restricted.check_changed(req, "vnet", "AR", current, {**current, **changed}, vnet.oid)
    made = ar.make(req.core, vnet.oid, found.ar, {**current, **changed}, ranges(req.core, vnet.oid))
    made = replace(made, parent=found.parent, parent_ar=found.parent_ar, parent_idx=found.parent_idx)
    if found.parent >= 0 and made != replace(found, attrs=made.attrs):
        raise BadArgument(f"address range {found.ar} of network {vnet.oid} is reserved from network {found.parent}: "
                          "SIZE, GLOBAL_PREFIX, ULA_PREFIX and PREFIX_LENGTH are those of its parent", vnet.oid)
    last = free(req.core).last(found)
    if last >= made.size:
        raise BadArgument(f"AR SIZE {made.size} is too small: address {last} is in use", vnet.oid)
    if last >= 0 and (made.global_prefix, made.ula_prefix) != (found.global_prefix, found.ula_prefix):
        raise BadArgument(f"AR prefixes of range {found.ar} cannot change while its addresses are in use", vnet.oid)
    req.tx.put(made)


@method("one.vn.hold", right="MANAGE", on="vnet")
def hold_lease(req: Request, vnet: Vnet, template: str) -> int:
    """Keep addresses from being given: LEASES = [IP = …]."""
    with changing():
        for given in _given(template, "LEASES"):
            hold(req.tx, req.core, vnet, given)
    req.tx.log("vnet", vnet.oid, "update", keys=["LEASES"])
    return vnet.oid


@method("one.vn.release", right="MANAGE", on="vnet")
def release_lease(req: Request, vnet: Vnet, template: str) -> int:
    """Let go of held addresses: LEASES = [IP = …]."""
    with changing():
        for given in _given(template, "LEASES"):
            release(req.tx, req.core, vnet, given)
    req.tx.log("vnet", vnet.oid, "update", keys=["LEASES"])
    return vnet.oid
