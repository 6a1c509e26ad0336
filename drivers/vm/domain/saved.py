"""The XML inside a checkpoint, made fit for the VM as it is now and for the host that it runs on next.

Emulator, machine and CPU stay as the guest knew them: a host that has none of these refuses it by their name.
"""
from __future__ import annotations

from lxml import etree

from drivers.vm.domain.identity import NAMESPACE
from drivers.vm.domain.moved import relocate, settle_disks
from onecore.wire.messages import Doc

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def renewed(xml: str, vm: Doc) -> str:
    """XML with VM's generation in its metadata, files of the old directory in VM's, NICs in the bridges and screen and
    serial console at the ports of now."""
    root = etree.fromstring(xml.encode(), _PARSER)
    for ours in root.iter(f"{{{NAMESPACE}}}vm"):
        ours.set("generation", str(vm["generation"]))
    old = _directory(root)
    if old:
        relocate(root, old, vm["dir"])
    settle_disks(root, vm["dir"])
    _plug(root, vm)
    _listen(root, vm)
    return etree.tostring(root, encoding="unicode")


def generation(xml: str) -> int:
    """The generation of the VM whose state it is; -1 when there is none in it."""
    found = etree.fromstring(xml.encode(), _PARSER).iter(f"{{{NAMESPACE}}}vm")
    return max((int(ours.get("generation") or -1) for ours in found), default=-1)


def _plug(root: etree._Element, vm: Doc) -> None:
    """Each NIC's bridge, found by its MAC."""
    bridges = {str(nic.get("MAC") or "").lower(): str(nic.get("BRIDGE") or "") for nic in vm.get("nics", ())}
    for nic in root.findall("devices/interface"):
        mac, source = nic.find("mac"), nic.find("source")
        bridge = bridges.get(str(mac.get("address")).lower()) if mac is not None else None
        if source is not None and source.get("bridge") and bridge:
            source.set("bridge", bridge)


def _listen(root: etree._Element, vm: Doc) -> None:
    """Ports as the VM has them now; whether there is a screen, and of which kind, is as it was."""
    screen, serial = ((vm.get("attrs", {}).get(name) or {}) for name in ("GRAPHICS", "SERIAL"))
    for node in root.findall("devices/graphics") if screen.get("PORT") else ():
        node.set("port", str(screen["PORT"]))
    for node in root.findall("devices/*[@type='tcp']/source") if serial.get("PORT") else ():
        node.set("service", str(serial["PORT"]))


def _directory(root: etree._Element) -> str:
    """Where the VM's files were: the directory of its console's log."""
    log = root.find("devices/serial/log")
    return "" if log is None else str(log.get("file") or "").rpartition("/")[0]
