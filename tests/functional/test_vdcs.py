"""Virtual data centres: what they allow their groups, and that it ends with them."""
from __future__ import annotations

from xml.etree import ElementTree

import pytest
from api_calls import AUTHORIZATION, RPC_API, refused
from cloud_process import Cloud, unique, until, vm_template
from makers import MakeCloud
from xsd import validate

from onecore.wire.client import Client

pytestmark = pytest.mark.surface


def rules(cloud: Cloud, gid: int) -> list[str]:
    """What the rules of a group say."""
    found = ElementTree.fromstring(cloud.client.text("one.acl.info"))
    texts = [rule.findtext("STRING", "") for rule in found]
    return sorted(text.partition(" ")[2] for text in texts if text.startswith(f"@{gid} "))


def team(cloud: Cloud) -> tuple[int, Client]:
    """A group that is in no VDC, and a user of it."""
    gid, name = cloud.client.number("one.group.allocate", unique("team")), unique("mate")
    cloud.client.call("one.vdc.delgroup", 0, gid)
    cloud.client.number("one.user.allocate", name, "secret", "", [gid])
    return gid, cloud.client_as(name, "secret")


def make(cloud: Cloud, **attributes: str) -> int:
    """A VDC."""
    lines = "\n".join(f"{k}={v}" for k, v in {"NAME": unique("vdc"), **attributes}.items())
    return cloud.client.number("one.vdc.allocate", lines)


def test_the_one_that_is_always_there(cloud: Cloud) -> None:
    """VDC 0 has all clusters; users and every new group are in it."""
    gid = cloud.client.number("one.group.allocate", unique("team"))
    assert rules(cloud, gid) == ["HOST/* MANAGE #0", "NET+DATASTORE/* USE #0"]
    body = cloud.body("vdc", 0)
    assert {1, gid} <= {int(e.text or "") for e in body.iterfind("GROUPS/ID")}
    assert [(e.findtext("ZONE_ID"), e.findtext("CLUSTER_ID")) for e in body.iterfind("CLUSTERS/*")] == [("0", "-10")]
    cloud.client.call("one.vdc.delgroup", 0, gid)
    assert rules(cloud, gid) == [] and len(rules(cloud, 1)) == 3
    cloud.client.call("one.group.delete", gid)
    assert gid not in [int(e.text or "") for e in cloud.body("vdc", 0).iterfind("GROUPS/ID")]


def test_what_it_allows_becomes_rules(cloud: Cloud) -> None:
    """Of each part, for each group, whichever comes first; all of a kind in place of single ones."""
    client, (gid, user), (other, _) = cloud.client, team(cloud), team(cloud)
    host, net = cloud.add_hosts(1)[0], cloud.make_network()
    vdc = make(cloud, NOTE="mine")
    client.call("one.vdc.addgroup", vdc, gid)
    for part, oid in (("host", host), ("vnet", net), ("datastore", 1), ("cluster", 0)):
        client.call(f"one.vdc.add{part}", vdc, 0, oid)
    wanted = sorted(["HOST/%0 MANAGE #0", "NET+DATASTORE/%0 USE #0", f"HOST/#{host} MANAGE #0", f"NET/#{net} USE #0",
                     "DATASTORE/#1 USE #0"])
    assert rules(cloud, gid) == wanted and rules(cloud, other) == []
    client.call("one.vdc.addgroup", vdc, other)
    assert rules(cloud, other) == wanted
    validate("vdc", client.text("one.vdc.info", vdc))
    validate("vdc_pool", client.text("one.vdcpool.info"))
    client.call("one.vdc.delcluster", vdc, 0, 0)
    client.call("one.vdc.addhost", vdc, 0, -10)
    assert rules(cloud, gid) == sorted(["HOST/* MANAGE #0", f"NET/#{net} USE #0", "DATASTORE/#1 USE #0"])
    assert "Not authorized" in refused(user, AUTHORIZATION, "one.vdc.info", vdc)
    client.call("one.vdc.rename", vdc, name := unique("other"))
    client.call("one.vdc.update", vdc, "B=2", 1)
    body = cloud.body("vdc", vdc)
    assert (body.findtext("NAME"), body.findtext("TEMPLATE/NOTE"), body.findtext("TEMPLATE/B")) == (name, "mine", "2")
    client.call("one.vdc.delete", vdc)
    assert rules(cloud, gid) == rules(cloud, other) == []


def test_users_may_what_the_rules_say(cloud: Cloud) -> None:
    """A network and a host are the group's while its VDC has them."""
    client, (gid, user) = cloud.client, team(cloud)
    host, net, vdc = cloud.add_hosts(1)[0], cloud.make_network(), make(cloud)
    client.call("one.acl.addrule", f"{0x200000000 | gid:x}", f"{0x1000000000 | 0x400000000:x}", "8")
    client.call("one.vdc.addgroup", vdc, gid)
    text = vm_template(unique("vm"), network=net)
    assert "NET" in refused(user, AUTHORIZATION, "one.vm.allocate", text)
    client.call("one.vdc.addvnet", vdc, 0, net)
    vm = user.number("one.vm.allocate", text)
    client.call("one.vdc.addhost", vdc, 0, host)
    client.call("one.vm.chmod", vm, 1, 1, 1, 0, 0, 0, 0, 0, 0)
    client.call("one.vdc.delhost", vdc, 0, host)
    assert "HOST" in refused(user, AUTHORIZATION, "one.vm.deploy", vm, host)
    client.call("one.vdc.addhost", vdc, 0, host)
    user.call("one.vm.deploy", vm, host)
    cloud.wait_vm(vm, "RUNNING")
    client.call("one.vdc.delhost", vdc, 0, host)
    user.call("one.vm.action", "terminate-hard", vm)
    cloud.wait_vm(vm, "DONE")
    client.call("one.vn.delete", net)
    assert list(cloud.body("vdc", vdc).iterfind("VNETS/VNET")) == [] and len(rules(cloud, gid)) == 1


def test_what_two_give_stays_with_the_other(cloud: Cloud) -> None:
    """A rule that another VDC stands for is not dropped."""
    gid, _ = team(cloud)
    first, second = make(cloud), make(cloud)
    for vdc in (first, second):
        cloud.client.call("one.vdc.addgroup", vdc, gid)
        cloud.client.call("one.vdc.adddatastore", vdc, 0, 1)
    cloud.client.call("one.vdc.deldatastore", first, 0, 1)
    assert rules(cloud, gid) == ["DATASTORE/#1 USE #0"]
    cloud.client.call("one.vdc.delete", second)
    assert rules(cloud, gid) == []
    assert "not assigned" in refused(cloud.client, RPC_API, "one.vdc.deldatastore", first, 0, 1)


def test_other_rights(make_cloud: MakeCloud) -> None:
    """[tenants] says what a VDC allows."""
    cloud = make_cloud({"tenants": {"vdc_host": "-", "vdc_net": "USE+MANAGE", "vdc_datastore": "USE+MANAGE"}})
    gid, _ = team(cloud)
    vdc, host, net = make(cloud), cloud.add_hosts(1, wait=False)[0], cloud.make_network()
    cloud.client.call("one.vdc.addgroup", vdc, gid)
    for part, oid in (("host", host), ("vnet", net), ("datastore", 1)):
        cloud.client.call(f"one.vdc.add{part}", vdc, 0, oid)
    assert rules(cloud, gid) == ["DATASTORE/#1 USE+MANAGE #0", f"NET/#{net} USE+MANAGE #0"]


def test_the_match_maker_heeds_them(make_cloud: MakeCloud) -> None:
    """A VM waits until its owner's group gets a host and a system datastore, and is put there at once, nowhere else."""
    cloud = make_cloud()
    cloud.start_scheduler()
    client, hosts, (gid, user) = cloud.client, cloud.add_hosts(3), team(cloud)
    vm, uid = cloud.make_vm(hold=True), int(user.text("one.user.info", -1).partition("<ID>")[2].partition("<")[0])
    client.call("one.vm.chown", vm, uid, gid)
    client.call("one.vm.action", "release", vm)
    until(10, "it to be refused", lambda: cloud.body("vm", vm).findtext("USER_TEMPLATE/SCHED_MESSAGE"))
    assert cloud.vm_state(vm) == "PENDING"
    vdc = make(cloud)
    client.call("one.vdc.addgroup", vdc, gid)
    client.call("one.vdc.addhost", vdc, 0, hosts[1])
    client.call("one.vdc.adddatastore", vdc, 0, 0)
    cloud.wait_vm(vm, "RUNNING")
    assert cloud.body("vm", vm).findtext("HISTORY_RECORDS/HISTORY/HID") == str(hosts[1])
