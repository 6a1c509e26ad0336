"""Groups: who is in them, who administers them, what that allows, and that nothing of it is left behind."""
from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from api_calls import AUTHORIZATION, RPC_API, refused
from cloud_process import Cloud, unique, vm_template
from xsd import validate

from onecore.wire.client import Client

pytestmark = pytest.mark.surface


class Team:
    """A group of an administrator and a member, and a user of another group."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.gid, self.other = (cloud.client.number("one.group.allocate", unique("team")) for _ in range(2))
        self.admin_id, self.admin = self.user(self.gid)
        self.member_id, self.member = self.user(self.gid)
        self.stranger_id, self.stranger = self.user(self.other)
        self.before = rules(cloud)
        cloud.client.call("one.group.addadmin", self.gid, self.admin_id)

    def user(self, *groups: int) -> tuple[int, Client]:
        """A user of GROUPS."""
        name = unique("mate")
        oid = self.cloud.client.number("one.user.allocate", name, "secret", "", list(groups))
        return oid, self.cloud.client_as(name, "secret")


@pytest.fixture
def team(cloud: Cloud) -> Iterator[Team]:
    """One of the test's own."""
    yield Team(cloud)


def rules(cloud: Cloud) -> list[str]:
    """The texts of all ACL rules."""
    found = ElementTree.fromstring(cloud.client.text("one.acl.info"))
    return [rule.findtext("STRING", "") for rule in found]


def ids(cloud: Cloud, kind: str, oid: int, tag: str) -> list[int]:
    """The ids in an element of a body."""
    return [int(e.text or "") for e in cloud.body(kind, oid).iterfind(f"{tag}/ID")]


def shown(client: Client, pool: str) -> list[int]:
    """The ids that a pool shows."""
    found = ElementTree.fromstring(client.text(f"one.{pool}pool.info"))
    return [int(e.findtext("ID", "")) for e in found if e.tag in ("USER", "GROUP")]


def test_the_rules_of_an_administrator(cloud: Cloud, team: Team) -> None:
    """Those of OpenNebula, made and removed with the administrator."""
    uid, gid = team.admin_id, team.gid
    assert [rule for rule in rules(cloud) if rule not in team.before] == [
        f"#{uid} USER/@{gid} USE+MANAGE+ADMIN+CREATE *",
        f"#{uid} VM+NET+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VROUTER+VMGROUP+BACKUPJOB/@{gid} USE+MANAGE *",
        f"#{uid} VROUTER/* CREATE *", f"#{uid} GROUP/#{gid} MANAGE *"]
    assert ids(cloud, "group", gid, "ADMINS") == [uid]
    validate("group", cloud.client.text("one.group.info", gid))
    validate("group_pool", cloud.client.text("one.grouppool.info"))
    assert "already" in refused(cloud.client, RPC_API, "one.group.addadmin", gid, uid)
    cloud.client.call("one.group.deladmin", gid, uid)
    assert rules(cloud) == team.before and ids(cloud, "group", gid, "ADMINS") == []
    assert "not an administrator" in refused(cloud.client, RPC_API, "one.group.deladmin", gid, uid)


def test_what_two_groups_share_stays_with_the_other(cloud: Cloud, team: Team) -> None:
    """Who administers two groups and loses one keeps what the other gives."""
    cloud.client.call("one.user.addgroup", team.admin_id, team.other)
    cloud.client.call("one.group.addadmin", team.other, team.admin_id)
    cloud.client.call("one.group.deladmin", team.gid, team.admin_id)
    now = rules(cloud)
    assert f"#{team.admin_id} VROUTER/* CREATE *" in now and f"#{team.admin_id} GROUP/#{team.gid} MANAGE *" not in now
    cloud.client.call("one.user.delgroup", team.admin_id, team.other)
    assert rules(cloud) == team.before and ids(cloud, "group", team.other, "ADMINS") == []


def test_what_an_administrator_of_a_group_may(cloud: Cloud, team: Team) -> None:
    """Its users and what belongs to it, nothing else; it makes users in it alone."""
    gid, admin = team.gid, team.admin
    vm = cloud.make_vm(hold=True)
    cloud.client.call("one.vm.chown", vm, team.member_id, gid)
    assert f"<ID>{vm}</ID>" in admin.text("one.vm.info", vm)
    admin.call("one.vm.rename", vm, "theirs")
    assert "Not authorized" in refused(team.stranger, AUTHORIZATION, "one.vm.info", vm)
    assert set(shown(admin, "user")) == {team.admin_id, team.member_id}
    assert shown(team.member, "user") == [team.member_id] and shown(admin, "group") == [gid]
    made = admin.number("one.user.allocate", unique("new"), "secret")
    assert cloud.body("user", made).findtext("GID") == str(gid)
    admin.call("one.user.update", made, "A=1", 1)
    admin.call("one.user.passwd", made, "other")
    admin.call("one.group.update", gid, "B=2", 1)
    assert cloud.body("group", gid).findtext("TEMPLATE/B") == "2"
    admin.call("one.user.delete", made)
    for method, *arguments in (("one.user.allocate", unique("x"), "secret", "", [1]),
                               ("one.user.allocate", unique("x"), "secret", "", [gid, 1]),
                               ("one.user.info", team.stranger_id), ("one.user.addgroup", team.stranger_id, gid),
                               ("one.user.addgroup", team.member_id, 0), ("one.user.chgrp", team.member_id, 1),
                               ("one.group.addadmin", gid, team.member_id), ("one.group.delete", gid),
                               ("one.group.update", team.other, "A=1"), ("one.group.vlan", gid, "")):
        assert "Not authorized" in refused(admin, AUTHORIZATION, str(method), *arguments)
    for method in ("one.user.update", "one.user.passwd", "one.user.delete"):
        assert "Not authorized" in refused(team.member, AUTHORIZATION, method, team.admin_id, "A=1")
    cloud.client.call("one.vm.action", "terminate", vm)


def test_groups_of_a_user(cloud: Cloud, team: Team) -> None:
    """Joining and leaving; the primary one is not left, chgrp leaves it; members show in the body."""
    client, uid = cloud.client, team.member_id
    client.call("one.user.addgroup", uid, team.other)
    assert ids(cloud, "user", uid, "GROUPS") == [team.gid, team.other]
    assert uid in ids(cloud, "group", team.other, "USERS")
    vm = cloud.make_vm(hold=True)
    client.call("one.vm.chown", vm, 0, team.other)
    client.call("one.vm.chmod", vm, 1, 1, 0, 1, 0, 0, 0, 0, 0)
    assert f"<ID>{vm}</ID>" in team.member.text("one.vm.info", vm)
    client.call("one.user.delgroup", uid, team.other)
    assert "Not authorized" in refused(team.member, AUTHORIZATION, "one.vm.info", vm)
    assert "primary" in refused(client, RPC_API, "one.user.delgroup", uid, team.gid)
    client.call("one.user.chgrp", uid, team.other)
    assert ids(cloud, "user", uid, "GROUPS") == [team.other] and uid not in ids(cloud, "group", team.gid, "USERS")
    client.call("one.user.addgroup", uid, team.gid)
    team.member.call("one.user.chgrp", uid, team.gid)  # between groups of one's own, and both stay
    assert ids(cloud, "user", uid, "GROUPS") == [team.gid, team.other]
    client.call("one.vm.action", "terminate", vm)


def test_who_leaves_administers_no_more(cloud: Cloud, team: Team) -> None:
    """By chgrp, or for good: neither ADMINS nor rules speak of the user any more."""
    cloud.client.call("one.user.chgrp", team.admin_id, team.other)
    assert rules(cloud) == team.before and ids(cloud, "group", team.gid, "ADMINS") == []
    cloud.client.call("one.group.addadmin", team.other, team.admin_id)
    cloud.client.call("one.acl.addrule", f"{0x100000000 | team.admin_id:x}",
                      f"{0x2000000000 | 0x400000000:x}", "1")
    cloud.client.call("one.user.delete", team.admin_id)
    assert rules(cloud) == team.before and ids(cloud, "group", team.other, "ADMINS") == []


def test_a_group_goes_when_it_is_empty(cloud: Cloud, team: Team) -> None:
    """Not with users, not while something is its; then with the rules about it."""
    client, gid = cloud.client, client_group(cloud)
    rule = client.number("one.acl.addrule", f"{0x200000000 | gid:x}", f"{0x2000000000 | 0x400000000:x}", "1")
    uid, user = team.user(gid)
    assert "users" in refused(client, RPC_API, "one.group.delete", gid)
    template = client.number("one.template.allocate", vm_template(unique("theirs")))
    client.call("one.template.chown", template, 0, gid)
    client.call("one.user.delete", uid)
    assert "template" in refused(client, RPC_API, "one.group.delete", gid)
    client.call("one.template.delete", template)
    client.call("one.group.delete", gid)
    assert f"<ID>{rule}</ID>" not in client.text("one.acl.info") and gid not in shown(client, "group")


def client_group(cloud: Cloud) -> int:
    """A new group."""
    return cloud.client.number("one.group.allocate", unique("team"))


def test_vlans_of_a_group(cloud: Cloud) -> None:
    """Kept and shown in the schema's order, in place of those before."""
    gid = client_group(cloud)
    cloud.client.call("one.group.vlan", gid, 'RULE=[VNTEMPLATE=3,SCOPE="0",ID="1, 33,400-700"]\nRULE=[ID=5]')
    text = cloud.client.text("one.group.info", gid)
    validate("group", text)
    assert [e.findtext("ID") for e in ElementTree.fromstring(text).iterfind("VLAN_RULES/RULE")] == ["1, 33,400-700",
                                                                                                   "5"]
    cloud.client.call("one.group.vlan", gid, "")
    assert "<RULE>" not in cloud.client.text("one.group.info", gid)
