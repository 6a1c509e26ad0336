"""Address ranges from templates: checked, numbered, changed."""
from __future__ import annotations

import ipaddress

from onecore.errors import NotAllocated
from onecore.kinds.kind import inner_xml
from onecore.kinds.vnet.record import Range, mac_number
from onecore.lifecycle.core import Core
from onecore.wire.template import Tree, Vector

TYPES = ("IP4", "ETHER", "IP6", "IP4_6", "IP6_STATIC", "IP4_6_STATIC")
MAX_SIZE = 1 << 24
_OWN = {"TYPE", "SIZE", "MAC", "IP", "IP6", "GLOBAL_PREFIX", "ULA_PREFIX", "PREFIX_LENGTH", "AR_ID"}


def make(core: Core, vnet: int, ar: int, given: Vector) -> Range:
    """The range that a vector AR = [...] describes; raises NotAllocated naming the key."""
    kind = given.get("TYPE", "").upper()
    if kind not in TYPES:
        raise NotAllocated(f"AR TYPE must be one of {', '.join(TYPES)}, not {kind!r}")
    size = _size(given.get("SIZE", ""))
    ip, ip6 = _ip(given, kind, size), _ip6(given, kind)
    for key in ("GLOBAL_PREFIX", "ULA_PREFIX"):
        if given.get(key):
            _address(6, key, given[key].split("/")[0])
    mac = _mac(core, given.get("MAC", ""), ip, size)
    rest = Tree((k, v) for k, v in given.items() if k not in _OWN)
    return Range(vnet, ar, kind, size, mac, ip, ip6, given.get("GLOBAL_PREFIX", ""), given.get("ULA_PREFIX", ""),
                 given.get("PREFIX_LENGTH", ""), inner_xml(rest))


def _size(given: str) -> int:
    if not given.isascii() or not given.isdigit() or not 0 < int(given) <= MAX_SIZE:
        raise NotAllocated(f"AR SIZE must be a whole number from 1 to {MAX_SIZE}, not {given!r}")
    return int(given)


def _address(version: int, key: str, given: str) -> str:
    try:
        return str((ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address)(given))
    except ValueError:
        raise NotAllocated(f"AR {key} is not an IPv{version} address: {given!r}") from None


def _ip(given: Vector, kind: str, size: int) -> str:
    if kind not in ("IP4", "IP4_6", "IP4_6_STATIC"):
        return ""
    first = _address(4, "IP", given.get("IP", ""))
    if int(ipaddress.IPv4Address(first)) + size - 1 > 0xFFFFFFFF:
        raise NotAllocated(f"AR SIZE {size} runs past the last IPv4 address from IP {first} on")
    return first


def _ip6(given: Vector, kind: str) -> str:
    if kind not in ("IP6_STATIC", "IP4_6_STATIC"):
        return ""
    length = given.get("PREFIX_LENGTH", "")
    if not length.isdigit() or not 0 < int(length) <= 128:
        raise NotAllocated(f"AR PREFIX_LENGTH must be from 1 to 128, not {length!r}")
    return _address(6, "IP6", given.get("IP6", ""))


def _mac(core: Core, given: str, ip: str, size: int) -> int:
    if given:
        try:
            return mac_number(given)
        except ValueError:
            raise NotAllocated(f"AR MAC is not a MAC address: {given!r}") from None
    prefix = int(core.config.defaults.mac_prefix.replace(":", ""), 16) << 32
    if ip:
        return prefix | int(ipaddress.IPv4Address(ip))
    return prefix | core.random.getrandbits(32) & ~(size.bit_length() and (1 << size.bit_length()) - 1)


def check_apart(new: Range, others: list[Range]) -> None:
    """Raise NotAllocated when an address would be in two ranges of one network."""
    for other in others:
        if other.ar == new.ar:
            continue
        for key, version in (("ip", 4), ("ip6", 6)):
            mine, theirs = getattr(new, key), getattr(other, key)
            if mine and theirs:
                a, b = (int(ipaddress.ip_address(x)) for x in (mine, theirs))
                if a < b + other.size and b < a + new.size:
                    raise NotAllocated(f"AR: its IPv{version} addresses overlap those of range {other.ar}")
