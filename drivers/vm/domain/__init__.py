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
from drivers.vm.domain.element import Build, Element, Facts, build, text
from drivers.vm.domain.identity import NAMESPACE, PREFIX, domain_name
from onecore.wire.messages import Doc

__all__ = ["ELEMENTS", "Facts", "NAMESPACE", "PREFIX", "document", "domain_name", "domain_xml"]

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
