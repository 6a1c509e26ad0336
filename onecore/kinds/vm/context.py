"""CONTEXT of a new VM: $VARIABLES replaced, ETHx_* from the leases, what the guest reads from its CD."""
from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from onecore.api import Request
from onecore.errors import NotAllocated
from onecore.kinds import sealed
from onecore.kinds.kind import KINDS, tree_of
from onecore.kinds.vm import eth
from onecore.kinds.vm.disks import find_image
from onecore.wire.states import ImageType
from onecore.wire.template import Tree, Vector

_SIMPLE = r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\$)"
_VARIABLE = re.compile(r"\$(?:(?P<vector>[A-Z_]+)\[(?P<inner>[^\]]*)\]|" + _SIMPLE)
_LAST = re.compile(r"\$(?:" + _SIMPLE)
"""Those behind the last ] of a text: a [ there is none of a variable, and its end would be sought again and again."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_FILE = re.compile(r"\$FILE\[([^\]]{0,1024}+)\]|(\S+)")
MOST = 1 << 20
"""Characters that the variables of a CONTEXT or RAW may stand for: a short text can name a long one many times."""
_FILES_DS = "_FILES_DS"
"""The key of ids that FILES_DS stands for; they were checked, nobody else writes them."""
_OURS = (_FILES_DS, "DISK_ID", "TARGET")
_BEHIND = {"NETWORK": ("NIC", "vnet"), "IMAGE": ("DISK", "image")}
"""Vectors of variables: what stands for them in the VM's template, and the kind that knows more."""


def build(req: Request, tree: Tree, oid: int, name: str, disk_id: int) -> None:
    """Complete CONTEXT in TREE, if there is one; the CD gets DISK_ID."""
    context = tree.vector("CONTEXT")
    if context is None:
        return
    target = context.get("TARGET", "hda")
    _check_names(context)
    for key in _OURS:
        context.pop(key, None)
    for vector in (context, *tree.vectors("RAW")):
        fill(req, tree, oid, name, vector)
    for nic in eth.interfaces(tree):
        eth.add(req.core, tree, nic)
    if context.get("FILES_DS"):
        context[_FILES_DS] = json.dumps(_files(req, context["FILES_DS"]))
    context["DISK_ID"], context["TARGET"] = str(disk_id), target


def renewed(req: Request, tree: Tree, oid: int, name: str, given: Vector, append: bool) -> Vector:
    """The CONTEXT of TREE with what is GIVEN, or (without APPEND) of that alone: still on its CD, and with its NICs.

    Variables are replaced in what is not so already: what a user sends back is not taken for a template again.
    """
    old = tree.vector("CONTEXT") or {}
    _check_names(given)
    changed = {key: value for key, value in given.items() if key not in _OURS and old.get(key) != value}
    fill(req, tree, oid, name, changed)
    kept = {key: value for key, value in old.items() if key in _OURS or append or key in given}
    new = {**kept, **changed}
    if "FILES_DS" in changed or not new.get("FILES_DS"):
        new.pop(_FILES_DS, None)
    if changed.get("FILES_DS"):
        new[_FILES_DS] = json.dumps(_files(req, changed["FILES_DS"]))
    tree.set("CONTEXT", new)
    for nic in eth.interfaces(tree):
        eth.add(req.core, tree, nic)
    return new


def fill(req: Request, tree: Tree, oid: int, name: str, vector: Vector) -> None:
    """Replace the $VARIABLES in the values of a CONTEXT or RAW; raises NotAllocated when they become too long."""
    made = 0

    def value(found: re.Match[str]) -> str:
        nonlocal made
        text = _replace(req, tree, oid, name, found)
        made += len(text)
        if made > MOST:
            raise NotAllocated(f"CONTEXT, RAW: the variables stand for more than {MOST} characters")
        return text
    for key in vector.keys() - {"FILES_DS"}:
        vector[key] = _filled(vector[key], value)


def _filled(text: str, value: Callable[[re.Match[str]], str]) -> str:
    """TEXT with the VALUE of each variable in its place."""
    last = text.rfind("]") + 1
    return _VARIABLE.sub(value, text[:last]) + _LAST.sub(value, text[last:])


def _check_names(context: Vector) -> None:
    for key in context:
        if not _NAME.match(key):
            raise NotAllocated(f"CONTEXT: {key} is not a name that a shell can hold")


def _replace(req: Request, tree: Tree, oid: int, name: str, found: re.Match[str]) -> str:
    if found.group("name"):
        known = {"VMID": str(oid), "NAME": name, "UID": str(req.caller.uid), "UNAME": req.caller.name,
                 "GID": str(req.caller.gid)}
        key = found.group("name").upper()
        return known.get(key) or tree.get(key)
    vector = found.groupdict().get("vector")
    return _lookup(req, tree, vector, found.group("inner")) if vector else "$"


def _lookup(req: Request, tree: Tree, vector: str, inner: str) -> str:
    key, *conditions = [part.strip() for part in inner.split(",")]
    wanted = _conditions(conditions)
    user: Any = KINDS["user"].find(req.core, req.caller.uid)
    if vector == "USER":
        return sealed.of(req.core, "user", user).get(key)
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


def _files(req: Request, text: str) -> list[int]:
    """Ids of the files that FILES_DS names: $FILE[IMAGE_ID = n], $FILE[IMAGE = "name", …], an id or a name."""
    from onecore.kinds.vm.allocate import use_of
    found = []
    for inner, word in (one.groups("") for one in _FILE.finditer(text)):
        wanted = _conditions(inner.split(",")) if inner else {"IMAGE_ID" if word.isdigit() else "IMAGE": word}
        if not wanted.get("IMAGE_ID") and not wanted.get("IMAGE"):
            raise NotAllocated("CONTEXT FILES_DS: $FILE[…] must hold IMAGE_ID or IMAGE")
        image = find_image(req, wanted, "CONTEXT FILES_DS")
        use_of(req, "image", image)
        if image.type != ImageType.CONTEXT:
            raise NotAllocated(f"CONTEXT FILES_DS: image {image.oid} ({image.name}) is not of type CONTEXT")
        found.append(image.oid)
    return found
