"""Who may do what: the table of methods walked as a stranger, bits, filters, locks, restricted attributes."""
from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

import pytest
from api_calls import ACTION, AUTHENTICATION, AUTHORIZATION, LOCKED, NO_EXISTS, RPC_API, refused
from cloud_process import Cloud, template, unique

import onecore.app  # noqa: F401 (fills the table)
from onecore.api import TABLE, Method
from onecore.kinds.kind import KINDS
from onecore.wire.client import Client, ClientError

OWNED = ("vm", "image", "vnet", "template", "datastore")
LOCKABLE = ("vm", "image", "vnet", "template")
ON = sorted(name for name, row in TABLE.items() if row.on and row.on != "zone")
OPEN = {"one.acl.info", "one.system.config", "one.system.version", "onecore.events", "onecore.version"}
"""What any user may call; of zone 0 everybody may know."""
POOLS = sorted(name for name, row in TABLE.items() if not row.on and "pool." in name)
CLOSED = sorted(name for name, row in TABLE.items() if not row.on and name not in OPEN and "pool." not in name)
MISSING = 2**30


@dataclass(frozen=True)
class Person:
    """A plain user whose groups no ACL rule names."""

    uid: int
    gid: int
    name: str
    client: Client


def person(cloud: Cloud, *groups: int) -> Person:
    """A new user of GROUPS, or of a group of its own."""
    gids = list(groups) or [cloud.client.number("one.group.allocate", unique("group"))]
    name = unique("person")
    uid = cloud.client.number("one.user.allocate", name, "secret", "", gids)
    return Person(uid, gids[0], name, cloud.client_as(name, "secret"))


def objects(cloud: Cloud) -> dict[str, int]:
    """One new object of each kind, of oneadmin, for its owner only."""
    make = cloud.client.number
    return {
        "vm": cloud.make_vm(hold=True), "image": cloud.make_image(), "vnet": cloud.make_network(),
        "template": cloud.make_template(), "host": cloud.add_hosts(1, wait=False)[0],
        "datastore": make("one.datastore.allocate", template(
            {"NAME": unique("ds"), "TYPE": "SYSTEM_DS", "TM_MAD": "dummy"}), -1),
        "cluster": make("one.cluster.allocate", unique("cluster")),
        "group": make("one.group.allocate", unique("group")),
        "user": make("one.user.allocate", unique("user"), "secret", "", [0])}


@pytest.fixture(scope="module")
def things(shared_cloud: Cloud) -> dict[str, int]:
    """Objects of oneadmin that no test of this module changes."""
    return objects(shared_cloud)


@pytest.fixture(scope="module")
def stranger(shared_cloud: Cloud) -> Person:
    """A user to whom nothing was given."""
    return person(shared_cloud)


def arguments(row: Method, oid: int, number: int = 1) -> list[object]:
    """Arguments of the right types, the object's id among them."""
    given: dict[str, object] = {"int": number, "bool": False, "list": []}
    out = [given.get(p.type, "NOTE=1" if "template" in p.name else unique("word")) for p in row.parameters]
    if row.on:
        out[row.object_at] = oid
    return out


def api(kind: str) -> str:
    """The prefix of a kind's methods."""
    return KINDS[kind].api


def ids(client: Client, pool: str, *given: object) -> list[int]:
    """Ids in the answer of a pool call."""
    return [int(node.findtext("ID", "")) for node in ElementTree.fromstring(client.text(pool, *given)) if len(node)]


def chmod(cloud: Cloud, kind: str, oid: int, bits: str) -> None:
    """As the command of that name: BITS such as 640."""
    cloud.client.call(f"{api(kind)}.chmod", oid, *(int(b) for digit in bits for b in f"{int(digit):03b}"))


def give(cloud: Cloud, kind: str, oid: int, who: Person, bits: str = "600") -> int:
    """Hand an object over."""
    cloud.client.call(f"{api(kind)}.chown", oid, who.uid, who.gid)
    chmod(cloud, kind, oid, bits)
    return oid


# -- the whole table


@pytest.mark.parametrize("name", ON)
def test_a_stranger_is_refused_everywhere(cloud: Cloud, things: dict[str, int], stranger: Person, name: str) -> None:
    """Whatever the method does, before it looks at anything else."""
    row = TABLE[name]
    refused(stranger.client, AUTHORIZATION, name, *arguments(row, things[row.on or ""]))


@pytest.mark.parametrize("name", CLOSED)
def test_a_stranger_makes_nothing(cloud: Cloud, stranger: Person, name: str) -> None:
    """CREATE is a right as well."""
    refused(stranger.client, AUTHORIZATION, name, *arguments(TABLE[name], -1))


@pytest.mark.parametrize("name", [n for n in POOLS if n != "one.zonepool.info"])
def test_a_stranger_sees_nothing(cloud: Cloud, things: dict[str, int], stranger: Person, name: str) -> None:
    """Pools hold what one may see: of users and groups, oneself."""
    first: tuple[object, ...] = ()
    if name == "one.vmpool.infoset":
        first = (str(things["vm"]),)
    elif TABLE[name].parameters and "monitoring" not in name:
        first = (-2, -1, -1)
    elif TABLE[name].parameters and TABLE[name].parameters[0].name == "filter_flag":
        first = (-2,)
    body = stranger.client.text(name, *first)
    own = {"one.userpool.info": stranger.uid, "one.grouppool.info": stranger.gid}
    assert re.findall(r"<(?:USER|GROUP)><ID>(\d+)", body) == ([str(own[name])] if name in own else [])
    assert name in own or "<ID>" not in body


@pytest.mark.parametrize("name", ON)
def test_what_is_not_there(cloud: Cloud, stranger: Person, name: str) -> None:
    """NO_EXISTS, for those who may all and for those who may nothing."""
    for client in (cloud.client, stranger.client):
        refused(client, NO_EXISTS, name, *arguments(TABLE[name], MISSING))


def test_a_member_of_the_administrators_may_all(cloud: Cloud) -> None:
    """Group 0, be it the second one; what is refused is so for another reason."""
    group = cloud.client.number("one.group.allocate", unique("group"))
    member, found = person(cloud, group, 0), objects(cloud)
    for name in sorted(ON, key=lambda n: n.endswith(".delete")):
        try:
            member.client.call(name, *arguments(TABLE[name], found[TABLE[name].on or ""], -1))
        except ClientError as error:
            assert error.code not in (AUTHENTICATION, AUTHORIZATION), f"{name}: {error}"
    for name in POOLS:
        if "filter_flag" in [p.name for p in TABLE[name].parameters] and "monitoring" not in name:
            assert member.client.text(name, -2, -1, -1) == cloud.client.text(name, -2, -1, -1)


# -- permission bits


def allowed(client: Client, kind: str, oid: int, bits: list[int]) -> str:
    """Which of USE, MANAGE and ADMIN a client has, as letters, found out by using them."""
    calls = (("u", "info", (oid,)), ("m", "rename", (oid, unique("name"))), ("a", "chmod", (oid, *bits)))
    found = ""
    for letter, verb, given in calls:
        try:
            client.call(f"{api(kind)}.{verb}", *given)
            found += letter
        except ClientError as error:
            assert error.code == AUTHORIZATION, error
    return found


@pytest.mark.parametrize("kind", OWNED)
def test_each_bit_gives_its_right(cloud: Cloud, kind: str) -> None:
    """The owner's, the group's and others', each alone; the owner is in the group, and all are others."""
    owner = person(cloud)
    people = [owner, person(cloud, owner.gid), person(cloud)]
    oid = give(cloud, kind, objects(cloud)[kind], owner)
    for at in range(9):
        bits = [int(i == at) for i in range(9)]
        cloud.client.call(f"{api(kind)}.chmod", oid, *bits)
        seen = [allowed(who.client, kind, oid, bits) for who in people]
        assert seen == ["uma"[at % 3] if place <= at // 3 else "" for place in range(3)], bits


def test_verbs_need_what_they_need(cloud: Cloud) -> None:
    """USE does not manage, MANAGE does not hand out ADMIN, ends no datastore and marks no VM."""
    owner, found = person(cloud), objects(cloud)
    for kind in OWNED:
        give(cloud, kind, found[kind], owner, "400")
    for kind in OWNED:
        for verb in {"update", "rename", "delete", "lock", "unlock", "chown"}:
            if row := TABLE.get(f"{api(kind)}.{verb}"):
                refused(owner.client, AUTHORIZATION, row.name, *arguments(row, found[kind]))
        chmod(cloud, kind, found[kind], "600")
        owner.client.call(f"{api(kind)}.update", found[kind], "NOTE=1", 1)
        owner.client.call(f"{api(kind)}.chmod", found[kind], *[-1] * 7, 1, -1)
        refused(owner.client, AUTHORIZATION, f"{api(kind)}.chmod", found[kind], *[-1] * 8, 1)
    refused(owner.client, AUTHORIZATION, "one.datastore.delete", found["datastore"])
    refused(owner.client, AUTHORIZATION, "one.vm.action", "resched", found["vm"])
    refused(owner.client, AUTHORIZATION, "one.vm.recover", found["vm"], 3)
    owner.client.call("one.vm.action", "terminate", found["vm"])
    for kind in ("image", "vnet", "template"):
        owner.client.call(f"{api(kind)}.delete", found[kind])


def test_chown_only_to_oneself_and_own_groups(cloud: Cloud) -> None:
    """Nobody gives away to others; an administrator does."""
    second = cloud.client.number("one.group.allocate", unique("group"))
    first = cloud.client.number("one.group.allocate", unique("group"))
    owner, other = person(cloud, first, second), person(cloud)
    oid = give(cloud, "template", cloud.make_template(), owner, "700")
    refused(owner.client, AUTHORIZATION, "one.template.chown", oid, other.uid, -1)
    refused(owner.client, AUTHORIZATION, "one.template.chown", oid, -1, other.gid)
    refused(owner.client, NO_EXISTS, "one.template.chown", oid, MISSING, -1)
    owner.client.call("one.template.chown", oid, -1, second)
    assert cloud.body("template", oid).findtext("GID") == str(second)
    give(cloud, "template", oid, other)
    refused(owner.client, AUTHORIZATION, "one.template.info", oid)


def test_a_vm_that_is_done_tells_strangers_nothing(cloud: Cloud, stranger: Person) -> None:
    """Neither its body nor, by another error, that it is DONE."""
    owner = person(cloud)
    vm = give(cloud, "vm", cloud.make_vm(hold=True), owner)
    cloud.client.call("one.vm.action", "terminate", vm)
    for name in [n for n in ON if TABLE[n].on == "vm"]:
        refused(stranger.client, AUTHORIZATION, name, *arguments(TABLE[name], vm))
    assert cloud.vm_state(vm) == "DONE"
    owner.client.call("one.vm.info", vm)
    refused(owner.client, ACTION, "one.vm.action", "terminate", vm)
    for state in (-2, 6):
        assert vm in ids(owner.client, "one.vmpool.info", -2, -1, -1, state)
        assert ids(stranger.client, "one.vmpool.info", -2, -1, -1, state) == []
    assert ids(stranger.client, "one.vmpool.infoset", str(vm)) == []


# -- filters, ranges, pages


def _spread(cloud: Cloud, kind: str, people: Iterable[Person], bits: Iterable[str]) -> list[int]:
    make = cloud.make_vm if kind == "vm" else cloud.make_template
    return [give(cloud, kind, make(), who, mode) for who, mode in zip(people, bits, strict=True)]


@pytest.mark.parametrize(("kind", "pool"), [("template", "one.templatepool.info"), ("vm", "one.vmpool.info"),
                                            ("vm", "one.vmpool.infoextended")])
def test_filter_flags(cloud: Cloud, kind: str, pool: str) -> None:
    """Own, the primary group's, own and all groups', all visible, those of one user."""
    second = person(cloud)
    mate = person(cloud)
    me = person(cloud, mate.gid, second.gid)
    other = person(cloud)
    mine, hidden, shared, beside, public, secret = _spread(
        cloud, kind, (me, mate, mate, second, other, other), ("600", "600", "640", "640", "604", "660"))
    for flag, expected in ((-4, [mine, shared]), (-3, [mine]), (-2, [mine, shared, beside, public]),
                           (-1, [mine, shared, beside]), (mate.uid, [shared]), (other.uid, [public]), (me.uid, [mine])):
        seen = [i for i in ids(me.client, pool, flag, -1, -1) if i in (mine, hidden, shared, beside, public, secret)]
        assert seen == expected, flag
    for flag in (-5, -2**31):
        refused(me.client, RPC_API, pool, flag, -1, -1)
        refused(cloud.client, RPC_API, pool, flag, -1, -1)
    assert ids(cloud.client, pool, -3, -1, -1).count(mine) == 0
    assert ids(cloud.client, pool, mate.uid, -1, -1) == [hidden, shared]


@pytest.mark.parametrize(("kind", "pool"), [("template", "one.templatepool.info"), ("vm", "one.vmpool.info")])
def test_ranges_and_pages(cloud: Cloud, kind: str, pool: str) -> None:
    """START to END by id; END below -1: a page of -END from offset START."""
    me = person(cloud)
    a, b, c, d = _spread(cloud, kind, [me] * 4, ["600"] * 4)
    for start, end, expected in ((-1, -1, [a, b, c, d]), (b, -1, [b, c, d]), (b, c, [b, c]), (-1, b, [a, b]),
                                 (c, b, []), (d + 1, MISSING, []), (0, -2, [a, b]), (1, -2, [b, c]), (2, -5, [c, d]),
                                 (4, -2, []), (-1, -3, [a, b, c])):
        assert ids(me.client, pool, -3, start, end) == expected, (start, end)


# -- locks


@pytest.mark.parametrize("kind", LOCKABLE)
def test_a_lock_stops_what_its_level_says(cloud: Cloud, kind: str) -> None:
    """USE and ALL stop everything, MANAGE that and ADMIN, ADMIN only ADMIN; oneadmin too; looking never."""
    oid = objects(cloud)[kind]
    for level, stops in ((1, "ma"), (2, "ma"), (3, "a"), (4, "ma")):
        cloud.client.call(f"{api(kind)}.lock", oid, level)
        assert cloud.body(api(kind)[4:], oid).findtext("LOCK/LOCKED") == str(level)
        for letter, verb, given in (("m", "rename", (unique("n"),)), ("a", "chmod", [1, 1, 0, 0, 0, 0, 0, 0, 0])):
            if letter in stops:
                refused(cloud.client, LOCKED, f"{api(kind)}.{verb}", oid, *given)
            else:
                cloud.client.call(f"{api(kind)}.{verb}", oid, *given)
        cloud.client.call(f"{api(kind)}.unlock", oid)
        assert cloud.body(api(kind)[4:], oid).find("LOCK") is None
    for level in (0, 5, -1):
        refused(cloud.client, RPC_API, f"{api(kind)}.lock", oid, level)


def test_a_lock_belongs_to_who_set_it(cloud: Cloud) -> None:
    """With `test` it is taken once; another user neither changes nor removes it; a locked VM does not end."""
    owner = person(cloud)
    mate = person(cloud, owner.gid)
    vm = give(cloud, "vm", cloud.make_vm(hold=True), owner, "660")
    owner.client.call("one.vm.lock", vm, 2, True)
    refused(owner.client, LOCKED, "one.vm.lock", vm, 2, True)
    owner.client.call("one.vm.lock", vm, 4)
    refused(mate.client, LOCKED, "one.vm.lock", vm, 1)
    refused(mate.client, AUTHORIZATION, "one.vm.unlock", vm)
    for client in (owner.client, mate.client, cloud.client):
        refused(client, LOCKED, "one.vm.action", "terminate", vm)
    refused(cloud.client, LOCKED, "one.vm.recover", vm, 3)
    cloud.client.call("one.vm.unlock", vm)
    mate.client.call("one.vm.action", "terminate", vm)


def test_what_is_locked_for_use_makes_no_vm(cloud: Cloud) -> None:
    """Image, network and template, by themselves or named by a template; a lock for MANAGE leaves them usable."""
    image, network = cloud.make_image(), cloud.make_network()
    made = cloud.make_template(image=image, network=network)
    vm = cloud.client.number("one.template.instantiate", made, unique("vm"))
    for kind, oid in (("image", image), ("vnet", network), ("template", made)):
        cloud.client.call(f"{api(kind)}.lock", oid, 1)
        refused(cloud.client, LOCKED, "one.template.instantiate", made, "")
        cloud.client.call(f"{api(kind)}.lock", oid, 2)
        cloud.client.call("one.vm.action", "terminate", vm)
        vm = cloud.client.number("one.template.instantiate", made, unique("vm"))
        cloud.client.call(f"{api(kind)}.unlock", oid)
    cloud.client.call("one.vm.action", "terminate", vm)


# -- what one right leads to


def test_deploying_takes_two_rights(cloud: Cloud) -> None:
    """ADMIN on the VM and MANAGE on the host, which group `users` has."""
    host = cloud.add_hosts(1)[0]
    stranger, (uid, user) = person(cloud), cloud.make_user()
    theirs = give(cloud, "vm", cloud.make_vm(), stranger, "700")
    assert "HOST" in refused(stranger.client, AUTHORIZATION, "one.vm.deploy", theirs, host)
    vm = user.number("one.vm.allocate", template({"CPU": 1, "MEMORY": 64}))
    assert "ADMIN VM" in refused(user, AUTHORIZATION, "one.vm.deploy", vm, host)
    chmod(cloud, "vm", vm, "700")
    user.call("one.vm.deploy", vm, host)
    cloud.wait_vm(vm, "RUNNING")
    user.call("one.vm.action", "terminate-hard", vm)
    cloud.wait_vm(vm, "DONE")
    assert cloud.body("vm", vm).findtext("HISTORY_RECORDS/HISTORY/UID") in (str(uid), "0", "-1")


def test_recursive_calls_need_rights_on_images(cloud: Cloud) -> None:
    """A template that names another's image leads to it only as far as its bits do."""
    _, user = cloud.make_user()
    image = cloud.make_image()
    made = user.number("one.template.allocate", template({"NAME": unique("t"), "CPU": 1, "MEMORY": 64,
                                                          "DISK": {"IMAGE_ID": image}}))
    bits = [1, 1, -1, 1, 0, -1, 0, 0, -1]
    for bit, calls in (("600", (("clone", made, "copy", True), ("instantiate", made, "", False, "", True),
                                ("instantiate", made), ("delete", made, True), ("chmod", made, *bits, True))),
                       ("604", (("delete", made, True), ("chmod", made, *bits, True)))):
        chmod(cloud, "image", image, bit)
        for verb, *given in calls:
            assert f"IMAGE [{image}]" in refused(user, AUTHORIZATION, f"one.template.{verb}", *given)
    assert ids(user, "one.templatepool.info", -3, -1, -1) == [made]
    assert ids(user, "one.imagepool.info", -3, -1, -1) == []
    assert cloud.body("image", image).findtext("PERMISSIONS/GROUP_U") == "0"
    copy = user.number("one.template.clone", made, unique("copy"), True)
    assert len(ids(user, "one.imagepool.info", -3, -1, -1)) == 1
    user.call("one.template.delete", copy)


RESTRICTED = {
    "RAW": {"TYPE": "kvm", "DATA": "<x/>"}, "EMULATOR": "/bin/sh", "CONTEXT": {"FILES": "/etc/shadow"},
    "DISK": {"TYPE": "fs", "SIZE": 1, "SOURCE": "/dev/sda"},
    **{f"OS {key}": {key: "/etc/shadow"} for key in ("KERNEL", "INITRD", "BOOTLOADER")},
    **{f"NIC {key}": {"NETWORK_ID": 0, key: "x"} for key in ("MAC", "BRIDGE", "PHYDEV", "VLAN_ID", "SCRIPT", "CONF")},
    "NIC_DEFAULT": {"PHYDEV": "eth0"},
}


@pytest.mark.parametrize("case", sorted(RESTRICTED))
def test_restricted_attributes(cloud: Cloud, case: str) -> None:
    """Ordinary users give none of them, in no way; what an administrator wrote, they may use."""
    _, user = cloud.make_user()
    bad = template({case.split()[0]: RESTRICTED[case]})
    plain = template({"CPU": 1, "MEMORY": 64})
    own = user.number("one.template.allocate", f'NAME="{unique("t")}"\n{plain}')
    for method, *given in (("one.vm.allocate", plain + bad), ("one.template.allocate", f'NAME="n"\n{plain}{bad}'),
                           ("one.template.update", own, bad, 1), ("one.template.update", own, plain + bad, 0),
                           ("one.template.instantiate", own, "", False, bad)):
        assert case.split()[0] in refused(user, AUTHORIZATION, method, *given)
    if not case.startswith("NIC"):
        written = cloud.client.number("one.template.allocate", f'NAME="{unique("t")}"\n{plain}{bad}')
        chmod(cloud, "template", written, "604")
        vm = user.number("one.template.instantiate", written)
        user.call("one.vm.action", "terminate", vm)
        refused(user, AUTHORIZATION, "one.template.instantiate", written, "", False, bad)


def test_restricted_attributes_of_other_kinds(cloud: Cloud) -> None:
    """A file of the front-end as an image; an interface of the hosts for an own network."""
    _, user = cloud.make_user()
    refused(user, AUTHORIZATION, "one.image.allocate", 'NAME=a\nTYPE=OS\nSIZE=1\nSOURCE="/etc/shadow"', 1)
    owner = person(cloud)
    net = give(cloud, "vnet", cloud.make_network(PHYDEV="eth8"), owner)
    for key, value in (("PHYDEV", "eth0"), ("BRIDGE", "br0"), ("VLAN_ID", "7"), ("VN_MAD", "bridge")):
        assert key in refused(owner.client, AUTHORIZATION, "one.vn.update", net, f'{key}="{value}"', 1)
    owner.client.call("one.vn.update", net, 'PHYDEV="eth8"\nNOTE="mine"', 1)


# -- the change log


def test_events_of_what_one_may_see(cloud: Cloud, stranger: Person) -> None:
    """Others' VMs do not show, own ones do, also when they are gone."""
    since = json.loads(cloud.client.text("onecore.events", -1))["last"]
    owner = person(cloud)
    vm = give(cloud, "vm", cloud.make_vm(hold=True), owner, "600")
    made = give(cloud, "template", cloud.make_template(), owner)
    cloud.client.call("one.vm.action", "terminate", vm)
    cloud.client.call("one.template.delete", made)
    heard = {who: {(e["kind"], e["id"], e["what"]) for e in json.loads(client.text("onecore.events", since))["events"]}
             for who, client in (("owner", owner.client), ("stranger", stranger.client), ("admin", cloud.client))}
    end = {("vm", vm, "state"), ("template", made, "delete")}
    assert end <= heard["owner"] <= heard["admin"]
    assert not {e for e in heard["stranger"] if e[:2] in itertools.chain((("vm", vm), ("template", made)))}
