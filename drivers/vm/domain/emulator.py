"""The program that runs the guest, when the template names one."""
from __future__ import annotations

from drivers.vm.domain.element import Element, Property, the_vm

ELEMENTS = (
    Element("devices", the_vm, (
        Property("emulator", lambda part: part.vm.get("attrs", {}).get("EMULATOR") or None),), merge=True),
)
