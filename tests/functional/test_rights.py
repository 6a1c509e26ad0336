"""What rights lead to: administrators at every method, what is not there, recursion, restricted attributes, locks."""
from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

import pytest
from api_calls import ACTION, AUTHENTICATION, AUTHORIZATION, LOCKED, NO_EXISTS, RPC_API, refused, unmonitored
from cloud_process import Cloud, template, unique

import onecore.app  # noqa: F401 (fills the table)
from onecore.api import TABLE, Method
from onecore.kinds.kind import KINDS
from onecore.wire.client import Client, ClientError

pytestmark = pytest.mark.surface

OWNED = ("vm", "image", "vnet", "template", "datastore")
ON = sorted(name for name, row in TABLE.items() if row.on and row.on != "zone")
POOLS = sorted(name for name, row in TABLE.items() if not row.on and "pool." in name)
MISSING = 2**30
_RARE = "one.zone.raftstatus"
"""What hooks here are about: a call that no other test makes often, as each call starts a program."""


@dataclass(frozen=True)
class Person:
    """A plain user whose groups no ACL rule names."""

    uid: int
    gid: int
    name: str
    client: Client


def person(cloud: Cloud, *groups: int) -> Person:
    """A new user of GROUPS, or of a group of its own."""
    gids = list(groups)
    if not gids:
        gids.append(cloud.client.number("one.group.allocate", unique("group")))
        cloud.client.call("one.vdc.delgroup", 0, gids[0])
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
        "user": make("one.user.allocate", unique("user"), "secret", "", [0]),
        "document": make("one.document.allocate", template({"NAME": unique("document")}), 100),
        "secgroup": make("one.secgroup.allocate", template({"NAME": unique("secgroup")})),
        "vmgroup": make("one.vmgroup.allocate", f"NAME={unique('vmgroup')}\nROLE=[NAME=a]"),
        "hook": make("one.hook.allocate", template({"NAME": unique("hook"), "TYPE": "api", "CALL": _RARE,
                                                    "COMMAND": "/bin/true"}))}


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
def test_what_is_not_there(cloud: Cloud, stranger: Person, name: str) -> None:
    """NO_EXISTS, for those who may all and for those who may nothing."""
    for client in (cloud.client, stranger.client):
        refused(client, NO_EXISTS, name, *arguments(TABLE[name], MISSING))


def test_a_member_of_the_administrators_may_all(cloud: Cloud) -> None:
    """Group 0, be it the second one; what is refused is so for another reason."""
    group = cloud.client.number("one.group.allocate", unique("group"))
    make, hook = cloud.client.number, f"NAME={unique('hook')}\nTYPE=api\nCALL={_RARE}\nCOMMAND=/bin/true"
    member, found = person(cloud, group, 0), objects(cloud)
    found |= {"secgroup": make("one.secgroup.allocate", f"NAME={unique('sg')}"), "zone": MISSING,
              "document": make("one.document.allocate", f"NAME={unique('doc')}", 100),
              "vmgroup": make("one.vmgroup.allocate", f"NAME={unique('vmg')}\nROLE=[NAME=a]"),
              "vdc": make("one.vdc.allocate", f"NAME={unique('vdc')}"),
              "hook": make("one.hook.allocate", hook)}
    for name in sorted(ON, key=lambda n: n.endswith(".delete")):
        try:
            member.client.call(name, *arguments(TABLE[name], found[TABLE[name].on or ""], -1))
        except ClientError as error:
            assert error.code not in (AUTHENTICATION, AUTHORIZATION), f"{name}: {error}"
    for name in POOLS:
        if "filter_flag" in [p.name for p in TABLE[name].parameters] and "monitoring" not in name:
            told = [unmonitored(client.text(name, -2, -1, -1)) for client in (member.client, cloud.client)]
            assert told[0] == told[1], name


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
        assert vm not in ids(stranger.client, "one.vmpool.info", -2, -1, -1, state)
    assert ids(stranger.client, "one.vmpool.infoset", str(vm)) == []


@pytest.mark.parametrize("pool", ["template", "image", "vn", "vm"])
def test_filters_that_mean_nothing(cloud: Cloud, stranger: Person, pool: str) -> None:
    """Below -4, for everybody; a user that is not there owns nothing."""
    for client in (stranger.client, cloud.client):
        for flag in (-5, -2**31):
            refused(client, RPC_API, f"one.{pool}pool.info", flag, -1, -1)
        assert ids(client, f"one.{pool}pool.info", MISSING, -1, -1) == []


# -- locks


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
        cloud.client.call("one.template.delete", written)


def test_restricted_attributes_of_other_kinds(cloud: Cloud) -> None:
    """A file of the front-end as an image; an interface of the hosts for an own network."""
    _, user = cloud.make_user()
    refused(user, AUTHORIZATION, "one.image.allocate", 'NAME=a\nTYPE=OS\nSIZE=1\nSOURCE="/etc/shadow"', 1)
    owner = person(cloud)
    net = give(cloud, "vnet", cloud.make_network(PHYDEV="eth8"), owner)
    for key, value in (("PHYDEV", "eth0"), ("BRIDGE", "br0"), ("VLAN_ID", "7"), ("VN_MAD", "bridge")):
        assert key in refused(owner.client, AUTHORIZATION, "one.vn.update", net, f'{key}="{value}"', 1)
    owner.client.call("one.vn.update", net, 'PHYDEV="eth8"\nNOTE="mine"', 1)


def test_an_owner_of_a_datastore_does_not_open_the_front_end(cloud: Cloud) -> None:
    """Which files of the front-end may become images is for administrators to say; the rest is the owner's."""
    user = cloud.client.number("one.user.allocate", "keeper", "secret", "core", [1])
    ds = cloud.client.number("one.datastore.allocate", "NAME=kept\nTM_MAD=dummy\nDS_MAD=dummy\nSAFE_DIRS=/srv", -1)
    cloud.client.call("one.datastore.chown", ds, user, -1)
    keeper = cloud.client_as("keeper", "secret")
    with pytest.raises(ClientError, match="SAFE_DIRS") as refused:
        keeper.call("one.datastore.update", ds, "SAFE_DIRS=/etc", 1)
    assert refused.value.code == 0x200
    keeper.call("one.datastore.update", ds, "NOTE=mine", 0)
    template = cloud.body("datastore", ds).find("TEMPLATE")
    assert template is not None
    assert (template.findtext("NOTE"), template.findtext("SAFE_DIRS")) == ("mine", "/srv")
