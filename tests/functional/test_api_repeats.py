"""Idempotency keys, dry runs, limits of users, and system.*: what the request layer adds to every method."""
from __future__ import annotations

import http.client
import json
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api_calls import ACTION, ALLOCATE, AUTHORIZATION, NO_EXISTS, RPC_API, refused
from cloud_process import Cloud, unique
from makers import MakeCloud, MakeGround

from onecore.api import TABLE
from onecore.pool.answered import Answered
from onecore.request.repeats import KEPT, digest
from onecore.wire import xmlrpc as codec
from onecore.wire.client import Client, ClientError

VM = "CPU=1\nMEMORY=64\n"


def with_key(cloud: Cloud, key: str, method: str, *arguments: object) -> Any:
    """A call with the header; its value, or the error's code and text."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
    session = ":".join(cloud.credentials())
    connection.request("POST", "/RPC2", codec.encode_call(method, (session, *arguments)), {"Idempotency-Key": key})
    value = codec.decode_answer(connection.getresponse().read())
    connection.close()
    assert isinstance(value, list)
    return value[1] if value[0] else (value[2], value[1])


def vms(cloud: Cloud, name: str) -> int:
    return cloud.client.text("one.vmpool.info", -2, -1, -1, -1).count(f"<NAME><![CDATA[{name}]]></NAME>")


def test_what_is_kept_of_a_password_is_nothing_to_try_guesses_on() -> None:
    """Two calls that differ in it alone are alike."""
    method = TABLE["one.user.allocate"]
    calls = [digest(method, [name, password, "", []]) for name, password in (("a", "x"), ("a", "y"), ("b", "x"))]
    assert calls[0] == calls[1] != calls[2]


def test_a_repeated_create_gives_the_first_id(cloud: Cloud) -> None:
    """By header and by template; once for each user, method and key; other arguments are refused."""
    name, key = unique("vm"), unique("key")
    text = f"{VM}NAME={name}\n"
    first = with_key(cloud, key, "one.vm.allocate", text, True)
    assert with_key(cloud, key, "one.vm.allocate", text, True) == first
    assert cloud.client.number("one.vm.allocate", f"{text}IDEMPOTENCY_KEY={key}-2\n", True) != first
    assert vms(cloud, name) == 2
    code, said = with_key(cloud, key, "one.vm.allocate", text + "A=1\n", True)
    assert code == RPC_API and "other arguments" in said
    code, said = with_key(cloud, key, "one.vm.allocate", f"{text}IDEMPOTENCY_KEY=another\n", True)
    assert code == RPC_API and "given once" in said
    assert "IDEMPOTENCY_KEY" not in cloud.client.text("one.vm.info", first)
    uid, user = cloud.make_user()
    assert user.number("one.vm.allocate", f"{text}IDEMPOTENCY_KEY={key}\n", True) not in (first, first + 1)


def test_what_failed_may_be_tried_again_with_its_key(cloud: Cloud) -> None:
    """Only success is kept."""
    key, name = unique("key"), unique("group")
    code, _ = with_key(cloud, key, "one.group.allocate", "")
    assert code == ALLOCATE
    first = with_key(cloud, key, "one.group.allocate", name)
    assert isinstance(first, int) and with_key(cloud, key, "one.group.allocate", name) == first
    assert with_key(cloud, key, "one.group.info", 4711)[0] == NO_EXISTS  # reads take no notice of keys
    code, said = with_key(cloud, "x" * 256, "one.group.allocate", name)
    assert code == RPC_API and "255" in said


def test_thirty_at_once_make_one(cloud: Cloud) -> None:
    """Also when the slow part of the call, here the size of a path, is under way for all of them."""
    name, key = unique("image"), unique("key")
    text = f'NAME="{name}"\nPATH="/tmp/disk"\nIDEMPOTENCY_KEY="{key}"\n'
    with ThreadPoolExecutor(15) as pool:
        ids = set(pool.map(lambda _: with_key(cloud, "", "one.image.allocate", text, 1), range(30)))
    assert len(ids) == 1 and isinstance(ids.pop(), int)


def test_a_key_outlives_the_core_and_ends_after_a_day(make_ground: MakeGround) -> None:
    """It is stored with what it is about: a crash loses both or neither."""
    sim = make_ground().sim
    text = f"{VM}IDEMPOTENCY_KEY=once\n"
    first = sim.call("one.vm.allocate", text, True)
    sim.reboot()
    assert sim.call("one.vm.allocate", text, True) == first
    sim.crash()
    sim.wall += KEPT
    sim.boot().ready()
    sim.advance(61)
    assert not list(sim.core.store.all(Answered))
    assert sim.call("one.vm.allocate", text, True) != first


def test_a_dry_run_answers_and_does_nothing(cloud: Cloud) -> None:
    """The id that would be given, or the very error; no record, no lease, no line in a log."""
    name = unique("vm")
    text = f"{VM}NAME={name}\n"
    log = Path(cloud.home / "log" / "vm")
    cloud.client.call("onecore.vm.log", cloud.make_vm(hold=True))  # what was done before is written now
    before = {path.name for path in log.iterdir()}
    would = cloud.client.number("onecore.dryrun", "one.vm.allocate", text, True)
    assert vms(cloud, name) == 0
    assert cloud.client.number("one.vm.allocate", text, True) == would
    refused_text = said(cloud, "onecore.dryrun", "one.vm.allocate", "CPU=1\n", True)
    assert refused_text == said(cloud, "one.vm.allocate", "CPU=1\n", True) and "MEMORY" in refused_text
    cloud.client.call("onecore.dryrun", "one.vm.action", "terminate", would)
    assert cloud.vm_state(would) == "HOLD"
    assert {path.name for path in log.iterdir()} - before <= {f"{would}.log"}
    for method in ("one.vm.info", "one.nothing", "onecore.dryrun", "onecore.host.reconcile"):
        assert "method must name" in refused(cloud.client, RPC_API, "onecore.dryrun", method, "0")
    _, user = cloud.make_user()
    with pytest.raises(ClientError) as error:
        user.call("onecore.dryrun", "one.host.allocate", unique("host"), "dummy", "dummy", -1)
    assert error.value.code == AUTHORIZATION


def said(cloud: Cloud, method: str, *arguments: object) -> str:
    """The text of a refusal."""
    with pytest.raises(ClientError) as error:
        cloud.client.call(method, *arguments)
    return str(error.value)


def test_users_have_limits_and_administrators_none(make_cloud: MakeCloud) -> None:
    """Calls a second in bursts of two seconds' worth, calls in progress."""
    cloud = make_cloud({"limits": {"calls_a_second": 5, "calls_in_progress": 2}})
    _, user = cloud.make_user()
    done = 0
    with pytest.raises(ClientError) as error:
        for done in range(1000):  # noqa: B007
            user.call("one.system.version")
    assert error.value.code == ACTION and "5 calls a second" in str(error.value) and done >= 8
    for _ in range(60):
        cloud.client.call("one.system.version")
    uid, other = cloud.make_user()
    name, secret = other.secret.split(":", 1)
    waiting = [cloud.client_as(name, secret) for _ in range(3)]
    last = json.loads(cloud.client.text("onecore.events", -1, 0))["last"]

    def wait(client: Client) -> str:
        try:
            return client.text("onecore.events", last, 60)
        except ClientError as refusal:
            cloud.client.call("one.user.update", uid, "A=1", 1)  # the others hear of this
            return str(refusal)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(wait, waiting))
    assert sum("2 calls in progress" in answer for answer in answers) == 1


def test_multicall_and_what_methods_say_of_themselves(cloud: Cloud) -> None:
    """With the standard library's client, as any XML-RPC program would."""
    server, session = xmlrpc.client.ServerProxy(cloud.endpoint), ":".join(cloud.credentials())
    names = server.system.listMethods()
    assert isinstance(names, list) and {"one.vm.allocate", "system.multicall"} <= set(names)
    assert server.system.methodSignature("one.vm.allocate") == [["array", "string", "string", "boolean"],
                                                               ["array", "string", "string"]]
    assert "template" in str(server.system.methodHelp("one.vm.allocate")).lower()
    with pytest.raises(xmlrpc.client.Fault):
        server.system.methodHelp("one.nothing")
    calls = [{"methodName": "one.system.version", "params": [session]},
             {"methodName": "one.vm.info", "params": [session, 10**6]},
             {"methodName": "one.nothing", "params": []}, {"methodName": "system.multicall", "params": []}, 7]
    good, missing, fault, nested, wrong = server.system.multicall(calls)  # type: ignore[misc]
    assert good[0][0] is True and good[0][1].count(".") == 2  # type: ignore[index,union-attr]
    assert missing[0][0] is False and missing[0][2] == NO_EXISTS  # type: ignore[index]
    assert fault["faultCode"] == -506 and nested["faultCode"] == wrong["faultCode"] == -501  # type: ignore[index]
