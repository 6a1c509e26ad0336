"""Disks and CDs: the files that the transfer driver put into the VM's directory, as devices, with their tuning."""
from __future__ import annotations

from collections.abc import Iterable

from drivers.base import Permanent
from drivers.tm.layout import active_format
from drivers.vm.domain.element import Element, Item, Part, Property, Value
from drivers.vm.domain.os import boot_order, disk_device
from drivers.vm.domain.values import attr, const, lower, number, section, truth, whole

_LAST_PORT = 5
_RATES = tuple(f"{kind}_{unit}_SEC{rest}" for rest in ("", "_MAX", "_MAX_LENGTH") for unit in ("BYTES", "IOPS")
               for kind in ("TOTAL", "READ", "WRITE"))


def all_disks(part: Part) -> Iterable[Item]:
    """The VM's disks and, after them, its context CD."""
    yield from part.vm.get("disks", ())
    context = part.vm.get("context_disk")
    if context:
        yield {"TYPE": "CDROM", "SOURCE": "/", "READONLY": "YES", "CONTEXT": "YES", **context}


def bus(part: Part, disk: Item) -> str:
    """The bus that a disk's DEV_PREFIX, or else its TARGET, stands for.  Raises Permanent for a prefix nobody knows."""
    prefix = str(disk.get("DEV_PREFIX") or disk.get("TARGET") or "")[:2].lower()
    os = section(part, "OS")
    if prefix == "hd":
        return "sata" if "q35" in str(os.get("MACHINE") or "") else "ide"
    known = {"vd": "virtio", "fd": "fdc", "sd": str(os.get("SD_DISK_BUS") or "scsi").lower()}
    if prefix not in known:
        raise Permanent(f"disk {disk.get('DISK_ID')}: {prefix!r} is no device prefix (vd, sd, hd, fd)")
    return known[prefix]


def _is_cd(part: Part) -> bool:
    return str(part.item.get("TYPE") or "").upper() == "CDROM"


def _unit(part: Part) -> Value:
    """The place of an `hd` disk on SATA, counted from the end: libvirt would put hda where sda is."""
    target = str(part.item.get("TARGET") or "")
    if bus(part, part.item) != "sata" or not target.startswith("hd"):
        return None
    return max(_LAST_PORT - (ord(target[2:3] or "a") - ord("a")), 0)


def _drive(name: str, value: Value) -> Property:
    return Property(f"address/@{name}", lambda part: None if _unit(part) is None else value)


def _device(part: Part) -> str:
    """`cdrom`, `floppy` or `disk`; there is no CD drive on the virtio bus, there a CD is a read-only disk."""
    on = bus(part, part.item)
    if on == "fdc":
        return "floppy"
    return "cdrom" if _is_cd(part) and on != "virtio" else "disk"


def _is_block(part: Part) -> bool:
    return str(part.item.get("TYPE") or "").upper() == "BLOCK"


def disk_path(part: Part, disk: Item) -> str:
    """Where a disk of the VM is on its host."""
    return f"{part.vm['dir']}/disk.{disk['DISK_ID']}"


def _source(block: bool) -> Property:
    return Property("source/@dev" if block else "source/@file",
                    lambda part: disk_path(part, part.item) if _is_block(part) is block else None)


def _format(part: Part) -> Value:
    """What the transfer driver made, never guessed and never DRIVER's word for it.

    A guest can write another format's header into its raw disk; read as that format, it may name any file of the host.
    """
    return "raw" if _is_block(part) else active_format(part.vm, part.item)


def _thread(part: Part) -> Value:
    given = number(part.item, "IOTHREAD", 1)
    threads = number(section(part, "FEATURES"), "IOTHREADS") or 0
    if bus(part, part.item) != "virtio" or not threads:
        return None
    return given or int(part.item["DISK_ID"]) % threads + 1


def _queues(part: Part) -> Value:
    if bus(part, part.item) != "virtio":
        return None
    given = part.item.get("VIRTIO_BLK_QUEUES") or section(part, "FEATURES").get("VIRTIO_BLK_QUEUES")
    return queues(part, {"QUEUES": str(given or "")})


def queues(part: Part, item: Item) -> int | None:
    """QUEUES of ITEM as a number; `auto` is one a virtual CPU."""
    if str(item.get("QUEUES") or "").lower() == "auto":
        return int(part.vm["vcpu"])
    return number(item, "QUEUES", 1)


def _limit(name: str) -> Property:
    return Property(f"iotune/{name.lower()}", whole(name))


ELEMENTS = (
    Element("devices/disk", all_disks, (
        Property("@type", lambda part: "block" if _is_block(part) else "file"),
        Property("@device", _device),
        Property("driver/@name", const("qemu")),
        Property("driver/@type", _format),
        Property("driver/@cache", lower("CACHE")),
        Property("driver/@io", lower("IO")),
        Property("driver/@discard", lower("DISCARD")),
        Property("driver/@iothread", _thread),
        Property("driver/@queues", _queues),
        _source(False),
        _source(True),
        Property("target/@dev", attr("TARGET")),
        Property("target/@bus", lambda part: bus(part, part.item)),
        _drive("type", "drive"),
        _drive("controller", 0),
        Property("address/@unit", _unit),
        Property("readonly", lambda part: _is_cd(part) or truth(part.item, "READONLY")),
        Property("boot/@order", lambda part: None if truth(part.item, "CONTEXT")
                 else boot_order(part, disk_device(part.item))),
        *(_limit(name) for name in (*_RATES, "SIZE_IOPS_SEC")))),
)
