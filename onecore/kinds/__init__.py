"""The resource kinds.  Importing this package fills the tables: KINDS and the API."""
from onecore.kinds import (
    acl,
    cluster,
    datastore,
    events,
    fixed,
    group,
    host,
    image,
    operations,
    reconcile,
    system,
    template,
    user,
    vnet,
)
from onecore.kinds.kind import KINDS
from onecore.kinds.vm import (
    attach,
    disk_snapshots,
    migrate,
    placing,
    recover,
    scheduling,
)
from onecore.kinds.vm import methods as vm

__all__ = [
    "KINDS",
    "acl",
    "attach",
    "cluster",
    "datastore",
    "disk_snapshots",
    "events",
    "fixed",
    "group",
    "host",
    "image",
    "migrate",
    "operations",
    "placing",
    "reconcile",
    "recover",
    "scheduling",
    "system",
    "template",
    "user",
    "vm",
    "vnet",
]
