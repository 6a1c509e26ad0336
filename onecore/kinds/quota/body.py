"""Quotas as bodies show them: DATASTORE_QUOTA, NETWORK_QUOTA, VM_QUOTA, IMAGE_QUOTA."""
from __future__ import annotations

from onecore.kinds.quota import limits
from onecore.kinds.quota.guard import limits_of, used
from onecore.kinds.quota.limits import DEFAULT, SECTIONS, UNLIMITED, WHOLE_CLOUD, Limits
from onecore.kinds.quota.record import DEFAULTS
from onecore.kinds.quota.sums import Key
from onecore.lifecycle.core import Core
from onecore.wire import xmlbody


def of(core: Core, owner: str, oid: int) -> str:
    """The quotas of a user or group: what is limited, and what is used."""
    return _sections(core, limits_of(core.store, owner, oid), used(core).of((owner, oid)), DEFAULT)


def defaults(core: Core, owner: str) -> str:
    """<DEFAULT_USER_QUOTAS> or <DEFAULT_GROUP_QUOTAS>."""
    tag = f"DEFAULT_{owner.upper()}_QUOTAS"
    return f"<{tag}>{_sections(core, limits_of(core.store, owner, DEFAULTS), {}, UNLIMITED)}</{tag}>"


def _sections(core: Core, own: Limits, sums: dict[Key, int], otherwise: int) -> str:
    parts = []
    for section in SECTIONS:
        idents = set(own.get(section, {}))
        idents |= {"" if section == "VM" else str(place) for name, place, _ in sums
                   if name == section and (section != "VM" or place == WHOLE_CLOUD)}
        inner = "".join(_element(core, section, ident, own.get(section, {}).get(ident, {}), sums, otherwise)
                        for ident in sorted(idents, key=_order))
        parts.append(f"<{section}_QUOTA>{inner}</{section}_QUOTA>")
    return "".join(parts)


def _order(ident: str) -> list[int]:
    return [int(part) for part in ident.split(",")] if ident else []


def _element(core: Core, section: str, ident: str, own: dict[str, int], sums: dict[Key, int], otherwise: int) -> str:
    """One vector: its id, each limit and what is used of it."""
    places = _order(ident) or [WHOLE_CLOUD]
    head = ("CLUSTER_IDS" if section == "VM" else "ID", ident)
    parts = [xmlbody.text(*head)] if ident else []
    for metric in limits.metrics(section, used(core).generic):
        taken = sum(sums.get((section, place, metric), 0) for place in places)
        most = limits.shown(metric, own.get(metric, otherwise))
        parts.append(f"<{metric}>{most}</{metric}><{metric}_USED>{limits.shown(metric, taken)}</{metric}_USED>")
    return f"<{section}>{''.join(parts)}</{section}>"
