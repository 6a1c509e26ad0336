"""What belongs to a cluster: one each for hosts, any number for datastores and networks; who may change it."""
from __future__ import annotations

import pytest
from api_calls import ALLOCATE, AUTHORIZATION, LOCKED, NO_EXISTS, RPC_API, refused
from cloud_process import Cloud, template, unique
from xsd import validate

from onecore.auth import acl

pytestmark = pytest.mark.surface


@pytest.fixture
def cid(cloud: Cloud) -> int:
    """An empty one."""
    return cloud.client.number("one.cluster.allocate", unique("cluster"))


def members(cloud: Cloud, cid: int) -> dict[str, list[int]]:
    """Ids by element."""
    body = cloud.body("cluster", cid)
    return {tag: [int(e.text or "") for e in body.findall(f"{tag}/ID")] for tag in ("HOSTS", "DATASTORES", "VNETS")}


def clusters(cloud: Cloud, kind: str, oid: int) -> list[str]:
    """The ids in an object's CLUSTERS."""
    return [e.text or "" for e in cloud.body(kind, oid).findall("CLUSTERS/ID")]


def make_store(cloud: Cloud) -> int:
    """A system datastore."""
    return cloud.client.number("one.datastore.allocate", template(
        {"NAME": unique("ds"), "TYPE": "SYSTEM_DS", "TM_MAD": "dummy"}), -1)


def admin_of(uid: int, resource: str, oid: int) -> tuple[str, str, str]:
    """The rule that gives a user ADMIN on one object."""
    return (f"{acl.INDIVIDUAL | uid:x}", f"{acl.RESOURCES[resource] | acl.INDIVIDUAL | oid:x}",
            f"{acl.RIGHTS['ADMIN']:x}")


@pytest.mark.parametrize("kind, word, tag", [("datastore", "datastore", "DATASTORES"), ("vn", "vnet", "VNETS")])
def test_shared_by_clusters(cloud: Cloud, cid: int, kind: str, word: str, tag: str) -> None:
    """In several, in one, in none; twice is once; what is not in cannot be taken out."""
    oid = make_store(cloud) if kind == "datastore" else cloud.make_network()
    for _ in range(2):
        assert cloud.client.number(f"one.cluster.add{word}", cid, oid) == cid
        assert clusters(cloud, kind, oid) == ["0", str(cid)]
    assert members(cloud, cid)[tag] == [oid]
    assert "it still has" in refused(cloud.client, RPC_API, "one.cluster.delete", cid)
    assert cloud.client.number(f"one.cluster.del{word}", 0, oid) == 0
    assert clusters(cloud, kind, oid) == [str(cid)] and oid not in members(cloud, 0)[tag]
    cloud.client.call(f"one.cluster.del{word}", cid, oid)
    assert clusters(cloud, kind, oid) == [] == members(cloud, cid)[tag]
    assert "not in cluster" in refused(cloud.client, RPC_API, f"one.cluster.del{word}", cid, oid)
    refused(cloud.client, NO_EXISTS, f"one.cluster.add{word}", cid, 4711)
    validate("cluster", cloud.client.text("one.cluster.info", cid))
    validate(word, cloud.client.text(f"one.{kind}.info", oid))
    cloud.client.call(f"one.{kind}.delete", oid)
    cloud.client.call("one.cluster.delete", cid)


def test_vms_find_no_place_in_no_cluster(cloud: Cloud, cid: int) -> None:
    """A VM needs a cluster that all of its networks are in."""
    here, there = cloud.make_network(), cloud.make_network()
    cloud.client.call("one.cluster.addvnet", cid, here)
    cloud.client.call("one.cluster.addvnet", cid, there)
    cloud.client.call("one.cluster.delvnet", 0, there)
    vm = cloud.make_vm(NIC=[{"NETWORK_ID": here}, {"NETWORK_ID": there}], hold=True)
    assert cloud.body("vm", vm).findtext("TEMPLATE/AUTOMATIC_REQUIREMENTS") == f"(CLUSTER_ID = {cid})"
    cloud.client.call("one.cluster.delvnet", cid, here)
    text = refused(cloud.client, ALLOCATE, "one.vm.allocate", template(
        {"NAME": "a", "CPU": 1, "MEMORY": 64, "NIC": [{"NETWORK_ID": here}, {"NETWORK_ID": there}]}))
    assert "Incompatible clusters" in text
    cloud.client.call("one.vm.action", "terminate-hard", vm)


def test_who_may(cloud: Cloud, cid: int) -> None:
    """ADMIN on the cluster and on what is moved; a lock on a network forbids it."""
    uid, user = cloud.make_user()
    net, host = cloud.make_network(), cloud.add_hosts(1)[0]
    cloud.client.call("one.acl.addrule", *admin_of(uid, "CLUSTER", cid))
    refused(user, AUTHORIZATION, "one.cluster.addvnet", cid, net)
    refused(user, AUTHORIZATION, "one.cluster.addhost", cid, host)
    refused(user, AUTHORIZATION, "one.cluster.adddatastore", cid, 1)
    cloud.client.call("one.acl.addrule", *admin_of(uid, "NET", net))
    user.call("one.cluster.addvnet", cid, net)
    cloud.client.call("one.vn.lock", net, 3)
    refused(cloud.client, LOCKED, "one.cluster.delvnet", cid, net)
    cloud.client.call("one.vn.unlock", net)
    user.call("one.cluster.delvnet", cid, net)
    cloud.client.call("one.host.delete", host)
