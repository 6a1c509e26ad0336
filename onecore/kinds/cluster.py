"""Clusters: record, body, methods; which hosts, datastores and networks belong to one."""
from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from onecore.api import Request, method
from onecore.auth.authorize import authorize
from onecore.errors import BadArgument, NotAllocated
from onecore.kinds import plan, verbs
from onecore.kinds.kind import KINDS, Kind, check_name, rules
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.wire import xmlbody
from onecore.wire.template import Tree
from onecore.wire.xmlrpc import escape_bytes


@dataclass(frozen=True, slots=True)
class Cluster(Record):
    """A cluster; members are found through hosts, datastores and networks."""

    TABLE: ClassVar[str] = "cluster_pool"
    KIND: ClassVar[str] = "cluster"
    oid: int
    name: str
    template: bytes


def cluster_ids(text: str) -> frozenset[int]:
    """The cluster ids that a datastore or network keeps as text."""
    return frozenset(int(part) for part in text.split())


RESERVED_FORM = re.compile(r"-?\d{1,15}(\.\d{1,6})?%?\Z|\Z", re.A)
RESERVED = ("RESERVED_CPU", "RESERVED_MEM")


def check_reserved(tree: Tree) -> None:
    """Raise NotAllocated unless what is reserved is a number or a percentage; below 0: more is given than there is."""
    for key in RESERVED:
        if not RESERVED_FORM.match(tree.get(key)):
            raise NotAllocated(f"{key} must be a number or a percentage, such as 10%, not {tree.get(key)[:40]!r}")


def of_new(req: Request, cluster_id: int) -> int:
    """The cluster of a host, datastore or network that is to be made; -1: the default one.

    Raises NoExists, or Forbidden without ADMIN on one that was named.
    """
    if cluster_id == -1:
        return 0
    found = verbs.existing("cluster", req.core, cluster_id)
    authorize(req.caller, "ADMIN", "cluster", found, rules(req.core))
    return int(found.oid)


def _members(core: Core, oid: int) -> dict[str, list[int]]:
    store = core.store
    hosts = [h.oid for h in store.all(KINDS["host"].record) if h.cid == oid]  # type: ignore[attr-defined]
    stores, nets = ([r.oid for r in store.all(KINDS[k].record) if oid in cluster_ids(r.clusters)]  # type: ignore[attr-defined]
                    for k in ("datastore", "vnet"))
    return {"HOSTS": hosts, "DATASTORES": stores, "VNETS": nets}


def body(core: Core, cluster: Cluster) -> list[bytes]:
    """<CLUSTER>."""
    made = plan.of(core, cluster.oid)
    members = "".join(xmlbody.ids(tag, found) for tag, found in _members(core, cluster.oid).items())
    return [escape_bytes(f"<CLUSTER><ID>{cluster.oid}</ID>{xmlbody.text('NAME', cluster.name)}{members}<TEMPLATE>"),
            cluster.template, escape_bytes(f"{plan.message(made)}</TEMPLATE>{plan.xml(made)}</CLUSTER>")]


CLUSTER = Kind("cluster", "CLUSTER", Cluster, "one.cluster", "one.clusterpool", body, owned=False, unique="all",
               classes=(plan.Plan,))
KINDS["cluster"] = CLUSTER


def _updated(req: Request, cluster: Cluster, _old: Tree, new: Tree) -> Cluster:
    check_reserved(new)
    new.remove(plan.MESSAGE)
    return cluster


verbs.declare(CLUSTER, "info", "pool", "rename", "update", on_update=_updated)


@method("one.cluster.allocate")
def allocate(req: Request, name: str) -> int:
    """Make a cluster."""
    verbs.require_create(req, "cluster")
    check_name(req.tx, req.core, CLUSTER, name, -1)
    oid = req.tx.next_id("cluster")
    req.tx.put(Cluster(oid, name, b""))
    req.tx.log("cluster", oid, "create", new=name)
    return oid


@method("one.cluster.delete", right="ADMIN", on="cluster")
def delete(req: Request, cluster: Cluster) -> int:
    """Remove an empty cluster."""
    if cluster.oid == 0:
        raise BadArgument("cluster 0 (default) is part of the cloud and cannot be deleted", 0)
    for tag, found in _members(req.core, cluster.oid).items():
        if found:
            raise BadArgument(f"Cannot delete cluster {cluster.oid}: it still has {tag.lower()} "
                              f"{', '.join(map(str, found))}.", cluster.oid)
    verbs.remove(req.tx, CLUSTER, cluster)
    return cluster.oid


@method("one.cluster.addhost", right="ADMIN", on="cluster")
def addhost(req: Request, cluster: Cluster, host_id: int) -> int:
    """Move a host into the cluster."""
    _move(req, host_id, cluster.oid)
    return cluster.oid


@method("one.cluster.delhost", right="ADMIN", on="cluster")
def delhost(req: Request, cluster: Cluster, host_id: int) -> int:
    """Move a host of the cluster back to cluster 0."""
    _move(req, host_id, 0, cluster.oid)
    return cluster.oid


def _move(req: Request, host_id: int, cid: int, expected: int = -1) -> None:
    """Move a host to cluster CID, from the EXPECTED one if that is given."""
    host = verbs.existing("host", req.core, host_id)
    authorize(req.caller, "ADMIN", "host", host, rules(req.core))
    if expected not in (-1, host.cid):
        raise BadArgument(f"host {host_id} is not in cluster {expected}", host_id)
    req.tx.put(replace(host, cid=cid))
    req.tx.log("host", host_id, "update", old=str(host.cid), new=str(cid), keys=["CLUSTER_ID"])


@method("one.cluster.adddatastore", right="ADMIN", on="cluster")
def adddatastore(req: Request, cluster: Cluster, datastore_id: int) -> int:
    """Let the cluster's hosts use a datastore."""
    return _share(req, cluster, "datastore", datastore_id, True)


@method("one.cluster.deldatastore", right="ADMIN", on="cluster")
def deldatastore(req: Request, cluster: Cluster, datastore_id: int) -> int:
    """Take a datastore out of the cluster; it may be in none then."""
    return _share(req, cluster, "datastore", datastore_id, False)


@method("one.cluster.addvnet", right="ADMIN", on="cluster")
def addvnet(req: Request, cluster: Cluster, net_id: int) -> int:
    """Let the cluster's hosts use a virtual network."""
    return _share(req, cluster, "vnet", net_id, True)


@method("one.cluster.delvnet", right="ADMIN", on="cluster")
def delvnet(req: Request, cluster: Cluster, net_id: int) -> int:
    """Take a virtual network out of the cluster; it may be in none then."""
    return _share(req, cluster, "vnet", net_id, False)


def _share(req: Request, cluster: Cluster, kind: str, oid: int, joins: bool) -> int:
    """Datastores and networks may be in many clusters.  Adding what is there already changes nothing."""
    found = verbs.existing(kind, req.core, oid)
    authorize(req.caller, "ADMIN", kind, found, rules(req.core))
    verbs.check_lock(found, "ADMIN", KINDS[kind].noun)
    old = cluster_ids(found.clusters)
    if not joins and cluster.oid not in old:
        raise BadArgument(f"{KINDS[kind].label} {oid} is not in cluster {cluster.oid}", oid)
    new = old | {cluster.oid} if joins else old - {cluster.oid}
    text = " ".join(map(str, sorted(new)))
    req.tx.put(replace(found, clusters=text))
    req.tx.log(kind, oid, "update", old=found.clusters, new=text, keys=["CLUSTERS"])
    return cluster.oid
