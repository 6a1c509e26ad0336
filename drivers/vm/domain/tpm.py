"""A trusted platform module, emulated by swtpm."""
from __future__ import annotations

from drivers.vm.domain.element import Element, Property
from drivers.vm.domain.values import const, lower, sections

ELEMENTS = (
    Element("devices/tpm", sections("TPM"), (
        Property("@model", lower("MODEL", "tpm-crb")),
        Property("backend/@type", const("emulator")),
        Property("backend/@version", const("2.0")))),
)
