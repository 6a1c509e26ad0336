"""Name, UUID, our metadata, and what libvirt does when the guest ends: declared for the domain itself."""
from __future__ import annotations

from drivers.vm.domain.element import Element, Part, Property, Value, the_vm
from drivers.vm.domain.values import const, section

NAMESPACE = "urn:onecore:domain:1"
"""The namespace of our element in a domain's metadata: it says whose the domain is, and of which generation."""
PREFIX = "onecore"


def domain_name(vm: int) -> str:
    """The name that a VM's domain has on its host."""
    return f"one-{vm}"


def _uuid(part: Part) -> Value:
    return section(part, "OS").get("UUID") or part.vm.get("uuid") or None


ELEMENTS = (
    Element("", the_vm, (
        Property("@type", lambda part: part.facts.hypervisor),
        Property("name", lambda part: domain_name(part.vm["id"])),
        Property("uuid", _uuid),
        Property("title", lambda part: str(part.vm.get("name") or "").replace("\n", " ") or None),
        Property("on_poweroff", const("destroy")),
        Property("on_reboot", const("restart")),
        Property("on_crash", const("destroy")),
    )),
    Element("metadata", the_vm, (
        Property(f"{PREFIX}:vm/@id", lambda part: part.vm["id"]),
        Property(f"{PREFIX}:vm/@generation", lambda part: part.vm["generation"]),
    )),
)
