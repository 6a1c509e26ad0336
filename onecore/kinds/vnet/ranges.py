"""Address ranges from templates: checked, numbered, changed."""
from __future__ import annotations

import ipaddress

from onecore.errors import NotAllocated
from onecore.kinds.kind import inner_xml, whole
from onecore.kinds.vnet.record import Range, mac_number
from onecore.lifecycle.core import Core
from onecore.wire.template import Tree, Vector

TYPES = ("IP4", "ETHER", "IP6", "IP4_6", "IP6_STATIC", "IP4_6_STATIC")
MAX_SIZE = 1 << 24
_OWN = {"TYPE", "SIZE", "MAC", "IP", "IP6", "GLOBAL_PREFIX", "ULA_PREFIX", "PREFIX_LENGTH", "AR_ID"}


TRIES = 100


def make(core: Core, vnet: int, ar: int, given: Vector, others: list[Range]) -> Range:
    """The range that a vector AR = [...] describes, apart from OTHERS; raises NotAllocated naming the key."""
    kind = given.get("TYPE", "").upper()
    if kind not in TYPES:
        raise NotAllocated(f"AR TYPE must be one of {', '.join(TYPES)}, not {kind!r}")
    size = _size(given.get("SIZE", ""))
    ip, ip6 = _ip(given, kind, size), _ip6(given, kind, size)
    for key in ("GLOBAL_PREFIX", "ULA_PREFIX"):
        if given.get(key):
            _prefix(key, given[key])
    mac = _mac(core, given.get("MAC", ""), ip, size, [other for other in others if other.ar != ar])
    rest = Tree((k, v) for k, v in given.items() if k not in _OWN)
    made = Range(vnet, ar, kind, size, mac, ip, ip6, given.get("GLOBAL_PREFIX", ""), given.get("ULA_PREFIX", ""),
                 given.get("PREFIX_LENGTH", ""), inner_xml(rest))
    _check_apart(made, others)
    return made


def _prefix(key: str, given: str) -> None:
    address, slash, length = given.partition("/")
    _address(6, key, address)
    if slash and whole(length, 1, 64) is None:
        raise NotAllocated(f"AR {key} must be an IPv6 prefix of at most 64 bits, not {given[:60]!r}")


def _size(given: str) -> int:
    found = whole(given, 1, MAX_SIZE)
    if found is None:
        raise NotAllocated(f"AR SIZE must be a whole number from 1 to {MAX_SIZE}, not {given[:40]!r}")
    return found


def _address(version: int, key: str, given: str) -> str:
    try:
        return str((ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address)(given.replace("%", " ")))
    except ValueError:
        raise NotAllocated(f"AR {key} is not an IPv{version} address: {given[:60]!r}") from None


def _ip(given: Vector, kind: str, size: int) -> str:
    if kind not in ("IP4", "IP4_6", "IP4_6_STATIC"):
        return ""
    first = _address(4, "IP", given.get("IP", ""))
    if int(ipaddress.IPv4Address(first)) + size - 1 > 0xFFFFFFFF:
        raise NotAllocated(f"AR SIZE {size} runs past the last IPv4 address from IP {first} on")
    return first


def _ip6(given: Vector, kind: str, size: int) -> str:
    if kind not in ("IP6_STATIC", "IP4_6_STATIC"):
        return ""
    length = given.get("PREFIX_LENGTH", "")
    if whole(length, 1, 128) is None:
        raise NotAllocated(f"AR PREFIX_LENGTH must be from 1 to 128, not {length[:40]!r}")
    first = _address(6, "IP6", given.get("IP6", ""))
    if int(ipaddress.IPv6Address(first)) + size - 1 >= 2**128:
        raise NotAllocated(f"AR SIZE {size} runs past the last IPv6 address from IP6 {first} on")
    return first


def _mac(core: Core, given: str, ip: str, size: int, others: list[Range]) -> int:
    if given:
        try:
            first = mac_number(given)
        except ValueError:
            raise NotAllocated(f"AR MAC is not a MAC address: {given[:40]!r}") from None
        if first + size > 1 << 48:
            raise NotAllocated(f"AR SIZE {size} runs past the last MAC address from {given} on")
        return first
    prefix = int(core.config.defaults.mac_prefix.replace(":", ""), 16) << 32
    if ip:
        return prefix | int(ipaddress.IPv4Address(ip))
    for _ in range(TRIES):
        first = prefix | core.random.getrandbits(32) & -(1 << size.bit_length())
        if not any(_meet(first, size, other.mac, other.size) for other in others):
            return first
    raise NotAllocated(f"AR SIZE {size}: no MAC addresses are left for it, give a MAC")


def _meet(first: int, size: int, other: int, other_size: int) -> bool:
    return first < other + other_size and other < first + size


def _check_apart(new: Range, others: list[Range]) -> None:
    for other in others:
        if other.ar == new.ar:
            continue
        if _meet(new.mac, new.size, other.mac, other.size):
            raise NotAllocated(f"AR: its MAC addresses overlap those of range {other.ar}")
        for key, version in (("ip", 4), ("ip6", 6)):
            mine, theirs = getattr(new, key), getattr(other, key)
            if mine and theirs:
                a, b = (int(ipaddress.ip_address(x)) for x in (mine, theirs))
                if _meet(a, new.size, b, other.size):
                    raise NotAllocated(f"AR: its IPv{version} addresses overlap those of range {other.ar}")
