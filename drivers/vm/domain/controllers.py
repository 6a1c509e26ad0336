"""Controllers that libvirt would not add as we want them: virtio-scsi for disks on the SCSI bus."""
from __future__ import annotations

from collections.abc import Iterable

from drivers.vm.domain.disk import all_disks, bus, queues
from drivers.vm.domain.element import Element, Item, Part, Property, Value
from drivers.vm.domain.values import const, number, section


def _scsi(part: Part) -> Iterable[Item]:
    wanted = str(section(part, "FEATURES").get("VIRTIO_SCSI_QUEUES") or "")
    return [{"QUEUES": wanted}] if any(bus(part, disk) == "scsi" for disk in all_disks(part)) else []


def _thread(part: Part) -> Value:
    return 1 if number(section(part, "FEATURES"), "IOTHREADS") else None


ELEMENTS = (
    Element("devices/controller", _scsi, (
        Property("@type", const("scsi")),
        Property("@index", const(0)),
        Property("@model", const("virtio-scsi")),
        Property("driver/@queues", lambda part: queues(part, part.item)),
        Property("driver/@iothread", _thread))),
)
