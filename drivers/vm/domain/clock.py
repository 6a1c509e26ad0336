"""The guest's clock."""
from __future__ import annotations

from drivers.vm.domain.element import Element, Property, the_vm
from drivers.vm.domain.features import has_hyperv
from drivers.vm.domain.values import section, truth

ELEMENTS = (
    Element("clock", the_vm, (
        Property("@offset", lambda p: "localtime" if truth(section(p, "FEATURES"), "LOCALTIME") else "utc"),
        Property("timer[@name='hypervclock']/@present", lambda p: "yes" if has_hyperv(p) else None)), merge=True),
)
