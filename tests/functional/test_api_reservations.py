"""Reservations: parts of a network's addresses as a network of its own, for as long as it is there."""
from __future__ import annotations

import pytest
from api_calls import ALLOCATE, AUTHORIZATION, LOCKED, NO_EXISTS, RPC_API, refused
from cloud_process import Cloud, unique
from makers import MakeCloud
from xsd import validate

RANGES = """
AR=[TYPE="IP4",IP="10.20.0.1",SIZE="10"]
AR=[TYPE="IP6_STATIC",SIZE="20",IP6="2001:db8:7::1",PREFIX_LENGTH="64"]
AR=[TYPE="IP4_6",IP="10.21.0.1",SIZE="5",GLOBAL_PREFIX="2001:db8:8::"]
"""


@pytest.fixture
def net(cloud: Cloud) -> int:
    """A network of three ranges that everybody may use."""
    made = cloud.client.number("one.vn.allocate", f'NAME="{unique("net")}"\nVN_MAD=dummy\nDNS=10.0.0.9\n{RANGES}', -1)
    cloud.client.call("one.vn.chmod", made, *[-1] * 6, 1, -1, -1)
    return made


def reserve(cloud: Cloud, net: int, text: str) -> int:
    """The id of a reservation with a new name."""
    return cloud.client.number("one.vn.reserve", net, f'NAME="{unique("part")}"\n{text}')


def addresses(cloud: Cloud, net: int) -> list[tuple[str, ...]]:
    """(AR_ID, type, size, first IP or IP6, range of the parent) of a network's ranges."""
    return [tuple(r.findtext(k) or "" for k in ("AR_ID", "TYPE", "SIZE", "IP", "IP6", "PARENT_NETWORK_AR_ID"))
            for r in cloud.body("vn", net).findall("AR_POOL/AR")]


def test_a_part_is_a_network(cloud: Cloud, net: int) -> None:
    """It has its parent's settings and addresses in a row; the parent shows whose they are and gives them no more."""
    cloud.client.call("one.vn.hold", net, "LEASES=[IP=10.20.0.3]")
    part = reserve(cloud, net, "SIZE=4")
    assert addresses(cloud, part) == [("0", "IP4", "4", "10.20.0.4", "", "0")]
    body, parent = cloud.body("vn", part), cloud.body("vn", net)
    assert (body.findtext("PARENT_NETWORK_ID"), parent.findtext("PARENT_NETWORK_ID")) == (str(net), "")
    assert body.findtext("TEMPLATE/DNS") == "10.0.0.9" and body.findtext("BRIDGE") == parent.findtext("BRIDGE")
    assert parent.findtext("USED_LEASES") == "5" and body.findtext("USED_LEASES") == "0"
    leases = [(x.findtext("IP"), x.findtext("VNET"), x.findtext("VM")) for x in parent.findall(".//LEASE")]
    assert leases == [("10.20.0.3", None, "-1"), *((f"10.20.0.{n}", str(part), None) for n in (4, 5, 6, 7))]
    for one in (net, part):
        validate("vnet", cloud.client.text("one.vn.info", one))
    validate("vnet_pool", cloud.client.text("one.vnpool.info", -2, -1, -1))
    vms = [cloud.make_vm(NIC={"NETWORK_ID": net, "AR_ID": 0}, hold=True) for _ in range(5)]
    given = [cloud.body("vm", vm).findtext("TEMPLATE/NIC/IP") for vm in vms]
    assert given == [f"10.20.0.{n}" for n in (1, 2, 8, 9, 10)]
    inside = cloud.make_vm(NIC={"NETWORK_ID": part}, hold=True)
    assert cloud.body("vm", inside).findtext("TEMPLATE/NIC/IP") == "10.20.0.4"
    assert "in use" in refused(cloud.client, RPC_API, "one.vn.hold", net, "LEASES=[IP=10.20.0.5]")
    assert "in use" in refused(cloud.client, RPC_API, "one.vn.free_ar", part, 0)
    assert "in use" in refused(cloud.client, RPC_API, "one.vn.delete", part)
    cloud.client.call("one.vm.action", "terminate-hard", inside)
    cloud.wait_vm(inside, "DONE")
    cloud.client.call("one.vn.free_ar", part, 0)
    assert addresses(cloud, part) == []
    again = cloud.make_vm(NIC={"NETWORK_ID": net, "AR_ID": 0}, hold=True)
    assert cloud.body("vm", again).findtext("TEMPLATE/NIC/IP") == "10.20.0.4"
    for vm in (*vms, again):
        cloud.client.call("one.vm.action", "terminate-hard", vm)
        cloud.wait_vm(vm, "DONE")


def test_where_it_is_taken_from(cloud: Cloud, net: int) -> None:
    """The first gap that is large enough, the range or the address that was asked for; what exists grows."""
    part = reserve(cloud, net, "SIZE=12")
    assert addresses(cloud, part) == [("0", "IP6_STATIC", "12", "", "2001:db8:7::1", "1")]
    cloud.client.call("one.vn.reserve", net, f"SIZE=2\nNETWORK_ID={part}\nIP=10.20.0.6")
    cloud.client.call("one.vn.reserve", net, f"SIZE=5\nNETWORK_ID={part}\nAR_ID=2")
    cloud.client.call("one.vn.reserve", net, f"<T><SIZE>2</SIZE><NETWORK_ID>{part}</NETWORK_ID></T>")
    assert [r[1:] for r in addresses(cloud, part)][1:] == [
        ("IP4", "2", "10.20.0.6", "", "0"), ("IP4_6", "5", "10.21.0.1", "", "2"), ("IP4", "2", "10.20.0.1", "", "0")]
    third = cloud.body("vn", part).findall("AR_POOL/AR")[2]
    assert third.findtext("IP6_GLOBAL_END") == "2001:db8:8::aff:fe15:5"
    cloud.client.call("one.vn.delete", part)
    assert cloud.body("vn", net).findtext("USED_LEASES") == "0"
    cloud.client.call("one.vn.delete", net)


def test_it_outlives_a_restart(make_cloud: MakeCloud) -> None:
    """Kept in the database, as its parent's view of it."""
    cloud = make_cloud()
    net = cloud.make_network(size=10)
    part = reserve(cloud, net, "SIZE=3")
    before = [cloud.client.text("one.vn.info", n) for n in (net, part)]
    cloud.stop()
    cloud.start()
    assert [cloud.client.text("one.vn.info", n) for n in (net, part)] == before
    assert addresses(cloud, reserve(cloud, net, "SIZE=3"))[0][3] == "10.0.0.4"


def test_what_is_refused(cloud: Cloud, net: int) -> None:
    """Each with the attribute that is wrong; nothing is left behind."""
    part = reserve(cloud, net, "SIZE=4")
    other = reserve(cloud, cloud.make_network(ip="10.30.0.1"), "SIZE=2")
    cases: list[tuple[int, int, str, str]] = [
        (ALLOCATE, net, "NAME=a", "SIZE"), (ALLOCATE, net, "NAME=a\nSIZE=0", "SIZE"),
        (ALLOCATE, net, "NAME=a\nSIZE=21", "21"), (ALLOCATE, net, "SIZE=1", "NAME"),
        (ALLOCATE, net, "NAME=a\nSIZE=2\nIP=10.20.0.3", "SIZE"),
        (ALLOCATE, net, "NAME=a\nSIZE=2\nIP=10.20.0.10", "SIZE"),
        (ALLOCATE, net, "NAME=a\nSIZE=1\nIP=x", "IP"), (ALLOCATE, net, "NAME=a\nSIZE=1\nIP=10.20.0.5\nAR_ID=1", "SIZE"),
        (ALLOCATE, net, "NAME=a\nSIZE=1\nAR_ID=x", "AR_ID"), (RPC_API, net, "NAME=a\nSIZE=1\nAR_ID=9", "9"),
        (ALLOCATE, net, f"SIZE=1\nNETWORK_ID={other}", "NETWORK_ID"),
        (NO_EXISTS, net, "SIZE=1\nNETWORK_ID=4711", "4711"), (RPC_API, part, "NAME=a\nSIZE=1", "reservation")]
    for code, where, text, word in cases:
        assert word in refused(cloud.client, code, "one.vn.reserve", where, text), text
    for method, arguments, word in (
            ("one.vn.add_ar", (part, "AR=[TYPE=ETHER,SIZE=1]"), "reservation"), ("one.vn.rm_ar", (part, 0), "free_ar"),
            ("one.vn.update_ar", (part, "AR=[AR_ID=0,SIZE=5]"), "SIZE"), ("one.vn.rm_ar", (net, 0, True), "reserved"),
            ("one.vn.update_ar", (net, "AR=[AR_ID=0,SIZE=3]"), "in use"), ("one.vn.delete", (net,), "in use"),
            ("one.vn.free_ar", (net, 0), "reserved"), ("one.vn.recover", (net, 1), "READY"),
            ("one.vn.recover", (net, 9), "operation")):
        assert word in refused(cloud.client, RPC_API, method, *arguments), method
    cloud.client.call("one.vn.update_ar", part, "AR=[AR_ID=0,NOTE=mine]")
    assert addresses(cloud, part) == [("0", "IP4", "4", "10.20.0.1", "", "0")]
    assert cloud.body("vn", net).findtext("USED_LEASES") == "4"
    cloud.client.call("one.vn.recover", part, 2)
    refused(cloud.client, NO_EXISTS, "one.vn.info", part)


def test_who_may(cloud: Cloud, net: int) -> None:
    """USE on the parent makes one of one's own; growing one takes MANAGE on it, and it not being locked."""
    _, user = cloud.make_user()
    _, stranger = cloud.make_user()
    part = user.number("one.vn.reserve", net, f'NAME="{unique("mine")}"\nSIZE=2')
    assert user.number("one.vn.reserve", net, f"SIZE=1\nNETWORK_ID={part}") == part
    refused(stranger, AUTHORIZATION, "one.vn.reserve", net, f"SIZE=1\nNETWORK_ID={part}")
    refused(user, AUTHORIZATION, "one.vn.update", part, "BRIDGE=br9", 1)
    user.call("one.vn.lock", part, 2)
    refused(user, LOCKED, "one.vn.reserve", net, f"SIZE=1\nNETWORK_ID={part}")
    user.call("one.vn.unlock", part)
    user.call("one.vn.delete", part)
