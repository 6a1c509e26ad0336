"""Network interfaces: a tap in the NIC's bridge, with its model, limits and filter."""
from __future__ import annotations

from collections.abc import Iterable

from drivers.base import Permanent
from drivers.vm.domain.disk import queues
from drivers.vm.domain.element import Element, Item, Part, Property, Value
from drivers.vm.domain.identity import domain_name
from drivers.vm.domain.os import boot_order
from drivers.vm.domain.values import attr, const, whole

_LIMITS = (("average", "AVG_BW"), ("peak", "PEAK_BW"), ("burst", "PEAK_KB"))


def _nics(part: Part) -> Iterable[Item]:
    found: list[Item] = part.vm.get("nics", [])
    return found


def _bridge(part: Part) -> Value:
    name = part.item.get("BRIDGE")
    if not name:
        raise Permanent(f"NIC {part.item['NIC_ID']} has no BRIDGE")
    return name


def _target(part: Part) -> Value:
    return part.item.get("TARGET") or f"{domain_name(part.vm['id'])}-{part.item['NIC_ID']}"


def _queues(part: Part) -> Value:
    return queues(part, {"QUEUES": str(part.item.get("VIRTIO_QUEUES") or "")})


def _filter_address(part: Part) -> Value:
    return part.item.get("IP") if part.item.get("FILTER") else None


def _link(part: Part) -> Value:
    """LINK_STATE, up or down; nothing (up) when it is not given."""
    state = str(part.item.get("LINK_STATE") or "").lower()
    if state not in ("", "up", "down"):
        raise Permanent(f"NIC {part.item['NIC_ID']}: LINK_STATE must be up or down, not {state!r}")
    return state or None


def _limit(direction: str, name: str, attribute: str) -> Property:
    """libvirt's units are OpenNebula's: KB/s for average and peak, KB for the burst."""
    return Property(f"bandwidth/{direction}/@{name}", whole(f"{direction.upper()}_{attribute}"))


ELEMENTS = (
    Element("devices/interface", _nics, (
        Property("@type", const("bridge")),
        Property("source/@bridge", _bridge),
        Property("mac/@address", attr("MAC")),
        Property("model/@type", attr("MODEL", "virtio")),
        Property("target/@dev", _target),
        Property("driver/@queues", _queues),
        Property("link/@state", _link),
        Property("filterref/@filter", attr("FILTER")),
        Property("filterref/parameter[@name='IP']/@value", _filter_address),
        Property("boot/@order", lambda part: boot_order(part, f"nic{part.item['NIC_ID']}")),
        *(_limit(way, name, attribute) for way in ("inbound", "outbound") for name, attribute in _LIMITS))),
)
