"""The XML inside a checkpoint, made fit for the VM as it is now: its generation and its directory on this host."""
from __future__ import annotations

from lxml import etree

from drivers.vm.domain.identity import NAMESPACE
from onecore.wire.messages import Doc

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def renewed(xml: str, vm: Doc) -> str:
    """XML with the generation of VM in its metadata and every file of the old directory looked for in VM's."""
    root = etree.fromstring(xml.encode(), _PARSER)
    for ours in root.iter(f"{{{NAMESPACE}}}vm"):
        ours.set("generation", str(vm["generation"]))
    old = _directory(root)
    for node in root.iter(etree.Element) if old else ():
        for name, value in node.attrib.items():
            if str(value).startswith(f"{old}/"):
                node.set(name, vm["dir"] + str(value)[len(old):])
    return etree.tostring(root, encoding="unicode")


def _directory(root: etree._Element) -> str:
    """Where the VM's files were: the directory of its console's log."""
    log = root.find("devices/serial/log")
    return "" if log is None else str(log.get("file") or "").rpartition("/")[0]
