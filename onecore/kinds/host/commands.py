"""What drivers are told of hosts: the documents of docs/drivers.md, and commands about a host itself."""
from __future__ import annotations

from typing import Any

from onecore.kinds import sealed
from onecore.kinds.cluster import cluster_ids
from onecore.kinds.host.record import Host
from onecore.kinds.kind import KINDS, tree_of
from onecore.lifecycle.core import Core
from onecore.wire.messages import Command, Doc
from onecore.wire.states import DatastoreType

_SECONDS = 60.0
_CLEANS = frozenset(("cleanup", "delete", "untap"))
"""Actions whose time is `cleanup` of [deadlines], as it is when an operation needs them."""


def document(core: Core, host: Host) -> Doc:
    """The host as drivers see it."""
    return {"id": host.oid, "name": host.name, "im_mad": host.im_mad, "vm_mad": host.vm_mad,
            "attrs": sealed.attributes(core, "host", host)}


def command(core: Core, host: Host, driver: str, action: str, args: Doc | None = None) -> Command:
    """A command about HOST itself, in its lane."""
    seconds = float(core.config.deadlines.cleanup) if action in _CLEANS else _SECONDS
    return Command(0, 0, core.epoch, 0, host.name, driver, action, ("host", host.oid), seconds,
                   args={"host": document(core, host), **(args or {})})


def system_datastores(core: Core, host: Host) -> list[Doc]:
    """The system datastores that VMs on HOST may be in, each with `shared`."""
    found: Any = core.store.all(KINDS["datastore"].record)
    return [{"id": ds.oid, "base_path": str(core.home / "datastores" / str(ds.oid)), "shared": is_shared(ds)}
            for ds in sorted(found, key=lambda ds: ds.oid)
            if ds.type == DatastoreType.SYSTEM and host.cid in cluster_ids(ds.clusters)]


def is_shared(datastore: Any) -> bool:
    """Whether every host of a datastore's clusters sees the same files in it."""
    return tree_of(datastore.template).get("SHARED", "YES").upper() != "NO"
