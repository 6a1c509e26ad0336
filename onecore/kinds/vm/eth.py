"""What the guest is told of its interfaces: ETHn_* and ETHn_ALIASm_* of CONTEXT, from NICs and their networks."""
from __future__ import annotations

import ipaddress
from typing import Any

from onecore.kinds.kind import KINDS, tree_of
from onecore.lifecycle.core import Core
from onecore.wire.template import Tree, Vector

_OF_NIC = (("IP", "IP"), ("IP6", "IP6"), ("IP6_GLOBAL", "IP6"), ("IP6_ULA", "IP6_ULA"),
           ("PREFIX_LENGTH", "IP6_PREFIX_LENGTH"), ("VLAN_ID", "VLAN_ID"))
_NETWORK_KEYS = {"NETWORK_ADDRESS": "NETWORK", "NETWORK_MASK": "MASK", "GATEWAY": "GATEWAY", "GATEWAY6": "IP6_GATEWAY",
                 "DNS": "DNS", "SEARCH_DOMAIN": "SEARCH_DOMAIN", "GUEST_MTU": "MTU", "METRIC": "METRIC",
                 "IP6_METRIC": "IP6_METRIC", "METHOD": "METHOD", "IP6_METHOD": "IP6_METHOD"}


def interfaces(tree: Tree) -> list[Vector]:
    """The NICs of a TEMPLATE, then the aliases."""
    return [*tree.vectors("NIC"), *tree.vectors("NIC_ALIAS")]


def is_alias(nic: Vector) -> bool:
    """Whether it is another address of a NIC."""
    return "PARENT_ID" in nic


def add(core: Core, tree: Tree, nic: Vector) -> None:
    """Tell the guest of NIC, or of an alias, if its context tells of networks."""
    context = tree.vector("CONTEXT")
    if context is not None and _tells(context):
        context.update(variables(core, nic))


def drop(context: Vector, nic: Vector) -> None:
    """Take out of a CONTEXT all that is about NIC, its aliases too."""
    for key in [key for key in context if key.startswith(_prefix(nic))]:
        del context[key]


def swap(core: Core, tree: Tree, old: Vector, new: Vector) -> None:
    """NIC OLD is NEW now; variables that the user added about it stay."""
    context = tree.vector("CONTEXT")
    if context is not None and _tells(context):
        for key in variables(core, old):
            context.pop(key, None)
        context.update(variables(core, new))


def variables(core: Core, nic: Vector) -> dict[str, str]:
    """ETHn_* of a NIC, ETHn_ALIASm_* of an alias: what the NIC says itself goes before what its network says."""
    prefix = _prefix(nic)
    vnet: Any = KINDS["vnet"].find(core, int(nic["NETWORK_ID"]))
    settings = tree_of(vnet.template)
    out = {prefix + "MAC": nic["MAC"]}
    for key, short in _OF_NIC:
        if nic.get(key):
            out[prefix + short] = nic[key]
    for key, short in _NETWORK_KEYS.items():
        value = nic.get(key) or settings.get(key)
        if value:
            out[prefix + short] = value
    if nic.get("IP"):
        out.setdefault(prefix + "MASK", "255.255.255.0")
        if prefix + "NETWORK" not in out:
            out[prefix + "NETWORK"] = _network(nic["IP"], out[prefix + "MASK"])
    return out


def _tells(context: Vector) -> bool:
    return context.get("NETWORK", "").upper() == "YES"


def _prefix(nic: Vector) -> str:
    return f"ETH{nic['PARENT_ID']}_ALIAS{nic['ALIAS_ID']}_" if is_alias(nic) else f"ETH{nic['NIC_ID']}_"


def _network(ip: str, mask: str) -> str:
    """The first address of a network, "" when MASK is none."""
    try:
        return str(ipaddress.IPv4Interface(f"{ip}/{mask}").network.network_address)
    except ValueError:
        return ""
