"""The document of a guest as it is to run on the host that it moves to."""
from __future__ import annotations

import re

from lxml import etree

from onecore.wire.messages import Doc

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_blank_text=True)
_FILE = re.compile(r"/disk\.(\d+)(?:\.snap/.*)?\Z")
_OF_NOW = ("backingStore", "mirror")


def moved_xml(xml: str, old: str, moved: Doc) -> str:
    """XML, as libvirt gives it for a migration, with what is in the directory OLD in that of MOVED.

    Every disk has the name that docs/drivers.md gives it, whatever QEMU calls it now; what it stands on is found anew.
    """
    root = etree.fromstring(xml.encode(), _PARSER)
    relocate(root, old, moved["dir"])
    settle_disks(root, moved["dir"])
    return etree.tostring(root, encoding="unicode")


def relocate(root: etree._Element, old: str, new: str) -> None:
    """All files of the directory OLD that a document names are in the directory NEW."""
    for node in root.iter(etree.Element):
        for name, value in node.attrib.items():
            node.set(name, _moved(str(value), old, new))
    nvram = root.find("os/nvram")
    if nvram is not None and nvram.text:
        nvram.text = _moved(nvram.text, old, new)


def settle_disks(root: etree._Element, directory: str) -> None:
    """Each disk has its file's name in the VM's DIRECTORY."""
    for disk in root.findall("devices/disk"):
        _settle(disk, directory)


def _settle(disk: etree._Element, directory: str) -> None:
    for tag in _OF_NOW:
        for node in disk.findall(tag):
            disk.remove(node)
    source = disk.find("source")
    named = _FILE.search(str(source.get("file") or "")) if source is not None else None
    if source is not None and named:
        source.set("file", f"{directory}/disk.{named[1]}")
        if "index" in source.attrib:
            del source.attrib["index"]


def _moved(path: str, old: str, new: str) -> str:
    return new + path[len(old):] if path.startswith(f"{old}/") else path
