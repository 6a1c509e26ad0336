"""The settings `[drivers.kvm]`, checked; libvirt is not needed to read them."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from drivers.base import Permanent

_HYPERVISORS = ("auto", "kvm", "qemu")


@dataclass(frozen=True, slots=True)
class Settings:
    """How guests are run; see etc/oned.conf."""

    uri: str = "qemu:///system"
    """libvirt's on this machine."""
    hypervisor: str = "auto"
    migrate_uri: str = "qemu+ssh://{host}/system"
    """How one host's libvirt reaches another's to hand a guest over; {host} is that one's name."""


def parse(settings: Mapping[str, Any]) -> Settings:
    """The section `kvm` of the driver SETTINGS; Permanent names what is unknown or wrong."""
    given = dict(settings.get("kvm") or {})
    known = [field.name for field in fields(Settings)]
    for name, value in given.items():
        if name not in known:
            raise Permanent(f"[drivers.kvm] has no setting {name}; it has {', '.join(known)}")
        if not isinstance(value, str):
            raise Permanent(f"[drivers.kvm] {name} is {value!r}, which is no text")
    found = Settings(**{name: value for name, value in given.items() if value})
    if found.hypervisor not in _HYPERVISORS:
        raise Permanent(f"kvm.hypervisor must be auto, kvm or qemu, not {found.hypervisor!r}")
    if "{host}" not in found.migrate_uri:
        raise Permanent(f"kvm.migrate_uri must have {{host}} in it, for a host's name, not {found.migrate_uri!r}")
    return found
