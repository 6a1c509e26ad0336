"""How the guest boots: machine, firmware, direct kernel boot, and the order of the devices it boots from."""
from __future__ import annotations

from drivers.vm.domain.element import Element, Item, Part, Property, Value, the_vm
from drivers.vm.domain.identity import domain_name
from drivers.vm.domain.values import attr, of, section, truth


def _firmware(part: Part) -> str:
    return str(section(part, "OS").get("FIRMWARE") or "").strip()


def _loader(part: Part) -> str | None:
    firmware = _firmware(part)
    return firmware if firmware.startswith("/") else None


def is_uefi(part: Part) -> bool:
    """Whether the guest starts from UEFI, chosen by libvirt or by the path of a loader."""
    return _firmware(part).upper() == "UEFI" or _loader(part) is not None


def is_secure(part: Part) -> bool:
    """Whether secure boot is asked for."""
    return is_uefi(part) and truth(section(part, "OS"), "FIRMWARE_SECURE")


def _nvram(part: Part) -> Value:
    return f"{part.vm['dir']}/{domain_name(part.vm['id'])}_VARS.fd" if is_uefi(part) else None


def _cmdline(part: Part) -> Value:
    section_ = section(part, "OS")
    root = str(section_.get("ROOT") or "").strip()
    words = [f"root=/dev/{root}" if root else "", str(section_.get("KERNEL_CMD") or "").strip()]
    return " ".join(w for w in words if w) or None


def boot_order(part: Part, device: str) -> int | None:
    """The place of DEVICE (`disk0`, `nic1`) among those the guest boots from, from 1.

    OS/BOOT names them.  Without it these are the disks as they come; libvirt's own choice would skip a CD, so that a
    guest with an empty disk and an installation CD would not start.
    """
    given = [word.strip().lower() for word in str(section(part, "OS").get("BOOT") or "").split(",") if word.strip()]
    order = given or [disk_device(disk) for disk in part.vm.get("disks", ())]
    return order.index(device) + 1 if device in order else None


def disk_device(disk: Item) -> str:
    """What OS/BOOT calls DISK."""
    return f"disk{disk['DISK_ID']}"


ELEMENTS = (
    Element("os", the_vm, (
        Property("@firmware", lambda part: "efi" if is_uefi(part) and not _loader(part) else None),
        Property("type/@arch", lambda part: section(part, "OS").get("ARCH") or part.facts.arch),
        Property("type/@machine", of("OS", attr("MACHINE"))),
        Property("type", lambda part: "hvm"),
        Property("loader/@readonly", lambda part: "yes" if _loader(part) else None),
        Property("loader/@type", lambda part: "pflash" if _loader(part) else None),
        Property("loader/@secure", lambda part: "yes" if is_secure(part) else None),
        Property("loader", _loader),
        Property("nvram", _nvram),
        Property("kernel", of("OS", attr("KERNEL"))),
        Property("initrd", of("OS", attr("INITRD"))),
        Property("cmdline", _cmdline),
    )),
)
