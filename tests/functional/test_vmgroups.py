"""VM groups: their whole lives, what they may not be, who is in them, and what they say of hosts that are asked for."""
from __future__ import annotations

import pyone
import pytest
from api_calls import ACTION, ALLOCATE, AUTHORIZATION, LOCKED, NO_EXISTS, RPC_API, refused
from cloud_process import Cloud, unique, until
from makers import MakeCloud
from xsd import validate

pytestmark = pytest.mark.surface


def role(name: str, **more: str) -> str:
    """A ROLE attribute."""
    inside = ", ".join(f'{key}="{value}"' for key, value in {"NAME": name, **more}.items())
    return f"ROLE=[ {inside} ]\n"


def make(cloud: Cloud, *roles: str, rules: str = "") -> int:
    """A VM group."""
    return cloud.client.number("one.vmgroup.allocate", f"NAME={unique('vmg')}\n{''.join(roles)}{rules}")


def member(cloud: Cloud, group: int, name: str) -> int:
    """A VM in a role, held so that nobody places it."""
    return cloud.make_vm(hold=True, VMGROUP={"VMGROUP_ID": group, "ROLE": name})


def shown(cloud: Cloud, group: int) -> list[dict[str, str]]:
    """The roles as the body has them, which is what the schema says."""
    validate("vm_group", cloud.client.text("one.vmgroup.info", group))
    validate("vm_group_pool", cloud.client.text("one.vmgrouppool.info", -2, group, group))
    return [{e.tag: e.text or "" for e in found} for found in cloud.body("vmgroup", group).findall("ROLES/ROLE")]


def test_the_life_of_a_group(cloud: Cloud) -> None:
    """Made, changed, renamed, locked, shown with its VMs, kept while it has some."""
    client = cloud.client
    group = make(cloud, role("web", POLICY="anti_affined", HOST_AFFINED="3, 1"), role("db"),
                 rules='ANTI_AFFINED="web, db"\nNOTE=mine\n')
    assert shown(cloud, group) == [
        {"HOST_AFFINED": "3,1", "ID": "0", "NAME": "web", "POLICY": "ANTI_AFFINED"}, {"ID": "1", "NAME": "db"}]
    body = cloud.body("vmgroup", group)
    assert body.findtext("TEMPLATE/ANTI_AFFINED") == "web, db" and body.findtext("TEMPLATE/ROLE") is None
    client.call("one.vmgroup.roleadd", group, role("cache"))
    client.call("one.vmgroup.roleadd", group, "NAME=log\nHOST_ANTI_AFFINED=7")
    client.call("one.vmgroup.roleupdate", group, 2, 'ROLE=[NAME=front,POLICY=AFFINED]')
    client.call("one.vmgroup.roledelete", group, 3)
    client.call("one.vmgroup.roleadd", group, role("late"))
    assert [(r["ID"], r["NAME"], r.get("POLICY")) for r in shown(cloud, group)] == [
        ("0", "web", "ANTI_AFFINED"), ("1", "db", None), ("2", "front", "AFFINED"), ("4", "late", None)]
    vms = [member(cloud, group, name) for name in ("web", "db", "web")]
    assert [r.get("VMS") for r in shown(cloud, group)] == [f"{vms[0]},{vms[2]}", str(vms[1]), None, None]
    assert f"{vms[0]}, {vms[1]}" in refused(client, ACTION, "one.vmgroup.delete", group)
    for method, arguments in (("roledelete", (0,)), ("roleupdate", (0, role("other")))):
        assert str(vms[2]) in refused(client, ACTION, f"one.vmgroup.{method}", group, *arguments)
    assert "ANTI_AFFINED" in refused(client, ACTION, "one.vmgroup.update", group, 'AFFINED="db,late"', 1)
    client.call("one.vmgroup.update", group, 'NOTE=yours\n' + role("never"), 1)
    template = cloud.body("vmgroup", group).find("TEMPLATE")
    assert [(e.tag, e.text) for e in template or ()][-1] == ("NOTE", "yours") and len(shown(cloud, group)) == 4
    assert template is not None and template.find("ROLE") is None
    client.call("one.vmgroup.rename", group, unique("other"))
    client.call("one.vmgroup.lock", group, 4)
    shown(cloud, group)
    refused(client, LOCKED, "one.vmgroup.roleadd", group, role("z"))
    refused(client, LOCKED, "one.vm.allocate", f"CPU=1\nMEMORY=64\nVMGROUP=[VMGROUP_ID={group},ROLE=db]")
    client.call("one.vmgroup.unlock", group)
    for vm in vms:
        client.call("one.vm.action", "terminate-hard", vm)
        cloud.wait_vm(vm, "DONE")
    assert all("VMS" not in found for found in shown(cloud, group))
    client.call("one.vmgroup.update", group, 'AFFINED="db,late"', 0)
    client.call("one.vmgroup.delete", group)
    refused(client, NO_EXISTS, "one.vmgroup.info", group)


@pytest.mark.parametrize(("text", "named"), [
    (role("a") + role("a"), "ROLE NAME a"), (role(""), "ROLE NAME"), (role("a,b"), "ROLE NAME"), ("", "ROLE"),
    (role("a" * 129), "1 to 128"),
    ("ROLE=a", "ROLE"), (role("a", POLICY="NEAR"), "ROLE a POLICY"), (role("a", COLOUR="red"), "COLOUR"),
    (role("a", HOST_AFFINED="1,x"), "ROLE a HOST_AFFINED"), (role("a", HOST_ANTI_AFFINED="-1"), "HOST_ANTI_AFFINED"),
    (role("a", HOST_AFFINED="1", HOST_ANTI_AFFINED="1"), "HOST_AFFINED of role a"),
    (role("a") + "AFFINED=\"a,b\"", "AFFINED names role 'b'"), (role("a") + "ANTI_AFFINED=a", "ANTI_AFFINED"),
    (role("a") + "AFFINED=[A=b]", "AFFINED"),
    (role("a", POLICY="ANTI_AFFINED") + role("b") + 'AFFINED="a,b"', "AFFINED names role a, whose POLICY"),
    (role("a") + role("b") + role("c") + 'AFFINED="a,b"\nAFFINED="b,c"\nANTI_AFFINED="a,c"', "roles a and c"),
    (role("a") + role("b") + 'AFFINED="a,b"\nAFFINED="b,a"', "AFFINED is given twice"),
    (role("a", HOST_AFFINED="1") + role("b", HOST_AFFINED="2") + 'AFFINED="a,b"', "HOST_AFFINED of role a"),
    ("".join(role(f"r{n}") for n in range(49)), "48")])
def test_what_a_group_may_not_be(cloud: Cloud, text: str, named: str) -> None:
    """The error names the attribute; nothing is made."""
    before = cloud.client.text("one.vmgrouppool.info", -2, -1, -1)
    assert named in refused(cloud.client, ALLOCATE, "one.vmgroup.allocate", f"NAME={unique('vmg')}\n{text}")
    assert cloud.client.text("one.vmgrouppool.info", -2, -1, -1) == before


def test_what_a_group_may_not_become(cloud: Cloud) -> None:
    """The same, of changes; a role that a rule names stays; ids are those of roles."""
    group = make(cloud, role("a"), role("b"), rules='AFFINED="a,b"\n')
    for method, arguments, named in (
            ("roleadd", (role("a"),), "ROLE NAME a"), ("roleadd", ("ROLE=[NAME=c]\nROLE=[NAME=d]",), "once"),
            ("roledelete", (0,), "AFFINED names role 'a'"), ("roledelete", (7,), "one of 0, 1, not 7"),
            ("roleupdate", (1, "ROLE=[POLICY=ANTI_AFFINED]"), "role b, whose POLICY"),
            ("roleupdate", (1, "ROLE=[NAME=c]"), "AFFINED names role 'b'"),
            ("update", ('AFFINED="a,x"', 0), "AFFINED names role 'x'")):
        assert named in refused(cloud.client, RPC_API, f"one.vmgroup.{method}", group, *arguments)
    lone = make(cloud, role("a"))
    assert "ROLE" in refused(cloud.client, RPC_API, "one.vmgroup.roledelete", lone, 0)


def test_how_vms_join_and_leave(cloud: Cloud) -> None:
    """By id or by name, as their template, or afterwards; to a role that there is."""
    group, client = make(cloud, role("a & <b>"), role("b")), cloud.client
    name = cloud.body("vmgroup", group).findtext("NAME")
    vm = cloud.make_vm(hold=True, VMGROUP={"VMGROUP_NAME": name, "ROLE": "a & <b>"})
    assert [(e.tag, e.text) for e in cloud.body("vm", vm).find("TEMPLATE/VMGROUP") or ()] == [
        ("ROLE", "a & <b>"), ("VMGROUP_ID", str(group))]
    validate("vm", client.text("one.vm.info", vm))
    assert shown(cloud, group)[0]["VMS"] == str(vm)
    for vector, code, named in (
            (f"VMGROUP_ID={group}", ALLOCATE, "VMGROUP ROLE"), (f"VMGROUP_ID={group},ROLE=z", ALLOCATE, "'z'"),
            ("ROLE=b", ALLOCATE, "VMGROUP_ID"), ("VMGROUP_ID=x,ROLE=b", ALLOCATE, "VMGROUP_ID"),
            ("VMGROUP_ID=4711,ROLE=b", NO_EXISTS, "VM group [4711]"),
            ("VMGROUP_NAME=none,ROLE=b", NO_EXISTS, "VMGROUP_UNAME")):
        assert named in refused(client, code, "one.vm.allocate", f"CPU=1\nMEMORY=64\nVMGROUP=[{vector}]")
    assert "already" in refused(client, RPC_API, "one.vm.vmgroupadd", vm, group, "b")
    client.call("one.vm.vmgroupdel", vm)
    assert "no VM group" in refused(client, RPC_API, "one.vm.vmgroupdel", vm)
    assert "'z'" in refused(client, RPC_API, "one.vm.vmgroupadd", vm, group, "z")
    client.call("one.vm.vmgroupadd", vm, group, "b")
    assert [found.get("VMS") for found in shown(cloud, group)] == [None, str(vm)]
    client.call("one.vm.action", "terminate", vm)


def test_whose_group_a_vm_may_join(cloud: Cloud) -> None:
    """USE of the group, by a template and afterwards."""
    group, (uid, user) = make(cloud, role("a")), cloud.make_user()
    text = f"CPU=1\nMEMORY=64\nVMGROUP=[VMGROUP_ID={group},ROLE=a]"
    assert "VMGROUP" in refused(user, AUTHORIZATION, "one.vm.allocate", text)
    vm = user.number("one.vm.allocate", "CPU=1\nMEMORY=64", True)
    refused(user, AUTHORIZATION, "one.vm.vmgroupadd", vm, group, "a")
    cloud.client.call("one.vmgroup.chmod", group, *[-1] * 6, 1, 0, 0)
    user.call("one.vm.vmgroupadd", vm, group, "a")
    refused(user, AUTHORIZATION, "one.vmgroup.roleadd", group, role("b"))
    mine = user.number("one.vmgroup.allocate", f"NAME={unique('vmg')}\n{role('a')}")
    assert cloud.body("vmgroup", mine).findtext("UID") == str(uid)
    user.call("one.vm.action", "terminate", vm)


def test_hosts_that_are_asked_for(cloud: Cloud) -> None:
    """Enforced, the group has its say and is named; an administrator may do otherwise."""
    hosts, client = cloud.add_hosts(3), cloud.client
    group = make(cloud, role("web", POLICY="ANTI_AFFINED", HOST_ANTI_AFFINED=str(hosts[2])), role("db"), role("app"),
                 rules='AFFINED="db,app"\n')
    web, other, db, app = (member(cloud, group, name) for name in ("web", "web", "db", "app"))
    why = refused(client, ACTION, "one.vm.deploy", web, hosts[2], True)
    assert f"VM group {group}" in why and "role web is" in why and "HOST_ANTI_AFFINED" in why
    for vm in (web, db):
        client.call("one.vm.deploy", vm, hosts[0], True)
        cloud.wait_vm(vm, "RUNNING")
    assert f"VM {web}" in refused(client, ACTION, "one.vm.deploy", other, hosts[0], True)
    assert f"{hosts[0]} (VM {db})" in refused(client, ACTION, "one.vm.deploy", app, hosts[1], True)
    client.call("one.vm.deploy", app, hosts[0], True)
    client.call("one.vm.deploy", other, hosts[0])
    for vm in (app, other):
        cloud.wait_vm(vm, "RUNNING")
    assert "affined with VMs" in refused(client, ACTION, "one.vm.migrate", db, hosts[1], True, True)
    client.call("one.vm.vmgroupdel", db)
    why = refused(client, ACTION, "one.vm.vmgroupadd", db, make(cloud, role("x", HOST_AFFINED="4711")), "x")
    assert f"is on host {hosts[0]}" in why and "4711" in why
    for vm in (web, other, db, app):
        client.call("one.vm.action", "terminate-hard", vm)


def test_the_match_maker_heeds_groups(make_cloud: MakeCloud) -> None:
    """Apart, together; a VM that waits says why, and goes on when a VM leaves its host or its group."""
    cloud = make_cloud()
    client, hosts = cloud.client, cloud.add_hosts(2)
    group = make(cloud, role("web", POLICY="ANTI_AFFINED"), role("db"), role("app"), role("log", HOST_AFFINED="4711"),
                 rules='AFFINED="db,app"\n')

    def vm(name: str) -> int:
        return cloud.make_vm(VMGROUP={"VMGROUP_ID": group, "ROLE": name})

    def where(number: int) -> str:
        return cloud.body("vm", number).findtext("HISTORY_RECORDS/HISTORY/HID", "")

    def says(number: int) -> str:
        return until(10, "a message", lambda: cloud.body("vm", number).findtext("USER_TEMPLATE/SCHED_MESSAGE"))

    webs, rest = [vm("web") for _ in range(3)], [vm("db"), vm("app"), vm("db")]
    log = vm("log")
    cloud.start_scheduler()
    for number in (*webs[:2], *rest):
        cloud.wait_vm(number, "RUNNING")
    assert {where(number) for number in webs[:2]} == {str(host) for host in hosts}
    assert len({where(number) for number in rest}) == 1
    assert f"role web, is anti-affined (VM {webs[0]}, VM {webs[1]})" in says(webs[2])
    assert f"HOST_AFFINED (4711) of VM group {group}" in says(log)
    client.call("one.vm.action", "terminate-hard", webs[1])
    cloud.wait_vm(webs[2], "RUNNING")
    client.call("one.vm.vmgroupdel", log)
    cloud.wait_vm(log, "RUNNING")
    late = vm("web")
    assert f"VM {webs[2]}" in says(late)
    client.call("one.vm.vmgroupdel", webs[2])
    cloud.wait_vm(late, "RUNNING")


def test_by_pyone(cloud: Cloud) -> None:
    """OpenNebula's binding reads the roles and joins a VM."""
    one = pyone.OneServer(cloud.endpoint, session=":".join(cloud.credentials()))
    group = one.vmgroup.allocate({"TEMPLATE": {"NAME": unique("vmg"), "AFFINED": "a,b", "ROLE": [
        {"NAME": "a", "HOST_AFFINED": "1"}, {"NAME": "b"}]}})
    one.vmgroup.roleadd(group, {"ROLE": {"NAME": "c", "POLICY": "ANTI_AFFINED"}})
    vm = cloud.make_vm(hold=True)
    one.vm.vmgroupadd(vm, group, "c")
    found = one.vmgroup.info(group)
    assert [(role.ID, role.NAME, role.POLICY, role.VMS) for role in found.ROLES.ROLE] == [
        (0, "a", None, None), (1, "b", None, None), (2, "c", "ANTI_AFFINED", str(vm))]
    assert found.ROLES.ROLE[0].HOST_AFFINED == "1" and found.TEMPLATE["AFFINED"] == "a,b"
    assert group in [other.ID for other in one.vmgrouppool.info(-2, -1, -1).VM_GROUP]
    one.vm.vmgroupdel(vm)
    one.vmgroup.chmod(group, *[-1] * 9)
    one.vmgroup.rename(group, unique("vmg"))
    one.vmgroup.delete(group)
    cloud.client.call("one.vm.action", "terminate", vm)
