"""A pointer or keyboard beside the ones that every machine has."""
from __future__ import annotations

from drivers.vm.domain.element import Element, Property
from drivers.vm.domain.values import lower, sections

ELEMENTS = (
    Element("devices/input", sections("INPUT"), (
        Property("@type", lower("TYPE", "tablet")),
        Property("@bus", lower("BUS")))),
)
