"""Kinds that clients expect and a later release will manage: security group 0, VDC 0, zone 0, ACL rules."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onecore.kinds import verbs
from onecore.kinds.kind import KINDS, Kind
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.wire import xmlbody
from onecore.wire.xmlrpc import escape_bytes


@dataclass(frozen=True, slots=True)
class SecurityGroup(Record):
    """A security group; VMs' NICs name it."""

    TABLE: ClassVar[str] = "secgroup_pool"
    KIND: ClassVar[str] = "secgroup"
    oid: int
    uid: int
    gid: int
    name: str
    perms: int
    template: bytes


@dataclass(frozen=True, slots=True)
class Vdc(Record):
    """A virtual data centre."""

    TABLE: ClassVar[str] = "vdc_pool"
    KIND: ClassVar[str] = "vdc"
    oid: int
    name: str
    template: bytes


@dataclass(frozen=True, slots=True)
class Zone(Record):
    """A zone; there is one."""

    TABLE: ClassVar[str] = "zone_pool"
    KIND: ClassVar[str] = "zone"
    oid: int
    name: str
    endpoint: str


def _zone_body(core: Core, zone: Zone) -> list[bytes]:
    return [escape_bytes(f"<ZONE><ID>{zone.oid}</ID>{xmlbody.text('NAME', zone.name)}<STATE>0</STATE><TEMPLATE>"
                         f"{xmlbody.text('ENDPOINT', zone.endpoint)}</TEMPLATE><SERVER_POOL></SERVER_POOL></ZONE>")]


def _no_body(core: Core, record: Record) -> list[bytes]:
    return []


ZONE = Kind("zone", "ZONE", Zone, "one.zone", "one.zonepool", _zone_body, owned=False, unique="all")
KINDS["zone"] = ZONE
KINDS["secgroup"] = Kind("secgroup", "SECURITY_GROUP", SecurityGroup, "one.secgroup", "one.secgrouppool", _no_body)
KINDS["vdc"] = Kind("vdc", "VDC", Vdc, "one.vdc", "one.vdcpool", _no_body, owned=False, unique="all")
verbs.declare(ZONE, "info", "pool")

