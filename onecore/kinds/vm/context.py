"""CONTEXT of a new VM: $VARIABLES replaced, ETHx_* from the leases, what the guest reads from its CD."""
from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from onecore.api import Request
from onecore.errors import NotAllocated
from onecore.kinds.kind import KINDS, tree_of
from onecore.kinds.vm.disks import find_image
from onecore.wire.states import ImageType
from onecore.wire.template import Tree, Vector

_VARIABLE = re.compile(r"\$(?:(?P<vector>[A-Z_]+)\[(?P<inner>[^\]]*)\]|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\$)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_FILE = re.compile(r"\$FILE\[([^\]]*)\]|(\S+)")
_BEHIND = {"NETWORK": ("NIC", "vnet"), "IMAGE": ("DISK", "image")}
"""Vectors of variables: what stands for them in the VM's template, and the kind that knows more."""
_NETWORK_KEYS = {"NETWORK_ADDRESS": "NETWORK", "NETWORK_MASK": "MASK", "GATEWAY": "GATEWAY", "GATEWAY6": "IP6_GATEWAY",
                 "DNS": "DNS", "SEARCH_DOMAIN": "SEARCH_DOMAIN", "GUEST_MTU": "MTU", "METRIC": "METRIC",
                 "IP6_METRIC": "IP6_METRIC", "METHOD": "METHOD", "IP6_METHOD": "IP6_METHOD"}


def build(req: Request, tree: Tree, oid: int, name: str, disk_id: int) -> None:
    """Complete CONTEXT in TREE, if there is one; the CD gets DISK_ID."""
    context = tree.vector("CONTEXT")
    if context is None:
        return
    for key in context:
        if not _NAME.match(key):
            raise NotAllocated(f"CONTEXT: {key} is not a name that a shell can hold")
    context.pop("_FILES_DS", None)  # ids that were checked; nobody else writes them
    target = context.pop("TARGET", "hda")
    for vector in (context, *tree.vectors("RAW")):
        for key in vector.keys() - {"FILES_DS"}:
            vector[key] = _VARIABLE.sub(lambda found: _replace(req, tree, oid, name, found), vector[key])
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
    wanted = _conditions(conditions)
    user: Any = KINDS["user"].find(req.core, req.caller.uid)
    if vector == "USER":
        return tree_of(user.template).get(key)
    if vector == "TEMPLATE":
        return tree.get(key)
    section, kind = _BEHIND.get(vector, (vector, ""))
    for item in tree.vectors(section):
        if all(item.get(k) == v for k, v in wanted.items()):
            if kind and key not in item and item.get(f"{vector}_ID"):
                return tree_of(KINDS[kind].find(req.core, int(item[f"{vector}_ID"])).template).get(key)
            return item.get(key, "")
    return ""


def _conditions(parts: list[str]) -> Vector:
    """NAME = "value" of each part, without the quotes."""
    pairs = (part.partition("=") for part in parts)
    return {name.strip().upper(): value.strip().strip('"') for name, equals, value in pairs if equals}


def _interface(req: Request, nic: Vector) -> dict[str, str]:
    prefix = f"ETH{nic['NIC_ID']}_"
    vnet: Any = KINDS["vnet"].find(req.core, int(nic["NETWORK_ID"]))
    settings = tree_of(vnet.template)
    out = {prefix + "MAC": nic["MAC"]}
    for key, short in (("IP", "IP"), ("IP6", "IP6"), ("IP6_GLOBAL", "IP6"), ("IP6_ULA", "IP6_ULA"),
                       ("PREFIX_LENGTH", "IP6_PREFIX_LENGTH"), ("VLAN_ID", "VLAN_ID")):
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


def _network(ip: str, mask: str) -> str:
    """The first address of a network, "" when MASK is none."""
    try:
        return str(ipaddress.IPv4Interface(f"{ip}/{mask}").network.network_address)
    except ValueError:
        return ""


def _files(req: Request, text: str) -> list[int]:
    """Ids of the files that FILES_DS names: $FILE[IMAGE_ID = n], $FILE[IMAGE = "name", …], an id or a name."""
    from onecore.kinds.vm.allocate import use_of
    found = []
    for inner, word in _FILE.findall(text):
        wanted = _conditions(inner.split(",")) if inner else {"IMAGE_ID" if word.isdigit() else "IMAGE": word}
        if not wanted.get("IMAGE_ID") and not wanted.get("IMAGE"):
            raise NotAllocated("CONTEXT FILES_DS: $FILE[…] must hold IMAGE_ID or IMAGE")
        image = find_image(req, wanted, "CONTEXT FILES_DS")
        if image.type != ImageType.CONTEXT:
            raise NotAllocated(f"CONTEXT FILES_DS: image {image.oid} ({image.name}) is not of type CONTEXT")
        use_of(req, "image", image)
        found.append(image.oid)
    return found
