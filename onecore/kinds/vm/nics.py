"""NICs and their aliases as a VM's TEMPLATE holds them: networks found, addresses leased, ids and names given."""
from __future__ import annotations

from typing import Any

from onecore.api import Request
from onecore.errors import NoExists, NotAllocated
from onecore.kinds.kind import KINDS, identifier, named, tree_of, whole
from onecore.kinds.secgroup import of_nic
from onecore.kinds.vm.disks import owner
from onecore.kinds.vm.edit import MARKS
from onecore.kinds.vm.eth import interfaces
from onecore.kinds.vnet import leases
from onecore.kinds.vnet.record import Vnet
from onecore.wire.template import Tree, Vector

MAX_NICS, MAX_ALIASES = 32, 64
BANDWIDTH = tuple(f"{way}_{what}" for way in ("INBOUND", "OUTBOUND") for what in ("AVG_BW", "PEAK_BW", "PEAK_KB"))
FROM_NETWORK = ("MTU", "GUEST_MTU", "FILTER", "FILTER_IP_SPOOFING", "FILTER_MAC_SPOOFING", *BANDWIDTH, "CONF")
"""What a NIC that does not say it has from its network."""
_OURS = ("NIC_ID", "PARENT_ID", "ALIAS_ID", "ALIAS_IDS", *MARKS)
_NUMBERS = {**dict.fromkeys(BANDWIDTH, (0, 2**31 - 1)), "GUEST_MTU": (68, 65535), "VIRTIO_QUEUES": (1, 256)}
_WORDS = {"FILTER_IP_SPOOFING": ("YES", "NO"), "FILTER_MAC_SPOOFING": ("YES", "NO"), "LINK_STATE": ("UP", "DOWN")}


def resolve(req: Request, tree: Tree, oid: int) -> list[int]:
    """Complete each NIC and NIC_ALIAS in TREE with its network's settings and an address; the networks' ids."""
    nics, aliases = tree.vectors("NIC"), tree.vectors("NIC_ALIAS")
    for name, given, most in (("NIC", nics, MAX_NICS), ("NIC_ALIAS", aliases, MAX_ALIASES)):
        if len(given) > most:
            raise NotAllocated(f"{name} may be given {most} times, not {len(given)}")
    networks = [complete(req, tree, nic, oid, number) for number, nic in enumerate(nics)]
    return networks + [complete_alias(req, tree, alias, oid, number) for number, alias in enumerate(aliases, len(nics))]


def next_id(tree: Tree) -> int:
    """The id of the next NIC or alias."""
    return 1 + max((int(nic["NIC_ID"]) for nic in interfaces(tree)), default=-1)


def complete(req: Request, tree: Tree, nic: Vector, oid: int, number: int) -> int:
    """Make NIC what the VM has as its NIC NUMBER; leases an address.  The network's id."""
    vnet = _join(req, "NIC", nic, oid, number, tree.vector("NIC_DEFAULT") or {})
    nic["TARGET"] = nic.get("TARGET") or f"one-{oid}-{number}"
    nic.setdefault("MODEL", req.core.config.defaults.nic_model)
    nic.setdefault("NAME", f"NIC{number}")
    _check_name(tree, "NIC", nic)
    return vnet


def complete_alias(req: Request, tree: Tree, alias: Vector, oid: int, number: int) -> int:
    """As complete, for another address of the NIC whose NAME is PARENT."""
    nics = tree.vectors("NIC")
    parent = next((nic for nic in nics if nic.get("NAME") == alias.get("PARENT")), None)
    if parent is None:
        raise NotAllocated(f"NIC_ALIAS PARENT must be the NAME of a NIC of the VM, one of "
                           f"{', '.join(nic.get('NAME', '') for nic in nics) or 'none'}, "
                           f"not {alias.get('PARENT', '')[:60]!r}")
    vnet = _join(req, "NIC_ALIAS", alias, oid, number, {})
    siblings = [other for other in tree.vectors("NIC_ALIAS") if other.get("PARENT_ID") == parent["NIC_ID"]]
    place = 1 + max((int(other["ALIAS_ID"]) for other in siblings), default=-1)
    alias.update({"PARENT_ID": parent["NIC_ID"], "ALIAS_ID": str(place)})
    alias.setdefault("NAME", f"{parent['NAME']}_ALIAS{place}")
    _check_name(tree, "NIC_ALIAS", alias)
    parent["ALIAS_IDS"] = ",".join(filter(None, (parent.get("ALIAS_IDS"), str(number))))
    return vnet


def find_network(req: Request, nic: Vector, name: str = "NIC") -> Vnet:
    """The network that NETWORK_ID, or NETWORK with NETWORK_UID or NETWORK_UNAME, names; raises NoExists, Forbidden."""
    from onecore.kinds.vm.allocate import use_of
    vnet: Any
    if nic.get("NETWORK_ID"):
        vnet = KINDS["vnet"].find(req.core, identifier(nic["NETWORK_ID"], f"{name} NETWORK_ID"))
    elif nic.get("NETWORK"):
        uid = owner(req, nic, "NETWORK")
        vnet = named(req.core, KINDS["vnet"], nic["NETWORK"], uid)
        if vnet is None:
            raise NoExists(f"User {uid} does not own a network with name: {nic['NETWORK']}. "
                           f"Set NETWORK_UNAME or NETWORK_UID of owner in {name}.")
    else:
        raise NotAllocated(f"{name} must name a NETWORK or NETWORK_ID")
    use_of(req, "vnet", vnet)
    found: Vnet = vnet
    return found


def check_values(nic: Vector, name: str = "NIC") -> None:
    """Raise NotAllocated when a number or word of a NIC is none, naming it."""
    for key, (least, most) in _NUMBERS.items():
        if nic.get(key) and whole(nic[key], least, most) is None:
            raise NotAllocated(f"{name} {key} must be a whole number from {least} to {most}, not {nic[key][:40]!r}")
    for key, words in _WORDS.items():
        if nic.get(key) and nic[key].upper() not in words:
            raise NotAllocated(f"{name} {key} must be {' or '.join(words)}, not {nic[key][:40]!r}")


def _check_name(tree: Tree, kind: str, nic: Vector) -> None:
    """Raise NotAllocated when another NIC or alias has the name: PARENT would mean either."""
    if any(other.get("NAME") == nic["NAME"] for other in interfaces(tree) if other is not nic):
        raise NotAllocated(f"{kind} NAME {nic['NAME'][:60]!r} is that of another NIC of the VM")


def _join(req: Request, name: str, nic: Vector, oid: int, number: int, default: Vector) -> int:
    """What NICs and aliases have in common: the network, an address in it, its settings."""
    if nic.get("NETWORK_MODE", "").lower() == "auto":
        raise NotAllocated(f"{name} NETWORK_MODE=auto is not supported yet; name a NETWORK or NETWORK_ID")
    for key in _OURS:
        nic.pop(key, None)
    vnet = find_network(req, nic, name)
    found, given = leases.give(req.tx, req.core, vnet, oid, number, nic)
    for key, value in default.items():
        nic.setdefault(key, value)
    nic.update({"NETWORK": vnet.name, "NETWORK_ID": str(vnet.oid), "AR_ID": str(found.ar), "NIC_ID": str(number),
                "BRIDGE": vnet.bridge, "BRIDGE_TYPE": "linux", "VN_MAD": vnet.vn_mad, **given})
    for key, value in (("PHYDEV", vnet.phydev), ("VLAN_ID", vnet.vlan_id), ("PREFIX_LENGTH", found.prefix_length)):
        if value:
            nic[key] = value
    settings = tree_of(vnet.template)
    for key in FROM_NETWORK:
        if settings.get(key):
            nic.setdefault(key, settings.get(key))
    nic["SECURITY_GROUPS"] = of_nic(req, nic.get("SECURITY_GROUPS", ""), settings.get("SECURITY_GROUPS"))
    check_values(nic, name)
    return vnet.oid
