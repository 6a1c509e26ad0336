"""The search query of VM pools: which VMs it finds, live and done, in pages, for whom; what it refuses."""
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from api_calls import RPC_API, refused
from cloud_process import Cloud, unique
from xsd import validate

from onecore.wire.client import Client


def found(client: Client, query: str, start: int = -1, end: int = -1, state: int = -1,
          method: str = "info") -> list[int]:
    """The ids that a search answers with."""
    text = client.text(f"one.vmpool.{method}", -2, start, end, state, query)
    return [int(i) for i in re.findall(r"<VM><ID>(\d+)</ID>", text)]


@pytest.fixture(scope="module")
def vms(shared_cloud: Cloud) -> Iterator[dict[str, Any]]:
    """Four VMs, on hold, the word in the names of three of them; gone afterwards."""
    cloud = shared_cloud
    net = cloud.make_network(ip="10.77.0.1")
    word = unique("w")
    made = {"web": cloud.make_vm(f"{word}-web", network=net, hold=True, OWNER_OF_IT="Zoe & Co <x>"),
            "two": cloud.make_vm(f"{word}-two", NIC=[{"NETWORK_ID": net}, {"NETWORK_ID": net, "IP": "10.77.0.50"}],
                                 hold=True, LABELS=f"{word},blue"),
            "odd": cloud.make_vm(f"{word}-odd", hold=True, LABELS="red"), "plain": cloud.make_vm(hold=True)}
    yield {"word": word, **made}
    for vm in made.values():
        cloud.client.call("one.vm.action", "terminate-hard", vm)


def test_what_is_found(cloud: Cloud, vms: dict[str, Any]) -> None:
    """A part of a value, of the record or of the body; all terms must hold; a word stands anywhere."""
    word = vms["word"]
    cases = {
        f"NAME={word}": ["web", "two", "odd"], f"VM.NAME={word}-t": ["two"], f"NAME={word}&NAME=odd": ["odd"],
        f"{word}": ["web", "two", "odd"], f"{word}&blue": ["two"], "TEMPLATE.NIC.IP=10.77.0.50": ["two"],
        "TEMPLATE.NIC[*].IP=10.77.0.": ["web", "two"], "TEMPLATE.NIC[0].IP=10.77.0.50": [],
        "NIC[1].IP=77.0.50": ["two"],
        f"USER_TEMPLATE.LABELS={word}": ["two"], "OWNER_OF_IT=Zoe": ["web"], "OWNER_OF_IT=Co <x>": ["web"],
        f"NAME={word}&STATE=2": ["web", "two", "odd"], f"NAME={word}&STATE=3": [],
        f"NAME={word}&UNAME=oneadmin&LABELS=red": ["odd"], "NO_SUCH=1": [],
        f"ID={vms['odd']}&NAME={word}": ["odd"], "NIC=10.77.0.50": ["two"]}
    for query, names in cases.items():
        for method in ("info", "infoextended"):
            assert found(cloud.client, query, method=method) == [vms[name] for name in names], query
    assert vms["plain"] in found(cloud.client, "") == found(cloud.client, " ")
    validate("vm_pool", cloud.client.text("one.vmpool.info", -2, -1, -1, -1, word))


def test_in_pages_and_for_whom(cloud: Cloud, vms: dict[str, Any]) -> None:
    """A page is one of what was found; nobody finds what he may not see."""
    query, three = f"NAME={vms['word']}", [vms["web"], vms["two"], vms["odd"]]
    assert found(cloud.client, query, 0, -2) == three[:2] and found(cloud.client, query, 2, -2) == three[2:]
    assert found(cloud.client, query, vms["two"], vms["odd"]) == three[1:]
    _, user = cloud.make_user()
    assert found(user, query) == [] == found(user, "10.77.0.50")


def test_those_that_are_done(cloud: Cloud, vms: dict[str, Any]) -> None:
    """Found with the states that show them."""
    word = unique("gone")
    vm = cloud.make_vm(word, hold=True, NOTE=f"{word}-note")
    cloud.client.call("one.vm.action", "terminate-hard", vm)
    cloud.wait_vm(vm, "DONE")
    for query in (f"NAME={word}", f"USER_TEMPLATE.NOTE={word}", f"{word}-note"):
        assert found(cloud.client, query, state=-2) == [vm] == found(cloud.client, query, 0, -5, state=6), query
        assert found(cloud.client, query) == []


@pytest.mark.parametrize("query", ["NAME=", "=x", "A..B=1", "A[x]=1", "A B=1", "x" * 1001, "&".join("abcdefghijk"),
                                   "A[1=2", "(=("])
def test_what_is_refused(cloud: Cloud, query: str) -> None:
    """With the form that it must have."""
    assert "search query" in refused(cloud.client, RPC_API, "one.vmpool.infoextended", -2, -1, -1, -1, query)
