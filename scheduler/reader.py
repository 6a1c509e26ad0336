"""Reading oned: pools at the start, then only what events name.  Reads, and nothing else."""
from __future__ import annotations

import json
from collections.abc import Collection
from itertools import islice

from onecore.wire import xmlbody
from onecore.wire.client import Client, ClientError
from onecore.wire.states import VmState
from scheduler import bodies
from scheduler.bodies import Demand
from scheduler.snapshot import Snapshot

NO_EXISTS = 0x0400
FEW_HOSTS = 8
ASKED = -1
"""The state of a plan that nobody made yet."""


def read_everything(client: Client, snapshot: Snapshot, batch: int) -> None:
    """Hosts, datastores, clusters, VM groups and all VMs; in full only those that wait for a host or are in a group."""
    read_hosts(client, snapshot)
    read_datastores(client, snapshot)
    read_clusters(client, snapshot)
    grouped = read_groups(client, snapshot)
    pool = xmlbody.read(client.text("one.vmpool.info", -2, -1, -1, -1))
    for body in pool.findall("VM"):
        snapshot.put_vm(bodies.vm(body))
    waiting = {vm.id for vm in snapshot.vms.values() if vm.waits}
    read_vms(client, snapshot, waiting | (grouped & snapshot.vms.keys()), batch)


def read_vms(client: Client, snapshot: Snapshot, vms: Collection[int], batch: int) -> None:
    """These VMs in full, BATCH in a call; those that are not there any more are dropped."""
    wanted = iter(sorted(vms))
    while some := tuple(islice(wanted, batch)):
        pool = xmlbody.read(client.text("one.vmpool.infoset", ",".join(map(str, some)), True))
        found = {vm.id: vm for vm in map(bodies.vm, pool.findall("VM"))}
        for vm in some:
            if vm in found and found[vm].state != VmState.DONE:
                snapshot.put_vm(found[vm])
            else:
                snapshot.drop_vm(vm)
        if any(vm.group >= 0 and vm.group not in snapshot.groups for vm in found.values()):
            read_groups(client, snapshot)  # made since they were read


def read_hosts(client: Client, snapshot: Snapshot, hosts: Collection[int] | None = None) -> None:
    """These hosts, or all."""
    if hosts is None or len(hosts) > FEW_HOSTS:
        pool = xmlbody.read(client.text("one.hostpool.info"))
        snapshot.put_hosts(map(bodies.host, pool.findall("HOST")))
        return
    for host in sorted(hosts):
        try:
            snapshot.put_host(bodies.host(xmlbody.read(client.text("one.host.info", host))))
        except ClientError as error:
            if error.code != NO_EXISTS:
                raise
            snapshot.drop_host(host)


def read_datastores(client: Client, snapshot: Snapshot) -> None:
    """All datastores."""
    pool = xmlbody.read(client.text("one.datastorepool.info"))
    snapshot.put_datastores(map(bodies.datastore, pool.findall("DATASTORE")))


def read_clusters(client: Client, snapshot: Snapshot) -> None:
    """All clusters."""
    pool = xmlbody.read(client.text("one.clusterpool.info"))
    snapshot.put_clusters(map(bodies.cluster, pool.findall("CLUSTER")))


def read_groups(client: Client, snapshot: Snapshot) -> set[int]:
    """All VM groups; the VMs in them."""
    pool = xmlbody.read(client.text("one.vmgrouppool.info", -2, -1, -1))
    found = list(map(bodies.group, pool.findall("VM_GROUP")))
    snapshot.put_groups(group for group, _ in found)
    return {vm for _, vms in found for vm in vms}


def read_demands(client: Client, vms: Collection[int], batch: int) -> dict[int, Demand]:
    """All that VMs which wait for nothing ask for, as if they were to be moved, BATCH in a call."""
    wanted, found = iter(sorted(vms)), dict[int, Demand]()
    while some := tuple(islice(wanted, batch)):
        pool = xmlbody.read(client.text("one.vmpool.infoset", ",".join(map(str, some)), True))
        found |= {vm.id: vm.demand for vm in (bodies.vm(body, True) for body in pool.findall("VM"))}
    return found


def read_asked(client: Client) -> list[tuple[int, int]]:
    """(cluster, plan's number) of each plan that is asked for."""
    told = json.loads(client.text("onecore.cluster.plans"))
    return [(int(plan["cluster"]), int(plan["number"])) for plan in told if plan["state"] == ASKED]
