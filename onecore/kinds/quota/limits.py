"""Limits as values: what can be limited, in which units, read from templates, merged, looked up.  Pure.

A limit below 0 is a word: -1 as the defaults say, -2 none.  Amounts are whole numbers: of what has fractions, the
hundredths.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache

from onecore.errors import BadArgument
from onecore.kinds.kind import MAX_ID, whole
from onecore.wire.template import Tree, Vector

DEFAULT, UNLIMITED = -1, -2
WHOLE_CLOUD = -1
"""In place of a cluster: VMs wherever they are."""
_COUNTED = ("CPU", "MEMORY", "PCI_DEV", "PCI_NIC", "RUNNING_CPU", "RUNNING_MEMORY", "RUNNING_PCI_DEV",
            "RUNNING_PCI_NIC", "RUNNING_VMS", "SYSTEM_DISK_SIZE", "VMS")
SECTIONS: dict[str, tuple[str, ...]] = {
    "DATASTORE": ("IMAGES", "SIZE"), "NETWORK": ("LEASES",), "VM": _COUNTED, "IMAGE": ("RVMS",)}
"""What can be limited, in the order of the schemas.  MEMORY, SIZE and SYSTEM_DISK_SIZE are MB."""
_PLAIN = {metric for metrics in SECTIONS.values() for metric in metrics} - {"CPU", "RUNNING_CPU"}

Limits = dict[str, dict[str, dict[str, int]]]
"""{section: {id, or of VMs the clusters with commas between ("": all): {metric: limit}}}."""


def metrics(section: str, generic: Iterable[str] = ()) -> tuple[str, ...]:
    """What is limited in a section; GENERIC are attributes of VMs that are limited too."""
    more = [f"{prefix}{name}" for name in generic for prefix in ("", "RUNNING_")] if section == "VM" else []
    return (*SECTIONS[section], *(name for name in more if name not in SECTIONS["VM"]))


def amount(metric: str, text: str) -> int | None:
    """TEXT, a number in the metric's unit, as an amount; None when it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    if not -1e15 < number < 1e15 or (metric in _PLAIN and number != int(number)):
        return None
    return int(number) if metric in _PLAIN or number < 0 else round(number * 100)


def shown(metric: str, value: int) -> str:
    """The reverse."""
    return str(value) if metric in _PLAIN or value < 0 else f"{value / 100:.2f}".rstrip("0").rstrip(".")


@lru_cache(4096)
def load(text: str) -> Limits:
    """Limits from a record's JSON (cached by content: do not change them)."""
    found: Limits = json.loads(text or "{}")
    return found


def limit(own: Limits, defaults: Limits, section: str, ident: str, metric: str) -> int:
    """The limit that holds, -2 when there is none."""
    found = own.get(section, {}).get(ident, {}).get(metric, DEFAULT)
    return found if found != DEFAULT else defaults.get(section, {}).get(ident, {}).get(metric, UNLIMITED)


def merged(before: Limits, given: Tree, generic: Iterable[str], is_default: bool) -> Limits:
    """BEFORE with the vectors of GIVEN in place of those about the same; raises BadArgument naming what is wrong."""
    out: Limits = {section: dict(idents) for section, idents in before.items()}
    for section, value in given:
        if section not in SECTIONS or not isinstance(value, dict):
            raise BadArgument(f"quota must hold vectors {', '.join(SECTIONS)}, not {section[:40]}")
        found = _limits(section, value, metrics(section, generic), is_default)
        idents = out.setdefault(section, {})
        idents.pop(ident := _ident(section, value, is_default), None)
        if any(number != (UNLIMITED if is_default else DEFAULT) for number in found.values()):
            idents[ident] = found
    return {section: idents for section, idents in out.items() if idents}


def _limits(section: str, value: Vector, known: tuple[str, ...], is_default: bool) -> dict[str, int]:
    extra = [key for key in value if key not in (*known, "ID", "CLUSTER_IDS") and not key.endswith("_USED")]
    if extra:
        raise BadArgument(f"quota: {section} may hold {', '.join(known)}, not {extra[0][:40]}")
    return {metric: _limit(section, metric, value[metric], is_default) for metric in known if value.get(metric)}


def _limit(section: str, metric: str, text: str, is_default: bool) -> int:
    number = amount(metric, text)
    least = UNLIMITED if not is_default or number != DEFAULT else 0
    if number is None or number < least:
        words = "-2 (no limit)" if is_default else "-1 (the default) or -2 (no limit)"
        raise BadArgument(f"quota: {section}/{metric} must be a {'whole ' if metric in _PLAIN else ''}number, {words}, "
                          f"not {text[:40]!r}")
    return number


def _ident(section: str, value: Vector, is_default: bool) -> str:
    """What the limits are of: an id, or clusters."""
    if section != "VM":
        if whole(value.get("ID", ""), 0, MAX_ID) is None:
            raise BadArgument(f"quota: {section}/ID must be a number from 0 to {MAX_ID}, "
                              f"not {value.get('ID', '')[:40]!r}")
        return str(int(value["ID"]))
    numbers = [whole(part.strip(), 0, MAX_ID) for part in value.get("CLUSTER_IDS", "").split(",") if part.strip()]
    if None in numbers:
        raise BadArgument("quota: VM/CLUSTER_IDS must be numbers with commas between, "
                          f"not {value['CLUSTER_IDS'][:40]!r}")
    if numbers and is_default:
        raise BadArgument("quota: VM/CLUSTER_IDS: default quotas are about all clusters")
    return ",".join(str(number) for number in sorted({n for n in numbers if n is not None}))


def dump(limits: Mapping[str, object]) -> str:
    """Limits as a record keeps them."""
    return json.dumps(limits, separators=(",", ":"), sort_keys=True)
