"""Server-Sent Events and the audit: what happened, told to whom it concerns, with who, why and from where."""
from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from api_calls import AUTHENTICATION, AUTHORIZATION, RPC_API, refused
from cloud_process import Cloud, unique, until

from onecore.wire.client import Client

VM = "CPU=1\nMEMORY=64\n"


class Listener:
    """A client of GET /events."""

    def __init__(self, cloud: Cloud, session: str, path: str = "/events", **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=20)
        basic = base64.b64encode(session.encode()).decode()
        self._connection.request("GET", path, headers={"Authorization": f"Basic {basic}", **headers})
        self.answer = self._connection.getresponse()

    def next(self) -> dict[str, str]:
        """The next event; comments are passed over."""
        found: dict[str, str] = {}
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            if not line and "event" in found:
                return found
            key, colon, value = line.partition(": ")
            if key and colon:
                found[key] = value

    def close(self) -> None:
        self._connection.close()


@contextmanager
def listening(cloud: Cloud, session: str, path: str = "/events", **headers: str) -> Iterator[Listener]:
    """One that ends with the block."""
    made = Listener(cloud, session, path, **headers)
    try:
        yield made
    finally:
        made.close()


def admin(cloud: Cloud) -> str:
    return ":".join(cloud.credentials())


def test_events_come_as_they_happen_and_resume(cloud: Cloud) -> None:
    """In order, filtered; after a break from the last one that was heard."""
    with listening(cloud, admin(cloud), "/events?kind=vm") as stream:
        assert stream.answer.status == 200 and stream.answer.getheader("content-type") == "text/event-stream"
        first, second = (cloud.client.number("one.vm.allocate", VM, True) for _ in range(2))
        heard = [stream.next(), stream.next()]
    assert [(e["event"], json.loads(e["data"])["id"]) for e in heard] == [("vm.create", first), ("vm.create", second)]
    with listening(cloud, admin(cloud), f"/events?kind=vm&id={second}", **{"Last-Event-ID": heard[0]["id"]}) as stream:
        assert json.loads(stream.next()["data"])["id"] == second
    with listening(cloud, admin(cloud), f"/events?since={10**12}") as stream:
        assert stream.next()["event"] == "reset"


def test_users_hear_of_what_they_may_see(cloud: Cloud) -> None:
    """Not of others' objects."""
    _, user = cloud.make_user()
    with listening(cloud, user.secret) as stream:
        cloud.client.number("one.vm.allocate", VM, True)
        mine = user.number("one.vm.allocate", VM, True)
        assert json.loads(stream.next()["data"])["id"] == mine


@pytest.mark.parametrize(("path", "session", "status"), [
    ("/events", "oneadmin:wrong", 401), ("/events", "", 401), ("/events?since=x", "", 401),
    ("/events?color=red", "admin", 400), ("/events?since=-1", "admin", 400)])
def test_what_is_no_stream(cloud: Cloud, path: str, session: str, status: int) -> None:
    """401 without a session, 400 that names the parameter."""
    with listening(cloud, admin(cloud) if session == "admin" else session, path) as stream:
        assert stream.answer.status == status and stream.answer.read()


def rows(client: Client, query: str = "", **more: int) -> list[dict[str, Any]]:
    return list(json.loads(client.text("onecore.audit", query, more.get("before", 0), more.get("limit", 100))))


def test_the_audit_says_who_what_and_by_which_rule(cloud: Cloud) -> None:
    """Owner, administrator, ACL rule; refused calls with their text; the client's address."""
    uid, user = cloud.make_user()
    vm = user.number("one.vm.allocate", VM, True)
    user.call("one.vm.rename", vm, unique("vm"))
    cloud.client.call("one.vm.rename", vm, unique("vm"))
    other_id, other = cloud.make_user()

    def refusal() -> dict[str, Any]:
        """The newest row; none while other tests fill the second with refusals."""
        refused(other, AUTHORIZATION, "one.vm.rename", vm, "mine")
        return next(iter(rows(cloud.client, f"id={vm}&outcome=refused&user={other_id}")), {})
    row = until(20, "a refusal that is kept", refusal)
    assert "Not authorized to perform MANAGE" in row["rule"] and row["code"] == AUTHORIZATION
    rule = cloud.client.number("one.acl.addrule", f"{0x100000000 + other_id:x}", f"{0x1100000000 + vm:x}", "2")
    other.call("one.vm.rename", vm, unique("vm"))
    found = rows(cloud.client, f"kind=vm&id={vm}")
    assert [(r["method"], r["user"], r["outcome"], r["rule"]) for r in found if r["what"] != "refused"] == [
        ("one.vm.rename", other_id, "allowed", f"acl {rule}"), ("one.vm.rename", 0, "allowed", "admin"),
        ("one.vm.rename", uid, "allowed", "owner"), ("one.vm.allocate", uid, "allowed", "acl 0")]
    assert all(r["client"] == "127.0.0.1" and r["rid"] for r in found)
    assert rows(cloud.client, f"id={vm}&method=one.vm.ren*&user={uid}")[0]["name"]
    cloud.client.call("one.acl.delrule", rule)


def test_the_audit_in_pages_for_each_user(cloud: Cloud) -> None:
    """Older ones by BEFORE; users see their own and what they may use, no refusals of others."""
    _, user = cloud.make_user()
    made = [user.number("one.vm.allocate", VM, True) for _ in range(5)]
    seen, before = [], 0
    while page := rows(user, "kind=vm&what=create", before=before, limit=2):
        seen += [r["id"] for r in page]
        before = page[-1]["seq"]
    assert [i for i in seen if i in made] == made[::-1] and len(set(seen)) == len(seen)
    _, stranger = cloud.make_user()
    assert not [r for r in rows(stranger, "kind=vm") if r["id"] in made]


def test_guesses_are_in_the_audit_and_secrets_nowhere(cloud: Cloud) -> None:
    """The name that was given, never what came with it."""
    def is_kept() -> bool:
        """Whether there is a row of a guess; none while other tests fill the second with refusals."""
        refused(cloud.client_as("mallory", "hunter22"), AUTHENTICATION, "one.vm.info", 0)
        return "as 'mallory'" in json.dumps(rows(cloud.client, "outcome=refused"))
    until(20, "a guess that is kept", is_kept)
    uid, user = cloud.make_user(password="topsecret1")
    user.call("one.user.passwd", uid, "topsecret2")
    user2 = cloud.client_as(cloud.body("user", uid).findtext("NAME", ""), "topsecret2")
    user2.call("one.user.login", user2.secret.split(":")[0], "topsecret3", 60)
    told = json.dumps(rows(cloud.client, "", limit=1000))
    assert "as 'mallory'" in told
    assert not [word for word in ("hunter22", "topsecret1", "topsecret2", "topsecret3") if word in told]


@pytest.mark.parametrize(("query", "named"), [("color=red", "color"), ("user=x", "user"), ("outcome=maybe", "outcome"),
                                              ("since=-1", "since")])
def test_bad_queries(cloud: Cloud, query: str, named: str) -> None:
    """The error names the key."""
    assert named in refused(cloud.client, RPC_API, "onecore.audit", query)
