"""The records of a virtual network, its address ranges and its leases; addresses as pure functions."""
from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import ClassVar

from onecore.kinds.cluster import cluster_ids
from onecore.pool.record import Object, Record


@dataclass(frozen=True, slots=True)
class Vnet(Record):
    """`clusters` are ids as text; `parent` is the network that this one is a reservation from, -1: none."""

    TABLE: ClassVar[str] = "vnet_pool"
    KIND: ClassVar[str] = "vnet"
    oid: int
    uid: int
    gid: int
    name: str
    perms: int
    lock: str
    state: int
    prev_state: int
    clusters: str
    vn_mad: str
    bridge: str
    phydev: str
    vlan_id: str
    next_ar: int
    template: bytes
    parent: int = -1

    def touches(self) -> tuple[Object, ...]:
        """The network and its clusters."""
        return (("vnet", self.oid), *(("cluster", c) for c in cluster_ids(self.clusters)))


@dataclass(frozen=True, slots=True)
class Range(Record):
    """An address range of SIZE addresses.  `mac` is the first one's number; `ip` and `ip6` the first ones or "".

    `attrs` are further attributes, an escaped fragment.  A reserved range is a part of range `parent_ar` of network
    `parent`, from its address `parent_idx` on; what is nobody's part has -1.
    """

    TABLE: ClassVar[str] = "address_range"
    KEY: ClassVar[tuple[str, ...]] = ("vnet", "ar")
    vnet: int
    ar: int
    type: str
    size: int
    mac: int
    ip: str
    ip6: str
    global_prefix: str
    ula_prefix: str
    prefix_length: str
    attrs: bytes
    parent: int = -1
    parent_ar: int = -1
    parent_idx: int = -1

    def touches(self) -> tuple[Object, ...]:
        """The network, and the one that it is reserved from."""
        return (("vnet", self.vnet), ("vnet", self.parent)) if self.parent >= 0 else (("vnet", self.vnet),)


@dataclass(frozen=True, slots=True)
class Lease(Record):
    """Address INDEX of a range is taken by a VM (`vm` >= 0) or held (-1)."""

    TABLE: ClassVar[str] = "lease"
    KEY: ClassVar[tuple[str, ...]] = ("vnet", "ar", "idx")
    vnet: int
    ar: int
    idx: int
    vm: int
    nic: int

    def touches(self) -> tuple[Object, ...]:
        """The network."""
        return (("vnet", self.vnet),)


_MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}\Z")


def mac_text(number: int) -> str:
    """02:00:0a:00:00:01."""
    return ":".join(f"{number >> shift & 0xff:02x}" for shift in range(40, -1, -8))


def mac_number(text: str) -> int:
    """The reverse; raises ValueError."""
    if not _MAC.match(text):
        raise ValueError(text)
    number = 0
    for part in text.split(":"):
        number = number << 8 | int(part, 16)
    return number


def _eui64(mac: int) -> int:
    return ((mac >> 24 ^ 0x020000) << 40) | 0xFFFE << 24 | mac & 0xFFFFFF


def _prefixed(prefix: str, mac: int) -> str:
    network = int(ipaddress.IPv6Address(prefix.split("/")[0])) >> 64 << 64
    return str(ipaddress.IPv6Address(network | _eui64(mac)))


def addresses(found: Range, index: int) -> dict[str, str]:
    """What address INDEX of a range is: MAC and, by its type, IP, IP6, IP6_LINK, IP6_GLOBAL, IP6_ULA."""
    mac = found.mac + index
    out = {"MAC": mac_text(mac)}
    if found.ip:
        out["IP"] = str(ipaddress.IPv4Address(found.ip) + index)
    if found.ip6:
        out["IP6"] = str(ipaddress.IPv6Address(found.ip6) + index)
    elif found.type in ("IP6", "IP4_6"):
        out["IP6_LINK"] = _prefixed("fe80::", mac)
        if found.global_prefix:
            out["IP6_GLOBAL"] = _prefixed(found.global_prefix, mac)
        if found.ula_prefix:
            out["IP6_ULA"] = _prefixed(found.ula_prefix, mac)
    return out


def index_of(found: Range, key: str, value: str) -> int | None:
    """The index that an IP, IP6 or MAC has in a range, None when it is not in it; raises ValueError for no address."""
    if key == "MAC":
        number, first = mac_number(value), found.mac
    elif key == "IP":
        number, first = int(ipaddress.IPv4Address(value)), int(ipaddress.IPv4Address(found.ip)) if found.ip else -1
    else:
        number, first = int(ipaddress.IPv6Address(value)), int(ipaddress.IPv6Address(found.ip6)) if found.ip6 else -1
    return number - first if first >= 0 and 0 <= number - first < found.size else None
