"""Where a VM may be put for its owner's rights: MANAGE on hosts, USE on system datastores.

The match-maker, who may all, is told so by the VM's automatic requirements.  It is derived when a body is made, and
kept nowhere: rules and groups change.
"""
from __future__ import annotations

import re

from onecore.auth import acl
from onecore.auth.caller import Caller
from onecore.kinds.acl import AclRule
from onecore.kinds.datastore import Datastore
from onecore.kinds.kind import allowed, rules
from onecore.kinds.user import User, caller
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.pool.store import Store
from onecore.wire.states import DatastoreType
from onecore.wire.xmlrpc import escape_bytes, unescape

NOWHERE = "ID < 0"
_WRITTEN = re.compile(rb"&lt;(AUTOMATIC_(?:DS_)?REQUIREMENTS)&gt;&lt;!\[CDATA\[(.*?)\]\]&gt;&lt;/\1&gt;", re.S)
_NAMES = ("AUTOMATIC_DS_REQUIREMENTS", "AUTOMATIC_REQUIREMENTS")
"""In the order of the schema, before all else."""


class Places:
    """{owner: (expression for datastores, one for hosts)}, as long as rules, users and datastores stay as they are."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[str, str]] = {}

    def follow(self, store: Store) -> None:
        """Hear of every change."""
        for cls in (AclRule, User, Datastore):
            store.index(cls, self)

    def change(self, old: Record | None, new: Record | None) -> None:
        """A record was added, replaced or removed."""
        same = isinstance(old, User) and isinstance(new, User) and (old.gid, old.groups) == (new.gid, new.groups)
        if not same:  # a login changes tokens alone
            self._kept.clear()

    def of(self, core: Core, uid: int) -> tuple[str, str]:
        """Where the VMs of a user may be put; "": anywhere."""
        found = self._kept.get(uid)
        if found is None:
            owner = core.store.get(User, uid)
            who = caller(owner) if owner else None
            found = ("", "") if who is None or who.admin else (_stores(core, who), _hosts(core, who))
            self._kept[uid] = found
        return found


def restricted(core: Core, vm: Vm, template: bytes) -> bytes:
    """A VM's TEMPLATE with its owner's rights among its automatic requirements, if they are not for everything."""
    places: Places = core.kinds["vm.places"]
    found = places.of(core, vm.uid)
    if found == ("", ""):
        return template
    known, rest = _written(template)
    told = "".join(f"<{name}><![CDATA[{text}]]></{name}>" for name, more in zip(_NAMES, found, strict=True)
                   if (text := _both(known.get(name, ""), more)))
    return escape_bytes(told) + rest


def _written(template: bytes) -> tuple[dict[str, str], bytes]:
    """What the core wrote of _NAMES, and the rest of TEMPLATE, where the same words are somebody's values."""
    known, at = {}, 0
    while (found := _WRITTEN.match(template, at)) is not None:
        known[found[1].decode()], at = unescape(found[2].decode()), found.end()
    return known, template[at:]


def _both(known: str, more: str) -> str:
    """Both; & takes all that stands before it."""
    return f"{known} & ({more})" if known and more else known or more


def _hosts(core: Core, who: Caller) -> str:
    """An expression for the hosts on which rules give MANAGE; "": all."""
    found = rules(core).shown(who.uid, who.gids, acl.RESOURCES["HOST"], acl.MANAGE)
    if found.everything:
        return ""
    parts = [*(f"ID = {oid}" for oid in sorted(found.ids)), *(f"CLUSTER_ID = {oid}" for oid in sorted(found.clusters))]
    return " | ".join(parts) or NOWHERE


def _stores(core: Core, who: Caller) -> str:
    """An expression for the system datastores that may be used; "": all."""
    system = [ds for ds in core.store.all(Datastore) if ds.type == DatastoreType.SYSTEM]
    usable = sorted(ds.oid for ds in system if allowed(core, who, "USE", "datastore", ds))
    return "" if len(usable) == len(system) else " | ".join(f"ID = {oid}" for oid in usable) or NOWHERE
