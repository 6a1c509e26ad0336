"""Bad input: each is refused with the right code and a text that names what is wrong, and leaves no trace."""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from api_calls import ACTION, ALLOCATE, AUTHENTICATION, AUTHORIZATION, NO_EXISTS, RPC_API, Watch, post, refused
from bad_cases import CALLS, IMAGES, NETWORKS, RANGES, RAW, SYNTAX, VM
from cloud_process import Cloud, template, unique, until, vm_template

from onecore.wire.client import Client, ClientError

pytestmark = pytest.mark.surface


class Ground:
    """What the cases speak of: objects that are there, and some that are not."""

    def __init__(self, cloud: Cloud) -> None:
        self.host = cloud.add_hosts(1)[0]
        self.image, self.persistent, self.file = cloud.make_image(), cloud.make_image(), cloud.make_image(
            datastore=2, TYPE="CONTEXT", PATH="/some/file")
        cloud.client.call("one.image.persistent", self.persistent, True)
        self.net = cloud.make_network(size=4, ip="10.5.0.1")
        self.full = cloud.make_network(size=1, ip="10.6.0.1")
        self.template = cloud.make_template(image=self.image)
        self.vm = cloud.make_vm(DISK={"IMAGE_ID": self.persistent}, NIC={"NETWORK_ID": self.full}, hold=True)
        self.user, self.client = cloud.make_user("vera")
        self.names = {kind: cloud.body(kind, oid).findtext("NAME", "") for kind, oid in
                      (("image", self.image), ("vn", self.net), ("host", self.host), ("template", self.template))}


@pytest.fixture(scope="module")
def ground(shared_cloud: Cloud) -> Iterator[Ground]:
    """The objects, made once; the user's name is free again afterwards."""
    made = Ground(shared_cloud)
    yield made
    shared_cloud.client.call("one.user.delete", made.user)


@pytest.fixture(scope="module")
def watch(shared_cloud: Cloud, ground: Ground) -> Watch:
    """What was there before the first case."""
    return Watch(shared_cloud)


@pytest.fixture(autouse=True)
def no_trace(cloud: Cloud, watch: Watch) -> Iterator[None]:
    """Everything is afterwards as it was before, and no call ended in a bug."""
    yield
    watch.check()


@pytest.mark.parametrize(("text", "said"), SYNTAX)
@pytest.mark.parametrize("method", ["one.vm.allocate", "one.template.allocate", "one.vn.allocate", "one.vm.update"])
def test_template_syntax(cloud: Cloud, ground: Ground, method: str, text: str, said: str) -> None:
    """Line and column are named, wherever the template is for."""
    before, after = {"one.vn.allocate": ((), (-1,)), "one.vm.update": ((ground.vm,), (1,))}.get(method, ((), ()))
    code = RPC_API if method.endswith("update") else ALLOCATE
    assert said in refused(cloud.client, code, method, *before, text, *after)


def _filled(value: Any, ground: Ground) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, ground) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, ground) for inner in value]
    return str(getattr(ground, value[1:-1])) if isinstance(value, str) and value.startswith("{") else value


@pytest.mark.parametrize("case", VM)
def test_a_vm_that_cannot_be(cloud: Cloud, ground: Ground, case: str) -> None:
    """No id is used up, no lease given, no image taken: also when the VM's earlier disks and NICs were fine."""
    attributes, code, said = VM[case]
    good = {"DISK": [{"IMAGE_ID": ground.image}], "NIC": [{"NETWORK_ID": ground.net}]}
    given = {"NAME": unique("bad"), "CPU": 1, "MEMORY": 64, **_filled(attributes, ground)}
    for name, before in good.items():
        given[name] = before + (_list(given[name]) if name in given else [])
    assert said in refused(cloud.client, code, "one.vm.allocate", template(given))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_what_only_administrators_may_ask(cloud: Cloud, ground: Ground) -> None:
    """Restricted attributes name themselves."""
    for text, said in (('RAW=[TYPE=kvm,DATA="<x/>"]', "RAW"), ("EMULATOR=/bin/sh", "EMULATOR"),
                       ('OS=[KERNEL="/etc/shadow"]', "OS/KERNEL"), ('CONTEXT=[FILES="/etc/shadow"]', "CONTEXT/FILES"),
                       ('DISK=[TYPE=fs,SIZE=1,SOURCE="/dev/sda"]', "DISK/SOURCE")):
        assert said in refused(ground.client, AUTHORIZATION, "one.vm.allocate", f"CPU=1\nMEMORY=64\n{text}")
    assert "SOURCE" in refused(ground.client, AUTHORIZATION, "one.image.allocate", "NAME=a\nSIZE=1\nSOURCE=/dev/sda", 1)


@pytest.mark.parametrize("case", IMAGES)
def test_an_image_that_cannot_be(cloud: Cloud, ground: Ground, case: str) -> None:
    """Nothing is registered."""
    text, datastore, code, said = IMAGES[case]
    text = text.replace("{image}", ground.names["image"])
    assert said in refused(cloud.client, code, "one.image.allocate", text, datastore)


@pytest.mark.parametrize("case", NETWORKS)
def test_a_network_that_cannot_be(cloud: Cloud, ground: Ground, case: str) -> None:
    """Neither the network nor the ranges before the bad one stay."""
    text, code, said = NETWORKS[case]
    assert said in refused(cloud.client, code, "one.vn.allocate", text.replace("{vn}", ground.names["vn"]), -1)


def test_changes_of_ranges_and_leases(cloud: Cloud, ground: Ground) -> None:
    """Ranges out of place, addresses that are not there, in use, or not held."""
    client, net = cloud.client, ground.net
    for method, where, argument, said in RANGES:
        assert said in refused(client, RPC_API, method, getattr(ground, where), argument), (method, argument)
    assert "leases" in refused(client, RPC_API, "one.vn.delete", ground.full)
    assert "AR" in refused(client, RPC_API, "one.vn.update", net, "AR=[TYPE=IP4,IP=10.7.0.3,SIZE=9]", 1)
    assert "VN_MAD" in refused(client, RPC_API, "one.vn.update", net, "VN_MAD=gold", 1)
    assert "BRIDGE" in refused(client, RPC_API, "one.vn.update", net, "BRIDGE=a/b", 1)
    assert "cluster [4711]" in refused(client, NO_EXISTS, "one.vn.allocate", "NAME=a\nVN_MAD=dummy", 4711)


@pytest.mark.parametrize("case", CALLS, ids=lambda case: f"{case[1]}{case[2]!r:.40}")
def test_a_call_that_cannot_be(cloud: Cloud, ground: Ground, case: tuple[int, str, tuple[Any, ...], str]) -> None:
    """Names, ids, states, types and counts of arguments."""
    code, method, arguments, said = case
    words = ("host", "vm", "user", "template", "image", "persistent", "file")
    filled = [getattr(ground, a) if a in words else a for a in arguments]
    filled = [ground.names[a[1:-1]] if isinstance(a, str) and a.startswith("{") else a for a in filled]
    assert said in refused(cloud.client, code, method, *filled)


def test_capacity_that_is_not_there(cloud: Cloud, ground: Ground) -> None:
    """With enforce; the dummy host has 16 cores and 64 GB."""
    vm = cloud.make_vm(CPU=17)
    assert "CPU" in refused(cloud.client, ACTION, "one.vm.deploy", vm, ground.host, True)
    other = cloud.make_vm(MEMORY=65537)
    assert "MEMORY" in refused(cloud.client, ACTION, "one.vm.deploy", other, ground.host, True)
    for oid in (vm, other):
        cloud.client.call("one.vm.action", "terminate", oid)


@pytest.fixture
def gone(cloud: Cloud) -> Iterator[list[int]]:
    """Users that a test makes; they are removed again."""
    made: list[int] = []
    yield made
    for oid in made:
        cloud.client.call("one.user.delete", oid)


def test_who_is_not_let_in(cloud: Cloud, gone: list[int]) -> None:
    """Wrong passwords, unknown and disabled users, drivers without passwords, tokens past their end."""
    name, password = cloud.credentials()
    for secret in (f"{name}:wrong", f"{name}:", f"nobody:{password}", "nobody:x", name, "", ":", f"{name}:{password} ",
                   f"{name.upper()}:{password}", f"{name}:{'x' * 100_000}"):
        refused(Client(cloud.endpoint, secret), AUTHENTICATION, "one.vm.info", 0)
    user = unique("user")
    oid = cloud.client.number("one.user.allocate", user, "secret", "", [])
    gone.append(oid)
    client = cloud.client_as(user, "secret")
    assert client.text("one.user.info", oid)
    cloud.client.call("one.user.enable", oid, False)
    refused(client, AUTHENTICATION, "one.user.info", oid)
    token = cloud.client.text("one.user.login", user, "", 600, -1)
    refused(cloud.client_as(user, token), AUTHENTICATION, "one.user.info", oid)
    cloud.client.call("one.user.enable", oid, True)
    assert client.text("one.user.info", oid)
    asked = time.time()
    short = cloud.client_as(user, cloud.client.text("one.user.login", user, "", 2, -1))  # whole seconds: 1 s at least
    assert not _refuses(short, oid) or time.time() - asked > 1, "it is refused before its end"
    until(5, "the token to expire", lambda: _refuses(short, oid))
    assert "expired" in refused(short, AUTHENTICATION, "one.user.info", oid)
    gone.append(public := cloud.client.number("one.user.allocate", unique("user"), "secret", "public", []))
    named = cloud.body("user", public).findtext("NAME", "")
    refused(cloud.client_as(named, "secret"), AUTHENTICATION, "one.user.info", public)


def _refuses(client: Client, oid: int) -> bool:
    try:
        client.call("one.user.info", oid)
    except ClientError:
        return True
    return False


def test_another_users_objects(cloud: Cloud, ground: Ground) -> None:
    """Seen by nobody else, used by nobody else."""
    stranger = ground.client
    for method, arguments in (("one.vm.info", (ground.vm,)), ("one.vm.action", ("terminate", ground.vm)),
                              ("one.vm.update", (ground.vm, "A=1", 1)), ("one.image.info", (ground.image,)),
                              ("one.image.clone", (ground.image, "mine")),
                              ("one.template.instantiate", (ground.template, "mine")),
                              ("one.host.status", (ground.host, 1)), ("one.user.passwd", (0, "mine"))):
        assert "Not authorized" in refused(stranger, AUTHORIZATION, method, *arguments)
    assert "Not authorized" in refused(stranger, AUTHORIZATION, "one.vm.allocate", vm_template("mine", ground.image))


@pytest.mark.parametrize("case", RAW)
def test_what_is_no_call(cloud: Cloud, case: str) -> None:
    """A fault that says why; nothing of a file or an entity comes back; oned answers the next call."""
    status, answer = post(cloud, RAW[case])
    assert status == 200
    assert b"<fault>" in answer and len(answer) < 2000
    assert b"root:" not in answer and b"aaaaaaaaaaaaaaaaaaaa" not in answer
    assert cloud.client.text("one.system.version")


def test_other_requests(cloud: Cloud) -> None:
    """Other verbs and paths of HTTP."""
    assert post(cloud, b"", "GET")[0] == 405
    assert post(cloud, b"", "GET", "/etc/passwd")[0] == 404
    assert post(cloud, b"", "PUT")[0] == 405
    assert post(cloud, b"", "POST", "/elsewhere")[0] == 404


def test_large_but_fine(cloud: Cloud) -> None:
    """Up to the limit a call is read, and soon: here 3 MB of template without a name; attributes have a limit too."""
    started = time.monotonic()
    assert "NAME" in refused(cloud.client, ALLOCATE, "one.template.allocate", f'A="{"x" * 3_000_000}"')
    for text in ("A=1\n" * 900_000, f"<T>{'<A>1</A>' * 100_000}</T>"):
        assert "attributes at line" in refused(cloud.client, ALLOCATE, "one.template.allocate", text)
    assert time.monotonic() - started < 60
