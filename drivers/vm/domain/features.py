"""What the machine offers beside devices: ACPI, APIC, PAE, SMM, Hyper-V's enlightenments, I/O threads."""
from __future__ import annotations

from drivers.vm.domain.element import Element, Part, Property, the_vm
from drivers.vm.domain.os import is_secure
from drivers.vm.domain.values import const, flag, of, section, truth, whole


def has_hyperv(part: Part) -> bool:
    """Whether Windows' paravirtual interface is asked for and can be given: emulation has none."""
    return truth(section(part, "FEATURES"), "HYPERV") and part.facts.hypervisor == "kvm"


ELEMENTS = (
    Element("features", the_vm, (
        Property("acpi", of("FEATURES", flag("ACPI", True))),
        Property("apic", of("FEATURES", flag("APIC", True))),
        Property("pae", of("FEATURES", flag("PAE"))),
        Property("smm/@state", lambda part: "on" if is_secure(part) else None)), merge=True),
    Element("features/hyperv", lambda part: [{}] if has_hyperv(part) else [], (
        Property("relaxed/@state", const("on")),
        Property("vapic/@state", const("on")),
        Property("spinlocks/@state", const("on")),
        Property("spinlocks/@retries", const(8191))), merge=True),
    Element("iothreads", the_vm, (Property("text()", of("FEATURES", whole("IOTHREADS"))),), merge=True),
)
