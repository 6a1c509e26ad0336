"""Ways in and out beside screen and network: the serial console, kept in a file too, and the guest agent's channel."""
from __future__ import annotations

from collections.abc import Iterable

from drivers.vm.domain.element import Element, Item, Part, Property, the_vm
from drivers.vm.domain.values import const, section, truth


def _agent(part: Part) -> Iterable[Item]:
    return [{}] if truth(section(part, "FEATURES"), "GUEST_AGENT", True) else []


ELEMENTS = (
    Element("devices/serial", the_vm, (
        Property("@type", const("pty")),
        Property("log/@file", lambda part: f"{part.vm['dir']}/console.log"),
        Property("log/@append", const("on")),
        Property("target/@port", const(0)))),
    Element("devices/console", the_vm, (
        Property("@type", const("pty")),
        Property("target/@type", const("serial")))),
    Element("devices/channel", _agent, (
        Property("@type", const("unix")),
        Property("target/@type", const("virtio")),
        Property("target/@name", const("org.qemu.guest_agent.0")))),
)
