"""Many clients at once want what there is little of: exactly as many get it, nothing is lost or given twice."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from xml.etree import ElementTree

import pytest
from cloud_process import Cloud, unique, vm_template

from onecore.wire.client import Client, ClientError

CLIENTS, VMS, ADDRESSES = 32, 100, 14
pytestmark = pytest.mark.surface


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud for all of them."""
    cloud = Cloud(tmp_path_factory.mktemp("crowd"), {}).start()
    yield cloud
    cloud.stop()


@pytest.fixture
def crowd(place: Cloud) -> tuple[Cloud, int, list[Client]]:
    """The cloud, a user who has nothing, and 32 clients with a session of that user."""
    name = unique("crowd")
    uid, _ = place.make_user(name)
    return place, uid, [place.client_as(name, "secret") for _ in range(CLIENTS)]


def rush(clients: list[Client], each: int, call: Callable[[Client, int], int]) -> tuple[list[int], list[str]]:
    """CALL by every client EACH times, all at once; the ids that were given, and the refusals."""
    numbers = count()

    def work(client: Client) -> list[int | str]:
        out: list[int | str] = []
        for _ in range(each):
            try:
                out.append(call(client, next(numbers)))
            except ClientError as error:
                out.append(str(error))
        return out
    with ThreadPoolExecutor(len(clients)) as pool:
        answers = [answer for answers in pool.map(work, clients) for answer in answers]
    given = [a for a in answers if isinstance(a, int)]
    assert len(set(given)) == len(given)
    return given, [a for a in answers if isinstance(a, str)]


def owned(cloud: Cloud, pool: str, uid: int, *more: int) -> list[int]:
    """The ids of a user's objects."""
    text = cloud.client.text(f"one.{pool}pool.info", uid, -1, -1, *more)
    return [int(i) for i in re.findall(r"<(?:VM|IMAGE|VNET)><ID>(\d+)</ID>", text)]


def test_a_quota_of_a_hundred(crowd: tuple[Cloud, int, list[Client]]) -> None:
    """160 calls of 32 clients: 100 VMs."""
    cloud, uid, clients = crowd
    cloud.client.call("one.user.quota", uid, f"VM=[VMS={VMS}]")
    given, told = rush(clients, 5, lambda client, n: client.number("one.vm.allocate", vm_template(f"vm-{n}")))
    assert len(given) == VMS and len(told) == 5 * CLIENTS - VMS
    assert all(f"limit of {VMS} reached for VMS quota" in said for said in told), set(told)
    assert owned(cloud, "vm", uid, -1) == sorted(given)
    assert cloud.body("user", uid).findtext("VM_QUOTA/VM/VMS_USED") == str(VMS)
    ended, told = rush(clients, 5, lambda client, n: client.number("one.vm.action", "terminate", given[n % VMS]))
    assert sorted(ended) == sorted(given) and len(told) == 5 * CLIENTS - VMS
    assert cloud.body("user", uid).findtext("VM_QUOTA/VM/VMS_USED") == "0"
    cloud.client.call("one.user.quota", uid, "VM=[]")


def test_addresses_of_a_small_network(crowd: tuple[Cloud, int, list[Client]]) -> None:
    """The 14 of a /28, each once."""
    cloud, uid, clients = crowd
    net = cloud.make_network(size=ADDRESSES, ip="192.168.7.1")
    given, told = rush(clients, 2, lambda client, n: client.number(
        "one.vm.allocate", vm_template(f"net-{n}", network=net)))
    assert len(given) == ADDRESSES and all("all addresses are in use" in said for said in told), set(told)
    leased = [cloud.body("vm", vm).findtext("TEMPLATE/NIC/IP") for vm in given]
    assert sorted(map(str, leased)) == sorted(f"192.168.7.{n}" for n in range(1, ADDRESSES + 1))
    body = ElementTree.fromstring(cloud.client.text("one.vn.info", net))
    assert sorted(int(e.findtext("VM", "")) for e in body.iter("LEASE")) == sorted(given)
    assert owned(cloud, "vm", uid, -1) == sorted(given)


def test_names_that_must_be_unique(crowd: tuple[Cloud, int, list[Client]]) -> None:
    """Each of five names is given once."""
    cloud, uid, clients = crowd
    word = unique("name")
    given, told = rush(clients, 2, lambda client, n: client.number(
        "one.image.allocate", f'NAME="{word}-{n % 5}"\nSIZE=1\nTYPE=DATABLOCK', 1))
    assert len(given) == 5 and all("NAME is already taken" in said for said in told), set(told)
    assert owned(cloud, "image", uid) == sorted(given)
    assert sorted(str(cloud.body("image", i).findtext("NAME")) for i in given) == [f"{word}-{n}" for n in range(5)]
    groups, told = rush([cloud.client_as(*cloud.credentials()) for _ in clients], 1, lambda client, n: client.number(
        "one.group.allocate", word))
    assert len(groups) == 1 and len(told) == CLIENTS - 1


def test_it_is_the_same_after_a_crash(crowd: tuple[Cloud, int, list[Client]]) -> None:
    """What was given is there, and counted, when oned was killed."""
    cloud, uid, clients = crowd
    net = cloud.make_network(size=ADDRESSES, ip="192.168.8.1")
    given, _ = rush(clients, 1, lambda client, n: client.number("one.vm.allocate",
                                                                vm_template(f"last-{n}", network=net)))
    before = owned(cloud, "vm", uid, -1), cloud.body("user", uid).findtext("NETWORK_QUOTA/NETWORK/LEASES_USED")
    cloud.kill()
    cloud.start()
    assert (owned(cloud, "vm", uid, -1),
            cloud.body("user", uid).findtext("NETWORK_QUOTA/NETWORK/LEASES_USED")) == before
    assert set(given) <= set(before[0]) and int(before[1] or 0) >= ADDRESSES == len(given)
