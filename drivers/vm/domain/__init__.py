"""A VM as libvirt's domain XML: one module an element, attributes as declarations, an engine that knows no device."""
from __future__ import annotations

from drivers.vm.domain import (
    clock,
    console,
    controllers,
    cpu,
    disk,
    emulator,
    features,
    graphics,
    identity,
    input,
    interface,
    memory,
    os,
    raw,
    tpm,
)
from drivers.vm.domain.element import Build, Element, Facts, Item, build, text, text_of
from drivers.vm.domain.identity import NAMESPACE, PREFIX, domain_name
from onecore.wire.messages import Doc

__all__ = ["ELEMENTS", "Facts", "NAMESPACE", "PREFIX", "disk_xml", "document", "domain_name", "domain_xml",
           "interface_xml", "scsi_xml"]

ELEMENTS: tuple[Element, ...] = (
    *identity.ELEMENTS, *memory.ELEMENTS, *cpu.ELEMENTS, *os.ELEMENTS, *features.ELEMENTS, *clock.ELEMENTS,
    *emulator.ELEMENTS, *controllers.ELEMENTS, *disk.ELEMENTS, *interface.ELEMENTS, *console.ELEMENTS,
    *input.ELEMENTS, *graphics.ELEMENTS, *tpm.ELEMENTS)
"""Everything a domain document can hold, in the order in which it is written."""


def document(vm: Doc, facts: Facts) -> Build:
    """The domain document of VM, RAW included.  Raises Permanent for what cannot be said to libvirt."""
    made = build(ELEMENTS, vm, facts, {PREFIX: NAMESPACE})
    raw.merge(made)
    return made


def domain_xml(vm: Doc, facts: Facts) -> str:
    """The domain document of VM as text."""
    return text(document(vm, facts))


def disk_xml(vm: Doc, facts: Facts, item: Item) -> str:
    """The device for a disk of VM, or its context CD, as the guest is to have it from now on."""
    of_context = item is vm.get("context_disk")
    return _device(disk.ELEMENTS, {**vm, "disks": [] if of_context else [item],
                                   "context_disk": item if of_context else None}, facts)


def interface_xml(vm: Doc, facts: Facts, item: Item) -> str:
    """The device for a NIC of VM."""
    return _device(interface.ELEMENTS, {**vm, "nics": [item]}, facts)


def scsi_xml(vm: Doc, facts: Facts, item: Item) -> str | None:
    """The controller that a disk of VM needs if it is the first one on the SCSI bus, None for another bus."""
    made = build(controllers.ELEMENTS, {**vm, "disks": [item], "context_disk": None}, facts, {})
    found = made.root.find("devices/controller")
    return None if found is None else text_of(found)


def _device(elements: tuple[Element, ...], vm: Doc, facts: Facts) -> str:
    """One device.  It has no place in the order of boot: that is settled when the guest starts."""
    made = build(elements, vm, facts, {})
    device = made.root.find("devices")[0]  # type: ignore[index]
    for boot in device.findall("boot"):
        device.remove(boot)
    return text_of(device)
