"""Ways in and out beside screen and network: the serial console, kept in a file too, and the guest agent's channel.

`SERIAL = [ LISTEN = "127.0.0.1", PORT = "4012" ]` makes the serial port a TCP server there (raw, PROTOCOL = "telnet" if
wanted); without a PORT it is a terminal of the host, which `virsh console` opens.
"""
from __future__ import annotations

from collections.abc import Iterable

from drivers.base import Permanent
from drivers.vm.domain.element import Element, Item, Part, Property, Value
from drivers.vm.domain.values import attr, const, number, section, truth

_LAST_PORT = 65535
_PROTOCOLS = ("raw", "telnet")


def _serial(part: Part) -> Iterable[Item]:
    """SERIAL; {} for a terminal."""
    told = section(part, "SERIAL")
    return [told] if told.get("PORT") else [{}]


def _type(part: Part) -> Value:
    return "tcp" if part.item else "pty"


def _port(part: Part) -> Value:
    port = number(part.item, "PORT", 1)
    if port is not None and port > _LAST_PORT:
        raise Permanent(f"SERIAL PORT must be at most {_LAST_PORT}, not {port}")
    return port


def _protocol(part: Part) -> Value:
    if not part.item:
        return None
    named = str(part.item.get("PROTOCOL") or "raw").lower()
    if named not in _PROTOCOLS:
        raise Permanent(f"SERIAL PROTOCOL must be {' or '.join(_PROTOCOLS)}, not {named!r}")
    return named


def _listen(part: Part) -> Value:
    return attr("LISTEN", "127.0.0.1")(part) if part.item else None


def _agent(part: Part) -> Iterable[Item]:
    return [{}] if truth(section(part, "FEATURES"), "GUEST_AGENT", True) else []


ELEMENTS = (
    Element("devices/serial", _serial, (
        Property("@type", _type),
        Property("source/@mode", lambda part: "bind" if part.item else None),
        Property("source/@host", _listen),
        Property("source/@service", _port),
        Property("protocol/@type", _protocol),
        Property("log/@file", lambda part: f"{part.vm['dir']}/console.log"),
        Property("log/@append", const("on")),
        Property("target/@port", const(0)))),
    Element("devices/console", _serial, (
        Property("@type", _type),
        Property("target/@type", const("serial")))),
    Element("devices/channel", _agent, (
        Property("@type", const("unix")),
        Property("target/@type", const("virtio")),
        Property("target/@name", const("org.qemu.guest_agent.0")))),
)
