"""The NIC vectors of a new VM: networks found, addresses leased."""
from __future__ import annotations

from typing import Any

from onecore.api import Request
from onecore.errors import NoExists, NotAllocated
from onecore.kinds.kind import KINDS, identifier, named, tree_of
from onecore.kinds.vm.disks import owner
from onecore.kinds.vnet import leases
from onecore.kinds.vnet.record import Vnet
from onecore.wire.template import Tree, Vector

MAX_NICS = 32
_FROM_NETWORK = ("MTU", "GUEST_MTU", "FILTER", "FILTER_IP_SPOOFING", "FILTER_MAC_SPOOFING", "INBOUND_AVG_BW",
                 "INBOUND_PEAK_BW",
                 "INBOUND_PEAK_KB", "OUTBOUND_AVG_BW", "OUTBOUND_PEAK_BW", "OUTBOUND_PEAK_KB", "CONF")


def resolve(req: Request, tree: Tree, oid: int) -> list[int]:
    """Complete each NIC in TREE with its network's settings and an address; returns the networks' ids."""
    networks = []
    given = tree.vectors("NIC")
    if len(given) > MAX_NICS:
        raise NotAllocated(f"NIC may be given {MAX_NICS} times, not {len(given)}")
    for number, nic in enumerate(given):
        if nic.get("NETWORK_MODE", "").lower() == "auto":
            raise NotAllocated("NIC NETWORK_MODE=auto is not supported yet; name a NETWORK or NETWORK_ID")
        vnet = find_network(req, nic)
        _complete(req, nic, vnet, oid, number, tree.vector("NIC_DEFAULT") or {})
        networks.append(vnet.oid)
    return networks


def find_network(req: Request, nic: Vector) -> Vnet:
    """The network that NETWORK_ID, or NETWORK with NETWORK_UID or NETWORK_UNAME, names; raises NoExists, Forbidden."""
    from onecore.kinds.vm.allocate import use_of
    vnet: Any
    if nic.get("NETWORK_ID"):
        vnet = KINDS["vnet"].find(req.core, identifier(nic["NETWORK_ID"], "NIC NETWORK_ID"))
    elif nic.get("NETWORK"):
        uid = owner(req, nic, "NETWORK")
        vnet = named(req.core, KINDS["vnet"], nic["NETWORK"], uid)
        if vnet is None:
            raise NoExists(f"User {uid} does not own a network with name: {nic['NETWORK']}. "
                           "Set NETWORK_UNAME or NETWORK_UID of owner in NIC.")
    else:
        raise NotAllocated("NIC must name a NETWORK or NETWORK_ID")
    use_of(req, "vnet", vnet)
    found: Vnet = vnet
    return found


def _complete(req: Request, nic: Vector, vnet: Vnet, oid: int, number: int, default: Vector) -> None:
    found, given = leases.give(req.tx, req.core, vnet, oid, number, nic)
    for key, value in default.items():
        nic.setdefault(key, value)
    nic.update({"NETWORK": vnet.name, "NETWORK_ID": str(vnet.oid), "AR_ID": str(found.ar), "NIC_ID": str(number),
                "BRIDGE": vnet.bridge, "BRIDGE_TYPE": "linux", "VN_MAD": vnet.vn_mad,
                "TARGET": nic.get("TARGET") or f"one-{oid}-{number}",
                **given})
    for key, value in (("PHYDEV", vnet.phydev), ("VLAN_ID", vnet.vlan_id), ("PREFIX_LENGTH", found.prefix_length)):
        if value:
            nic[key] = value
    settings = tree_of(vnet.template)
    for key in _FROM_NETWORK:
        if settings.get(key):
            nic.setdefault(key, settings.get(key))
    nic.setdefault("MODEL", req.core.config.defaults.nic_model)
    nic.setdefault("NAME", f"NIC{number}")
    nic.setdefault("SECURITY_GROUPS", settings.get("SECURITY_GROUPS") or "0")
