"""Who may do what: permission bits, groups, locks, filters, the change log, tokens (methods: test_golden_rights)."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from api_calls import ACTION, AUTHENTICATION, AUTHORIZATION, LOCKED, RPC_API, refused
from cloud_process import Cloud, unique, until, vm_template

from onecore.wire.client import Client, ClientError

pytestmark = pytest.mark.surface

KEEP = (-1,) * 9


class People:
    """Two groups of users of whom no ACL rule speaks, and a user of both."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.group, self.other_group = (cloud.client.number("one.group.allocate", unique("group")) for _ in range(2))
        for group in (self.group, self.other_group):
            cloud.client.call("one.vdc.delgroup", 0, group)
        self.owner_id, self.owner = self.user(self.group)
        self.mate_id, self.mate = self.user(self.group)
        self.stranger_id, self.stranger = self.user(self.other_group)
        self.both_id, self.both = self.user(self.group, self.other_group)

    def user(self, *groups: int) -> tuple[int, Client]:
        """A user of GROUPS."""
        name = unique("person")
        oid = self.cloud.client.number("one.user.allocate", name, "secret", "", list(groups))
        return oid, self.cloud.client_as(name, "secret")

    def give(self, kind: str, oid: int, perms: int = 0o600) -> int:
        """Make an object the owner's, with permission bits."""
        self.cloud.client.call(f"one.{kind}.chown", oid, self.owner_id, self.group)
        self.cloud.client.call(f"one.{kind}.chmod", oid, *bits(perms))
        return oid

    def make(self, kind: str) -> int:
        """An object of oneadmin."""
        cloud = self.cloud
        if kind == "datastore":
            text = f'NAME="{unique("ds")}"\nTYPE=SYSTEM_DS\nTM_MAD=dummy'
            return cloud.client.number("one.datastore.allocate", text, -1)
        return {"vm": lambda: cloud.make_vm(hold=True), "image": cloud.make_image, "vn": cloud.make_network,
                "template": cloud.make_template}[kind]()


def bits(perms: int) -> list[int]:
    """The nine arguments of chmod."""
    return [perms >> shift & 1 for shift in range(8, -1, -1)]


def may(client: Client, method: str, *arguments: object) -> bool:
    """Whether a call is not refused for want of a right; any other error is one."""
    try:
        client.call(method, *arguments)
    except ClientError as error:
        assert error.code == AUTHORIZATION, error
        assert "Not authorized" in str(error), error
        return False
    return True


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of this module's own: objects that all may see would be seen by the tests of others."""
    made = Cloud(tmp_path_factory.mktemp("rights"), {}).start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def people(cloud: Cloud) -> People:
    """The users of this module."""
    return People(cloud)


def test_what_users_may_do_with_what_has_no_bits(cloud: Cloud) -> None:
    """Users of group 1 may create, and use networks and datastores; nobody but administrators keeps house."""
    net, host = cloud.make_network(), cloud.add_hosts(1)[0]
    uid, user = cloud.make_user()
    assert may(user, "one.vn.info", net) and may(user, "one.datastore.info", 1)
    refusals: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("one.host.info", (host,)), ("one.host.update", (host, "A=1", 1)),
        ("one.host.rename", (host, "mine")), ("one.host.status", (host, 1)),
        ("one.cluster.info", (0,)), ("one.cluster.rename", (0, "mine")),
        ("one.host.allocate", ("mine", "dummy", "dummy", -1)),
        ("one.vn.allocate", ("NAME=a\nVN_MAD=dummy",)), ("one.group.allocate", ("mine",)),
        ("one.datastore.allocate", ("NAME=a\nTM_MAD=dummy\nDS_MAD=dummy",)),
        ("one.user.allocate", ("mine", "x", "", [])), ("one.group.info", (0,)),
        ("one.user.info", (0,)), ("one.user.passwd", (0, "x")),
        ("one.user.update", (0, "A=1", 1)),
        ("one.user.login", ("oneadmin", "", 60)), ("one.user.chgrp", (uid, 0)),
        ("one.user.chauth", (uid, "public", "")), ("one.user.enable", (uid, False)),
        ("one.user.delete", (uid,)), ("onecore.status", ()))
    for method, arguments in refusals:
        assert not may(user, method, *arguments), method
    assert may(user, "one.user.info", uid) and may(user, "one.user.update", uid, "A=1", 1)
    assert user.text("one.user.info", -1) == user.text("one.user.info", uid)
    assert may(user, "one.group.info", 1) and user.text("one.group.info", -1) == user.text("one.group.info", 1)
    vm = user.number("one.vm.allocate", vm_template("mine"))
    refusals = (("one.vm.deploy", (vm, host)), ("one.vm.recover", (vm, 3)),
                ("one.vm.action", ("resched", vm)), ("one.vm.action", ("unresched", vm)),
                ("one.vm.chown", (vm, 0, -1)), ("one.vm.chmod", (vm, *KEEP[:-1], 0)))
    for method, arguments in refusals:
        assert not may(user, method, *arguments), method
    assert may(user, "one.vm.chmod", vm, 1, 1, -1, 1, -1, -1, 1, -1, -1)
    assert may(user, "one.vm.action", "terminate", vm)


# -- permission bits

VERBS: dict[str, tuple[Any, ...]] = {"info": (), "rename": ("{new}",), "chmod": (*KEEP[:-1], 0)}
"""A verb for each right: USE, MANAGE, ADMIN."""


@pytest.mark.parametrize("kind", ["vm", "image", "vn", "template", "datastore"])
def test_bits_of_owner_group_and_others(people: People, kind: str) -> None:
    """Each bit alone gives its right to those that it speaks of, and nothing else to anybody."""
    oid = people.give(kind, people.make(kind))
    assert not [v for v in VERBS if may(people.stranger, f"one.{kind}.{v}", oid, *_new(VERBS[v]))]
    for place in range(9):
        perms = 0o400 >> place
        who, right = divmod(place, 3)
        for number, verb in enumerate(VERBS):
            for rank, client in ((0, people.owner), (1, people.mate), (2, people.stranger)):
                people.cloud.client.call(f"one.{kind}.chmod", oid, *bits(perms))
                speaks = (who == 0 and rank == 0) or (who == 1 and rank <= 1) or who == 2
                wanted = speaks and number == right
                assert may(client, f"one.{kind}.{verb}", oid, *_new(VERBS[verb])) == wanted, (perms, verb, rank)


def _new(arguments: tuple[Any, ...]) -> list[Any]:
    return [unique("new") if a == "{new}" else a for a in arguments]


def test_new_objects(people: People, cloud: Cloud) -> None:
    """Belong to who made them, in the primary group, for their use and management."""
    uid, user = people.user(1, people.group)
    for client, owner, group in ((cloud.client, 0, 0), (user, uid, 1)):
        vm = client.number("one.vm.allocate", vm_template("mine"), True)
        body = cloud.body("vm", vm)
        assert (body.findtext("UID"), body.findtext("GID")) == (str(owner), str(group))
        assert permissions(cloud, vm) == "110000000"
        client.call("one.vm.action", "terminate", vm)


def permissions(cloud: Cloud, vm: int) -> str:
    """The nine bits of a VM's body."""
    return "".join(str(bit.text) for bit in cloud.body("vm", vm).iterfind("PERMISSIONS/*"))


def test_chmod_says_which_bits(people: People, cloud: Cloud) -> None:
    """-1 leaves a bit as it is."""
    vm = people.give("vm", people.make("vm"), 0o640)
    people.owner.call("one.vm.chmod", vm, -1, 0, -1, -1, 1, -1, 1, -1, -1)
    assert permissions(cloud, vm) == "100110100"


def test_chown_and_chgrp(people: People, cloud: Cloud) -> None:
    """Owners give to their own groups; only administrators give to other users; names stay unique per owner."""
    image = people.give("image", people.make("image"))
    owner = people.owner
    assert not may(owner, "one.image.chown", image, people.mate_id, -1)
    assert not may(owner, "one.image.chown", image, -1, people.other_group)
    assert not may(people.mate, "one.image.chown", image, people.mate_id, -1)
    assert may(owner, "one.image.chown", image, -1, people.group)
    cloud.client.call("one.image.chown", image, people.both_id, -1)
    assert may(people.both, "one.image.chown", image, -1, people.other_group)
    assert cloud.body("image", image).findtext("GID") == str(people.other_group)
    name = cloud.body("image", image).findtext("NAME")
    other = people.give("image", people.make("image"))
    cloud.client.call("one.image.rename", other, name)
    assert "NAME" in refused(cloud.client, RPC_API, "one.image.chown", other, people.both_id, -1)


def test_groups_of_a_user(people: People, cloud: Cloud) -> None:
    """Group bits count in every group of a user, at once after chgrp."""
    vm = people.give("vm", people.make("vm"), 0o640)
    cloud.client.call("one.vm.chown", vm, -1, people.other_group)
    assert may(people.both, "one.vm.info", vm) and may(people.stranger, "one.vm.info", vm)
    assert not may(people.mate, "one.vm.info", vm)
    uid, user = people.user(people.group)
    assert not may(user, "one.vm.info", vm)
    cloud.client.call("one.user.chgrp", uid, people.other_group)
    assert may(user, "one.vm.info", vm)
    assert cloud.body("user", uid).findtext("GID") == str(people.other_group)
    assert [e.text for e in cloud.body("user", uid).iterfind("GROUPS/ID")] == [str(people.other_group)]
    cloud.client.call("one.user.chgrp", uid, people.group)
    assert not may(user, "one.vm.info", vm)


# -- locks

@pytest.mark.parametrize("kind", ["vm", "image", "vn", "template"])
def test_lock_levels(people: People, cloud: Cloud, kind: str) -> None:
    """USE blocks use and all above, MANAGE and ADMIN what they say, ALL everything; reading is never blocked."""
    oid = people.give(kind, people.make(kind), 0o700)
    verbs = {"USE": {"image": ("clone", ("{new}",)), "template": ("instantiate", ("{new}", True))}.get(kind),
             "MANAGE": ("rename", ("{new}",)), "ADMIN": ("chmod", VERBS["chmod"])}
    blocked = {1: {"USE", "MANAGE", "ADMIN"}, 2: {"MANAGE", "ADMIN"}, 3: {"ADMIN"}, 4: {"USE", "MANAGE", "ADMIN"}}
    for level, (right, verb), client in product(blocked, verbs.items(), (people.owner, cloud.client)):
        people.owner.call(f"one.{kind}.lock", oid, level)
        if verb and right in blocked[level]:
            assert "locked" in refused(client, LOCKED, f"one.{kind}.{verb[0]}", oid, *_new(verb[1]))
        elif verb and right != "USE":
            client.call(f"one.{kind}.{verb[0]}", oid, *_new(verb[1]))
        assert may(client, f"one.{kind}.info", oid)
        people.owner.call(f"one.{kind}.unlock", oid)
    assert cloud.body(kind, oid).find("LOCK") is None


def test_whose_lock_it_is(people: People, cloud: Cloud) -> None:
    """Others can neither take a lock over nor away; its owner and administrators can; `test` never locks twice."""
    vm = people.give("vm", people.make("vm"), 0o660)
    people.owner.call("one.vm.lock", vm, 2)
    lock = cloud.body("vm", vm).find("LOCK")
    assert lock is not None and (lock.findtext("LOCKED"), lock.findtext("OWNER")) == ("2", str(people.owner_id))
    refused(people.mate, LOCKED, "one.vm.lock", vm, 4)
    refused(people.mate, AUTHORIZATION, "one.vm.unlock", vm)
    refused(people.owner, LOCKED, "one.vm.lock", vm, 2, True)
    people.owner.call("one.vm.lock", vm, 4)
    cloud.client.call("one.vm.unlock", vm)
    people.mate.call("one.vm.lock", vm, 1, True)
    people.mate.call("one.vm.unlock", vm)
    refused(cloud.client, RPC_API, "one.vm.lock", vm, 9)


def test_what_is_locked_gives_nothing_to_vms(cloud: Cloud) -> None:
    """A locked image or network cannot be used by a new VM; those that have it keep it."""
    image, net = cloud.make_image(), cloud.make_network()
    vm = cloud.make_vm(image=image, network=net, hold=True)
    for kind, oid, text in (("image", image, vm_template("no", image)), ("vn", net, vm_template("no", network=net))):
        cloud.client.call(f"one.{kind}.lock", oid, 1)
        assert "locked" in refused(cloud.client, LOCKED, "one.vm.allocate", text)
        cloud.client.call(f"one.{kind}.lock", oid, 2)
        cloud.client.call("one.vm.action", "terminate", cloud.client.number("one.vm.allocate", text))
    cloud.client.call("one.vm.action", "terminate", vm)


# -- filters, ranges, pages

def ids(client: Client, pool: str, *arguments: int) -> list[int]:
    """The ids in a pool's answer."""
    answer = client.text(f"one.{pool}pool.info", *arguments)
    return [int(i) for i in re.findall(r"<(?:VM|IMAGE|VNET|VMTEMPLATE)><ID>(\d+)</ID>", answer)]


@pytest.mark.parametrize("kind", ["vm", "image", "vn", "template"])
def test_filters_ranges_and_pages(cloud: Cloud, kind: str) -> None:
    """-4 primary group's, -3 own, -2 all visible, -1 own and groups', an id that user's; ranges and pages of those."""
    people, more = People(cloud), (-1,) if kind == "vm" else ()
    mine = [people.give(kind, people.make(kind)) for _ in range(3)]
    groups = people.give(kind, people.make(kind), 0o640)
    cloud.client.call(f"one.{kind}.chown", groups, people.both_id, people.group)
    others = people.give(kind, people.make(kind), 0o640)
    cloud.client.call(f"one.{kind}.chown", others, people.both_id, people.other_group)
    open_ = people.give(kind, people.make(kind), 0o604)
    cloud.client.call(f"one.{kind}.chown", open_, people.stranger_id, people.other_group)
    hidden = people.make(kind)

    def seen(client: Client, flag: int, start: int = -1, end: int = -1) -> list[int]:
        return [i for i in ids(client, kind, flag, start, end, *more) if i in (*mine, groups, others, open_, hidden)]
    assert seen(people.owner, -3) == mine
    assert seen(people.owner, -1) == [*mine, groups]
    assert seen(people.owner, -4) == [*mine, groups]
    assert seen(people.owner, -2) == [*mine, groups, open_]
    assert seen(people.owner, people.both_id) == [groups]
    assert seen(people.owner, people.mate_id) == seen(people.owner, 4711) == []
    assert seen(people.both, -3) == [groups, others]
    assert seen(people.both, -4) == [groups]
    assert seen(people.both, -1) == [groups, others, open_]
    assert seen(cloud.client, people.both_id) == [groups, others]
    assert seen(cloud.client, -2) == [*mine, groups, others, open_, hidden]
    assert seen(people.owner, -3, mine[1], -1) == mine[1:]
    assert seen(people.owner, -3, mine[0], mine[1]) == mine[:2]
    assert seen(people.owner, -3, -1, mine[0]) == mine[:1]
    assert seen(people.owner, -3, 0, -2) == mine[:2]
    assert seen(people.owner, -3, 2, -2) == mine[2:]
    assert seen(people.owner, -3, 9, -2) == []
    for oid in (*mine, groups, others, open_, hidden):
        cloud.client.call(*(("one.vm.action", "terminate", oid) if kind == "vm" else (f"one.{kind}.delete", oid)))
    if kind == "vm":
        _done_ones(cloud, people, [*mine, groups, others, open_])


def _done_ones(cloud: Cloud, people: People, gone: list[int]) -> None:
    """DONE VMs are listed under the same rules, from SQL."""
    for oid in gone:
        cloud.wait_vm(oid, "DONE")
    mine, groups, open_ = gone[:3], gone[3], gone[5]
    assert not set(gone) & set(ids(people.owner, "vm", -2, -1, -1, -1))
    assert [i for i in ids(people.owner, "vm", -2, -1, -1, 6) if i in gone] == [*mine, groups, open_]
    assert ids(people.owner, "vm", -3, -1, -1, -2) == mine
    assert ids(people.owner, "vm", -3, 1, -1, 6) == mine
    assert ids(people.owner, "vm", -3, 1, -2, 6) == mine[1:]
    assert ids(people.owner, "vm", -1, 2, -3, -2) == [mine[2], groups]
    assert ids(people.owner, "vm", people.stranger_id, -1, -1, 6) == [open_]
    assert ids(people.owner, "vm", -3, mine[1], mine[1], 6) == [mine[1]]
    assert may(people.owner, "one.vm.info", mine[0]) and not may(people.stranger, "one.vm.info", mine[0])
    assert "DONE" in refused(people.owner, ACTION, "one.vm.rename", mine[0], "x")


# -- the change log

def test_whose_events_one_hears(cloud: Cloud) -> None:
    """Of one's own objects to the very end, of nobody else's; administrators hear all."""
    people = People(cloud)
    start = json.loads(cloud.client.text("onecore.events", -1, 0))["last"]
    host, (_, user) = cloud.add_hosts(1)[0], cloud.make_user()
    vm = user.number("one.vm.allocate", vm_template("heard"))
    cloud.deploy(vm, host)
    user.call("one.vm.action", "terminate", vm)
    cloud.wait_vm(vm, "DONE")
    image = user.number("one.image.allocate", "NAME=heard\nSIZE=1", 1)
    until(5, "the image", lambda: user.text("one.image.info", image).count("<STATE>1</STATE>"))
    user.call("one.image.delete", image)
    until(5, "it to go", lambda: not ids(user, "image", -3, -1, -1))

    def heard(client: Client) -> list[tuple[str, int, str, str]]:
        events = json.loads(client.text("onecore.events", start, 0))["events"]
        return [(e["kind"], e["id"], e["what"], e["new"]) for e in events if e["kind"] in ("vm", "image")]
    states = ["PENDING", "PROLOG", "BOOT", "RUNNING", "SHUTDOWN", "EPILOG", "DONE"]
    assert [new for kind, oid, what, new in heard(user) if (kind, oid) == ("vm", vm) and new in states] == states
    assert ("image", image, "delete", "") in heard(user)
    assert heard(people.stranger) == [] != heard(cloud.client)
    hosts = json.loads(user.text("onecore.events", start, 0))["events"]
    assert not [e for e in hosts if e["kind"] == "host"]
    answer = json.loads(user.text("onecore.events", start + 10**6, 0))
    assert answer["reset"] and answer["last"] > start


# -- sessions and tokens

def test_tokens_of_a_group(people: People, cloud: Cloud) -> None:
    """A token with an egid is in that group alone; without, in all; resetting one or all ends them at once."""
    uid, user = people.user(1, people.group)
    name = cloud.body("user", uid).findtext("NAME", "")
    everywhere = cloud.client_as(name, user.text("one.user.login", name, "", 600, -1))
    narrow = cloud.client_as(name, user.text("one.user.login", name, "token", 600, people.group))
    shared = people.give("template", people.make("template"), 0o640)
    assert may(everywhere, "one.template.info", shared) and may(narrow, "one.template.info", shared)
    assert not may(narrow, "one.vm.allocate", vm_template("x"))
    vm = everywhere.number("one.vm.allocate", vm_template("x"))
    assert cloud.body("vm", vm).findtext("GID") == "1"
    assert "egid" in refused(user, RPC_API, "one.user.login", name, "", 60, people.other_group)
    body = user.text("one.user.info", uid)
    assert body.count("<LOGIN_TOKEN>") == 2 and f"<EGID>{people.group}</EGID>" in body and "token<" not in body
    assert user.text("one.user.login", name, "token", 0, -1) == "token"
    refused(narrow, AUTHENTICATION, "one.user.info", uid)
    assert may(everywhere, "one.user.info", uid)
    user.call("one.user.login", name, "", 0, -1)
    refused(everywhere, AUTHENTICATION, "one.user.info", uid)
    assert "<LOGIN_TOKEN>" not in user.text("one.user.info", uid)
    forever = cloud.client_as(name, cloud.client.text("one.user.login", name, "", -1, -1))
    assert may(forever, "one.user.info", uid)
    user.call("one.vm.action", "terminate", vm)


def test_sessions_end_with_what_they_rest_on(people: People, cloud: Cloud) -> None:
    """A new password, another driver, the end of the user: the next call with the old session is refused."""
    uid, user = people.user(1)
    name = cloud.body("user", uid).findtext("NAME", "")
    user.call("one.user.passwd", uid, "other")
    refused(user, AUTHENTICATION, "one.user.info", uid)
    other = cloud.client_as(name, "other")
    assert may(other, "one.user.info", uid)
    cloud.client.call("one.user.chauth", uid, "public", "")
    refused(other, AUTHENTICATION, "one.user.info", uid)
    cloud.client.call("one.user.chauth", uid, "core", "third")
    third = cloud.client_as(name, "third")
    assert may(third, "one.user.info", uid)
    refused(other, AUTHENTICATION, "one.user.info", uid)
    cloud.client.call("one.user.delete", uid)
    refused(third, AUTHENTICATION, "one.user.info", uid)
    assert "secret" not in (cloud.home / "log" / "oned.log").read_text()


def test_a_user_who_owns_something_stays(people: People, cloud: Cloud) -> None:
    """Delete says what is in the way."""
    uid, user = people.user(1)
    vm = user.number("one.vm.allocate", vm_template("x"))
    assert "vm" in refused(cloud.client, RPC_API, "one.user.delete", uid)
    user.call("one.vm.action", "terminate", vm)
    cloud.client.call("one.user.delete", uid)


def test_templates_of_administrators(cloud: Cloud) -> None:
    """What is restricted may come from an administrator's template, not from the user's part or a template of hers."""
    template = cloud.make_template(RAW={"TYPE": "kvm", "DATA": "<!-- x -->"})
    cloud.client.call("one.template.chmod", template, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    _, user = cloud.make_user()
    vm = user.number("one.template.instantiate", template, "x", True)
    assert cloud.body("vm", vm).findtext("TEMPLATE/RAW/TYPE") == "kvm"
    text = 'RAW=[TYPE=kvm,DATA="mine"]'
    assert "RAW" in refused(user, AUTHORIZATION, "one.template.instantiate", template, "x", True, text)
    assert "RAW" in refused(user, AUTHORIZATION, "one.template.allocate", f"NAME=a\n{text}")
    own = user.number("one.template.clone", template, "mine")
    assert "RAW" in refused(user, AUTHORIZATION, "one.template.instantiate", own, "x", True)
    assert "RAW" in refused(user, AUTHORIZATION, "one.template.update", own, text, 1)
    user.call("one.vm.action", "terminate", vm)
