"""The guest's screen: VNC or SPICE, and the graphics card."""
from __future__ import annotations

from collections.abc import Iterable

from drivers.base import Permanent
from drivers.vm.domain.element import Element, Item, Part, Property, Value
from drivers.vm.domain.values import attr, lower, section, sections, whole

FIRST_PORT = 5900
_LAST_PORT = 65535


def _screens(part: Part) -> Iterable[Item]:
    item = section(part, "GRAPHICS")
    kind = str(item.get("TYPE") or "").lower()
    if kind and kind not in ("vnc", "spice", "none"):
        raise Permanent(f"GRAPHICS TYPE {item['TYPE']!r} is not known (VNC, SPICE)")
    return [item] if kind in ("vnc", "spice") else []


def _port(part: Part) -> int | None:
    """PORT as given, else 5900 and the VM's id; none, so that libvirt takes a free one, when that is no port."""
    given = str(part.item.get("PORT") or "").strip()
    port = int(given) if given.isdecimal() else FIRST_PORT + int(part.vm["id"])
    return port if 0 < port <= _LAST_PORT else None


def _resolution(index: int) -> Property:
    def read(part: Part) -> Value:
        size = str(part.item.get("RESOLUTION") or "").lower().split("x")
        return int(size[index]) if len(size) == 2 and size[index].strip().isdecimal() else None
    return Property(f"model/resolution/@{'xy'[index]}", read)


def _toggle(name: str) -> Property:
    def read(part: Part) -> Value:
        given = str(part.item.get(name) or "").upper()
        return {"YES": "on", "ON": "on", "NO": "off", "OFF": "off"}.get(given)
    return Property(f"driver/@{name.lower()}", read)


def _cards(part: Part) -> Iterable[Item]:
    return [v for v in sections("VIDEO")(part) if str(v.get("TYPE") or "").lower() not in ("", "auto")]


ELEMENTS = (
    Element("devices/graphics", _screens, (
        Property("@type", lower("TYPE")),
        Property("@port", _port),
        Property("@autoport", lambda part: "yes" if _port(part) is None else "no"),
        Property("@listen", attr("LISTEN", "127.0.0.1")),
        Property("@passwd", attr("PASSWD")),
        Property("@keymap", attr("KEYMAP")))),
    Element("devices/video", _cards, (
        Property("model/@type", lower("TYPE")),
        Property("model/@vram", whole("VRAM")),
        _resolution(0),
        _resolution(1),
        _toggle("IOMMU"),
        _toggle("ATS"))),
)
