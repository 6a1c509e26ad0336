"""Security groups, documents and the zone: their whole lives, by pyone's words and by the schemas."""
from __future__ import annotations

import pytest
from api_calls import ACTION, ALLOCATE, AUTHORIZATION, LOCKED, NO_EXISTS, RPC_API, refused
from cloud_process import Cloud, unique
from xsd import validate

RULE = "RULE=[PROTOCOL=TCP,RULE_TYPE=INBOUND,RANGE=\"22,80:90\"]\n"


def test_the_life_of_a_security_group(cloud: Cloud) -> None:
    """Made, named by NICs, shown with its members, kept while it has some."""
    group = cloud.client.number("one.secgroup.allocate", f"NAME={unique('sg')}\n{RULE}DESCRIPTION=web\n")
    other = cloud.client.number("one.secgroup.clone", group, unique("sg"))
    network = cloud.make_network()
    nic = f"NIC=[NETWORK_ID={network},SECURITY_GROUPS={group}]"
    vm = cloud.client.number("one.vm.allocate", f"CPU=1\nMEMORY=64\n{nic}\n", True)
    assert cloud.body("vm", vm).findtext("TEMPLATE/NIC/SECURITY_GROUPS") == f"{group},0"
    assert [e.text for e in cloud.body("secgroup", group).findall("UPDATED_VMS/ID")] == [str(vm)]
    cloud.client.call("one.vm.attachsg", vm, 0, other)
    cloud.client.call("one.vm.detachsg", vm, 0, group)
    assert cloud.body("vm", vm).findtext("TEMPLATE/NIC/SECURITY_GROUPS") == f"0,{other}"
    assert "already" in refused(cloud.client, RPC_API, "one.vm.attachsg", vm, 0, other)
    assert "no NIC 7" in refused(cloud.client, RPC_API, "one.vm.detachsg", vm, 7, other)
    refused(cloud.client, NO_EXISTS, "one.vm.attachsg", vm, 0, 4711)
    assert str(vm) in refused(cloud.client, ACTION, "one.secgroup.delete", other)
    cloud.client.call("one.secgroup.update", group, RULE + "RULE=[PROTOCOL=ICMP,RULE_TYPE=OUTBOUND,ICMP_TYPE=8]\n", 0)
    for oid in (group, other):  # the schema knows no other keys of a rule than these two
        cloud.client.call("one.secgroup.update", oid, "RULE=[PROTOCOL=ALL,RULE_TYPE=INBOUND]\n", 0)
        validate("security_group", cloud.client.text("one.secgroup.info", oid))
    validate("security_group", cloud.client.text("one.secgroup.info", 0))
    cloud.client.call("one.secgroup.commit", group, False)
    cloud.client.call("one.vm.action", "terminate-hard", vm)
    cloud.client.call("one.secgroup.delete", other)
    assert "part of the cloud" in refused(cloud.client, RPC_API, "one.secgroup.delete", 0)


@pytest.mark.parametrize(("rule", "named"), [
    ("PROTOCOL=XTP,RULE_TYPE=INBOUND", "PROTOCOL"), ("PROTOCOL=TCP", "RULE_TYPE"),
    ("PROTOCOL=TCP,RULE_TYPE=INBOUND,RANGE=x", "RANGE"), ("PROTOCOL=TCP,RULE_TYPE=INBOUND,RANGE=\"90:80\"", "RANGE"),
    ("PROTOCOL=ICMP,RULE_TYPE=INBOUND,RANGE=1", "RANGE"),
    ("PROTOCOL=ICMP,RULE_TYPE=INBOUND,ICMP_TYPE=300", "ICMP_TYPE"),
    ("PROTOCOL=ALL,RULE_TYPE=INBOUND,IP=10.0.0", "IP"), ("PROTOCOL=ALL,RULE_TYPE=INBOUND,IP=10.0.0.1", "SIZE")])
def test_bad_rules(cloud: Cloud, rule: str, named: str) -> None:
    """The error names the key; nothing is made."""
    assert named in refused(cloud.client, ALLOCATE, "one.secgroup.allocate", f"NAME={unique('sg')}\nRULE=[{rule}]\n")


def test_whose_security_groups_a_nic_may_name(cloud: Cloud) -> None:
    """Those that its user may use."""
    _, user = cloud.make_user()
    group = cloud.client.number("one.secgroup.allocate", f"NAME={unique('sg')}\n{RULE}")
    network = cloud.make_network()
    text = f"CPU=1\nMEMORY=64\nNIC=[NETWORK_ID={network},SECURITY_GROUPS=%s]\n"
    refused(user, AUTHORIZATION, "one.vm.allocate", text % group, True)
    refused(user, NO_EXISTS, "one.vm.allocate", text % 4711, True)
    assert "SECURITY_GROUPS" in refused(user, ALLOCATE, "one.vm.allocate", text % "web", True)
    mine = user.number("one.secgroup.allocate", f"NAME={unique('sg')}\n{RULE}")
    assert user.number("one.vm.allocate", text % mine, True) >= 0


def test_the_life_of_a_document(cloud: Cloud) -> None:
    """Types are apart; names are not unique; pages."""
    number = 4000
    made = [cloud.client.number("one.document.allocate", f"NAME=service\nBODY=\"{{x: {i}}}\"\n", number)
            for i in range(3)]
    cloud.client.number("one.document.allocate", "NAME=service\n", number + 1)
    copy = cloud.client.number("one.document.clone", made[0], "copy")
    for oid in (*made, copy):
        validate("document", cloud.client.text("one.document.info", oid))
    shown = cloud.client.text("one.documentpool.info", -2, -1, -1, number)
    validate("document_pool", shown)
    assert shown.count("<DOCUMENT>") == 4
    assert cloud.client.text("one.documentpool.info", -2, 1, -2, number).count("<DOCUMENT>") == 2
    cloud.client.call("one.document.update", made[0], "MORE=1", 1)
    cloud.client.call("one.document.lock", made[0], 1)
    assert cloud.body("document", made[0]).findtext("TEMPLATE/MORE") == "1"
    refused(cloud.client, LOCKED, "one.document.delete", made[0])
    cloud.client.call("one.document.unlock", made[0])
    for oid in (*made, copy):
        cloud.client.call("one.document.delete", oid)
    assert "NAME" in refused(cloud.client, ALLOCATE, "one.document.allocate", "A=1\n", number)
    assert "type" in refused(cloud.client, RPC_API, "one.document.allocate", "NAME=a\n", -1)


def test_the_zone(cloud: Cloud) -> None:
    """One; its endpoint and name may change, and it may be closed to all but administrators."""
    _, user = cloud.make_user()
    endpoint = cloud.body("zone", 0).findtext("TEMPLATE/ENDPOINT", "")
    cloud.client.call("one.zone.update", 0, f'ENDPOINT="{endpoint}"', 1)
    assert "ENDPOINT" in refused(cloud.client, RPC_API, "one.zone.update", 0, "A=1", 1)
    cloud.client.call("one.zone.enable", 0, False)
    try:
        assert cloud.body("zone", 0).findtext("STATE") == "1"
        assert "disabled" in refused(user, AUTHORIZATION, "one.vm.allocate", "CPU=1\nMEMORY=64\n", True)
        assert user.text("one.vmpool.info", -2, -1, -1, -1)
        cloud.client.number("one.vm.allocate", "CPU=1\nMEMORY=64\n", True)
    finally:
        cloud.client.call("one.zone.enable", 0, True)
    user.number("one.vm.allocate", "CPU=1\nMEMORY=64\n", True)
    validate("raftstatus", cloud.client.text("one.zone.raftstatus"))
    assert "one zone" in refused(cloud.client, ALLOCATE, "one.zone.allocate", "NAME=b\nENDPOINT=http://b/RPC2\n")
    for method, arguments in (("delete", (0,)), ("addserver", (0, "A=1")), ("delserver", (0, 1)),
                              ("resetserver", (0, 1))):
        refused(cloud.client, RPC_API, f"one.zone.{method}", *arguments)
    refused(user, AUTHORIZATION, "one.zone.enable", 0, False)
