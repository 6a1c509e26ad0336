"""CONTEXT of a new VM: $VARIABLES replaced, ETHx_* from the leases, what the guest reads from its CD."""
from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from onecore.api import Request
from onecore.errors import NotAllocated
from onecore.kinds.kind import KINDS, named, tree_of
from onecore.wire.states import ImageType
from onecore.wire.template import Tree, Vector

_VARIABLE = re.compile(r"\$(?:(?P<vector>[A-Z_]+)\[(?P<inner>[^\]]*)\]|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\$)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_OBJECTS = {"NETWORK": ("vnet", "NETWORK_ID"), "IMAGE": ("image", "IMAGE_ID")}
"""Where $NETWORK[KEY] and $IMAGE[KEY] look for what the NIC or DISK does not say."""
_NETWORK_KEYS = {"NETWORK_ADDRESS": "NETWORK", "NETWORK_MASK": "MASK", "GATEWAY": "GATEWAY", "GATEWAY6": "IP6_GATEWAY",
                 "DNS": "DNS",
                 "SEARCH_DOMAIN": "SEARCH_DOMAIN", "GUEST_MTU": "MTU", "METRIC": "METRIC", "IP6_METRIC": "IP6_METRIC",
                 "METHOD": "METHOD", "IP6_METHOD": "IP6_METHOD"}


def build(req: Request, tree: Tree, oid: int, name: str, disk_id: int) -> None:
    """Complete CONTEXT in TREE, if there is one; the CD gets DISK_ID."""
    context = tree.vector("CONTEXT")
    if context is None:
        return
    for key in context:
        if not _NAME.match(key):
            raise NotAllocated(f"CONTEXT: {key} is not a name that a shell can hold")
    target = context.pop("TARGET", "hda")
    for key, value in list(context.items()):
        context[key] = _VARIABLE.sub(lambda m, v=value: _replace(req, tree, oid, name, m), value)  # type: ignore[misc]
    if context.get("NETWORK", "").upper() == "YES":
        for nic in tree.vectors("NIC"):
            context.update(_interface(req, nic))
    if context.get("FILES_DS"):
        context["_FILES_DS"] = json.dumps(_files(req, context["FILES_DS"]))
    context["DISK_ID"], context["TARGET"] = str(disk_id), target


def _replace(req: Request, tree: Tree, oid: int, name: str, found: re.Match[str]) -> str:
    if found.group("name"):
        known = {"VMID": str(oid), "NAME": name, "UID": str(req.caller.uid), "UNAME": req.caller.name,
                 "GID": str(req.caller.gid)}
        key = found.group("name").upper()
        return known.get(key) or tree.get(key)
    if not found.group("vector"):
        return "$"
    return _lookup(req, tree, found.group("vector"), found.group("inner"))


def _lookup(req: Request, tree: Tree, vector: str, inner: str) -> str:
    key, *conditions = [part.strip() for part in inner.split(",")]
    wanted = dict(part.replace('"', "").replace(" ", "").split("=", 1) for part in conditions if "=" in part)
    user: Any = KINDS["user"].find(req.core, req.caller.uid)
    if vector == "USER":
        return tree_of(user.template).get(key)
    if vector == "TEMPLATE":
        return tree.get(key)
    for item in tree.vectors("DISK" if vector == "IMAGE" else "NIC" if vector == "NETWORK" else vector):
        if all(item.get(k) == v for k, v in wanted.items()):
            kind, named_by = _OBJECTS.get(vector, ("", ""))
            if kind and key not in item and item.get(named_by):
                found: Any = KINDS[kind].find(req.core, int(item[named_by]))
                return tree_of(found.template).get(key)
            return item.get(key, "")
    return ""


def _interface(req: Request, nic: Vector) -> dict[str, str]:
    prefix = f"ETH{nic['NIC_ID']}_"
    vnet: Any = KINDS["vnet"].find(req.core, int(nic["NETWORK_ID"]))
    settings = tree_of(vnet.template)
    out = {prefix + "MAC": nic["MAC"]}
    for key, short in (("IP", "IP"), ("IP6", "IP6"), ("IP6_GLOBAL", "IP6"), ("IP6_ULA", "IP6_ULA"),
                       ("VLAN_ID", "VLAN_ID")):
        if nic.get(key):
            out[prefix + short] = nic[key]
    for key, short in _NETWORK_KEYS.items():
        value = nic.get(key) or settings.get(key)
        if value:
            out[prefix + short] = value
    if nic.get("IP"):
        out.setdefault(prefix + "MASK", "255.255.255.0")
        interface = ipaddress.ip_interface(f"{nic['IP']}/{out[prefix + 'MASK']}")
        out.setdefault(prefix + "NETWORK", str(interface.network.network_address)
                       if _mask(out[prefix + "MASK"]) else "")
    return out


def _mask(text: str) -> bool:
    try:
        ipaddress.IPv4Network(f"0.0.0.0/{text}")
    except ValueError:
        return False
    return True


def _files(req: Request, text: str) -> list[int]:
    """Ids of the files that FILES_DS names: ids, or $FILE[IMAGE=…] that became nothing here."""
    from onecore.kinds.vm.allocate import use_of
    found = []
    for part in text.split():
        image: Any = KINDS["image"].find(req.core, int(part)) if part.isdigit() else named(
            req.core, KINDS["image"], part, req.caller.uid)
        if image is None or image.type != ImageType.CONTEXT:
            raise NotAllocated(f"CONTEXT FILES_DS: {part} is not an image of type CONTEXT")
        use_of(req, "image", image)
        found.append(image.oid)
    return found
