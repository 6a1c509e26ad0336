"""The resource kinds.  Importing this package fills the tables: KINDS and the API."""
from onecore.kinds import (
    cluster,
    datastore,
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
from onecore.kinds.vm import methods as vm
from onecore.kinds.vm import migrate, placing, recover

__all__ = ["KINDS", "cluster", "datastore", "fixed", "group", "host", "image", "migrate", "operations", "placing",
           "reconcile", "recover", "system", "template", "user", "vm", "vnet"]
