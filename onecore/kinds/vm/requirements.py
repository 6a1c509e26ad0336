"""AUTOMATIC_REQUIREMENTS: in which clusters a VM may run, from where its images and networks are."""
from __future__ import annotations

from onecore.errors import NotAllocated
from onecore.kinds.cluster import cluster_ids
from onecore.kinds.kind import KINDS
from onecore.lifecycle.core import Core
from onecore.wire.template import Tree

_NAMED = (("datastore", ("DISK",), "DATASTORE_ID"), ("vnet", ("NIC", "NIC_ALIAS"), "NETWORK_ID"))


def require(core: Core, tree: Tree) -> None:
    """Write them into TREE; raises NotAllocated when there is no such cluster."""
    clusters = clusters_of(core, tree)
    if clusters is not None and not clusters:
        raise NotAllocated("Incompatible clusters: the VM's images and networks have no cluster in common")
    write(tree, clusters)


def renew(core: Core, tree: Tree) -> None:
    """Write them anew when TREE has less; where nothing is in common any more they stay as they are."""
    clusters = clusters_of(core, tree)
    if clusters != set():
        write(tree, clusters)


def clusters_of(core: Core, tree: Tree) -> set[int] | None:
    """The clusters that all of TREE's images and networks are in; None: any."""
    common: set[int] | None = None
    for kind, names, key in _NAMED:
        for oid in {int(v[key]) for name in names for v in tree.vectors(name) if v.get(key)}:
            theirs = set(cluster_ids(KINDS[kind].find(core, oid).clusters))
            common = theirs if common is None else common & theirs
    return common


def write(tree: Tree, clusters: set[int] | None) -> None:
    """CLUSTERS as expressions; None takes them away."""
    tree.remove("AUTOMATIC_REQUIREMENTS", "AUTOMATIC_DS_REQUIREMENTS")
    if clusters is not None:
        ordered = sorted(clusters)
        tree.set("AUTOMATIC_REQUIREMENTS", "(" + " | ".join(f"CLUSTER_ID = {c}" for c in ordered) + ")")
        tree.set("AUTOMATIC_DS_REQUIREMENTS", "(" + " | ".join(f'"CLUSTERS/ID" @> {c}' for c in ordered) + ")")
