"""RAW: libvirt XML that the user wrote, merged into the document that the declarations made."""
from __future__ import annotations

from lxml import etree

from drivers.base import Permanent
from drivers.vm.domain.element import Build
from drivers.vm.domain.values import section

_OURS = frozenset({"name", "uuid", "metadata"})
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


def merge(made: Build) -> None:
    """Merge RAW/DATA of the VM into MADE when RAW/TYPE says it is for this hypervisor.

    Devices are added.  In every other element attributes replace ours, and so does a child of the same tag and name.
    Raises Permanent for text that is no XML, and for the elements by which we know a domain.
    """
    raw = section(made.part, "RAW")
    if str(raw.get("TYPE") or "kvm").lower() not in ("kvm", "qemu") or not str(raw.get("DATA") or "").strip():
        return
    for given in _parse(raw["DATA"]):
        if given.tag in _OURS:
            raise Permanent(f"RAW may not change <{given.tag}> of the domain")
        _merge_one(made.root, given)
    if made.root.find("os/boot") is not None:
        _drop_boot_orders(made.root)


def _parse(data: str) -> list[etree._Element]:
    try:
        wrapper = etree.fromstring(f"<domain xmlns:qemu='{_QEMU}'>{data}</domain>".encode(), _PARSER)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Permanent(f"RAW/DATA is not XML: {error}") from None
    return [child for child in wrapper if isinstance(child.tag, str)]


def _merge_one(root: etree._Element, given: etree._Element) -> None:
    there = root.find(given.tag)
    if there is None:
        root.append(given)
        return
    there.attrib.update(given.attrib)
    if (given.text or "").strip():
        there.text = given.text
    if given.tag != "devices":
        _make_room(there, given)
    there.extend(list(given))


def _make_room(there: etree._Element, given: etree._Element) -> None:
    coming = {(child.tag, child.get("name")) for child in given}
    for child in list(there):
        if (child.tag, child.get("name")) in coming:
            there.remove(child)


def _drop_boot_orders(root: etree._Element) -> None:
    """libvirt takes a boot order a device or <os><boot>, not both; RAW said the latter."""
    for boot in root.findall("devices/*/boot"):
        parent = boot.getparent()
        if parent is not None:
            parent.remove(boot)
