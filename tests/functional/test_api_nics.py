"""NICs and aliases of VMs over the API: what they get, what may change, who may, and what is refused."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from api_bodies import end, vector
from api_calls import ACTION, AUTHORIZATION, LOCKED, NO_EXISTS, RPC_API, refused, unmonitored
from cloud_process import Cloud, unique, vm_template
from xsd import validate

from onecore.wire.client import Client

pytestmark = pytest.mark.surface


@dataclass
class Place:
    """A cloud with a host, an image and two networks of the module's own."""

    cloud: Cloud
    host: int
    image: int
    net: int
    other: int

    def vm(self, state: str = "RUNNING", **more: Any) -> int:
        """A VM with a NIC and a context, in STATE."""
        vm = self.cloud.make_vm(image=self.image, network=self.net, CONTEXT={"NETWORK": "YES"}, **more)
        if state != "PENDING":
            self.cloud.deploy(vm, self.host)
        if state == "POWEROFF":
            self.cloud.client.call("one.vm.action", "poweroff", vm)
            self.cloud.wait_vm(vm, state)
        return vm

    def ask(self, method: str, vm: int, *arguments: object, client: Client | None = None) -> None:
        """A call, and the end of what it began."""
        state = self.cloud.vm_state(vm)
        (client or self.cloud.client).call(f"one.vm.{method}", vm, *arguments)
        self.cloud.wait_vm(vm, state)
        validate("vm", self.cloud.client.text("one.vm.info", vm))

    def nics(self, vm: int, name: str = "NIC") -> list[dict[str, str]]:
        """The NICs, or aliases, of a VM's body."""
        body = self.cloud.body("vm", vm)
        return [vector(body, f"TEMPLATE/{name}", i) for i in range(len(body.findall(f"TEMPLATE/{name}")))]

    def context(self, vm: int) -> dict[str, str]:
        """CONTEXT of a VM's body."""
        return vector(self.cloud.body("vm", vm), "TEMPLATE/CONTEXT")

    def used(self, net: int) -> int:
        """How many addresses of a network are leased."""
        return int(self.cloud.body("vn", net).findtext("USED_LEASES") or 0)


@pytest.fixture(scope="module")
def place(shared_cloud: Cloud) -> Place:
    """What the VMs of this module share."""
    return Place(shared_cloud, shared_cloud.add_hosts(1)[0], shared_cloud.make_image(),
                 shared_cloud.make_network(ip="10.41.0.1", NETWORK_ADDRESS="10.41.0.0", GATEWAY="10.41.0.254"),
                 shared_cloud.make_network(ip="10.42.0.1", GUEST_MTU=1400, INBOUND_AVG_BW=1000))


@pytest.fixture(autouse=True)
def _no_lease_is_lost(place: Place) -> Iterator[None]:
    yield
    place.cloud.dummy()
    assert (place.used(place.net), place.used(place.other)) == (0, 0)


@pytest.mark.parametrize("state", ["RUNNING", "POWEROFF"])
def test_attach_and_detach(place: Place, state: str) -> None:
    """By id, by name, with an address of one's own; the context tells of each; an id is that of no other NIC."""
    vm = place.vm(state)
    name = place.cloud.body("vn", place.other).findtext("NAME")
    place.ask("attachnic", vm, f"NIC=[NETWORK_ID={place.other},MODEL=e1000]")
    place.ask("attachnic", vm, f'NIC=[NETWORK="{name}",IP="10.42.0.9",NAME=web]')
    first, second, third = place.nics(vm)
    assert [nic["NIC_ID"] for nic in (first, second, third)] == ["0", "1", "2"]
    assert (second["MODEL"], second["GUEST_MTU"], second["INBOUND_AVG_BW"]) == ("e1000", "1400", "1000")
    assert (second["NAME"], third["NAME"], third["IP"]) == ("NIC1", "web", "10.42.0.9")
    assert (second["TARGET"], second["NETWORK"], second["BRIDGE"]) == (f"one-{vm}-1", name, f"onebr{place.other}")
    context = place.context(vm)
    assert (context["ETH0_GATEWAY"], context["ETH1_MTU"], context["ETH2_IP"]) == ("10.41.0.254", "1400", "10.42.0.9")
    assert place.used(place.other) == 2
    place.ask("detachnic", vm, 1)
    assert [nic["NIC_ID"] for nic in place.nics(vm)] == ["0", "2"] and place.used(place.other) == 1
    assert not [key for key in place.context(vm) if key.startswith("ETH1_")]
    place.ask("attachnic", vm, f"NIC=[NETWORK_ID={place.other}]")
    assert [nic["NIC_ID"] for nic in place.nics(vm)] == ["0", "2", "3"]
    end(place.cloud, vm)


def test_aliases_from_the_start(place: Place) -> None:
    """NIC_ALIAS in a template: more addresses of a NIC, numbered by NIC, told of in the context."""
    vm = place.vm("PENDING", NIC_ALIAS=[{"NETWORK_ID": place.other, "PARENT": "NIC0"},
                                        {"NETWORK_ID": place.net, "PARENT": "NIC0", "IP": "10.41.0.50"}])
    first, second = place.nics(vm, "NIC_ALIAS")
    assert (first["NIC_ID"], first["ALIAS_ID"], first["PARENT_ID"], first["NAME"]) == ("1", "0", "0", "NIC0_ALIAS0")
    assert (second["NIC_ID"], second["ALIAS_ID"], second["NAME"]) == ("2", "1", "NIC0_ALIAS1")
    assert place.nics(vm)[0]["ALIAS_IDS"] == "1,2"
    context = place.context(vm)
    assert context["ETH0_ALIAS0_IP"] == first["IP"] and context["ETH0_ALIAS1_IP"] == "10.41.0.50"
    assert context["ETH0_ALIAS0_MAC"] == first["MAC"] and context["ETH0_ALIAS0_MTU"] == "1400"
    validate("vm", place.cloud.client.text("one.vm.info", vm))
    validate("vm_pool", place.cloud.client.text("one.vmpool.info", -2, vm, vm, -1))
    assert place.used(place.net) == 2 and place.used(place.other) == 1
    end(place.cloud, vm)


@pytest.mark.parametrize("state", ["RUNNING", "POWEROFF"])
def test_aliases_come_and_go(place: Place, state: str) -> None:
    """One is detached alone; a NIC takes its own along."""
    vm = place.vm(state)
    place.ask("attachnic", vm, f"NIC=[NETWORK_ID={place.other},NAME=web]")
    for _ in range(2):
        place.ask("attachnic", vm, f"NIC_ALIAS=[NETWORK_ID={place.net},PARENT=web]")
    assert [(a["NIC_ID"], a["ALIAS_ID"], a["PARENT"]) for a in place.nics(vm, "NIC_ALIAS")] == [
        ("2", "0", "web"), ("3", "1", "web")]
    place.ask("detachnic", vm, 2)
    assert place.nics(vm)[1]["ALIAS_IDS"] == "3" and place.used(place.net) == 2
    context = place.context(vm)
    assert "ETH1_ALIAS0_IP" not in context and "ETH1_ALIAS1_IP" in context
    place.ask("detachnic", vm, 1)
    assert place.nics(vm, "NIC_ALIAS") == [] and place.used(place.net) == 1 and place.used(place.other) == 0
    assert not [key for key in place.context(vm) if key.startswith("ETH1_")]
    end(place.cloud, vm)


def test_without_a_context_about_networks(place: Place) -> None:
    """A guest that does not want to be told is not."""
    vm = place.cloud.make_vm(image=place.image, CONTEXT={"A": "b"})
    place.cloud.deploy(vm, place.host)
    place.ask("attachnic", vm, f"NIC=[NETWORK_ID={place.net}]")
    assert set(place.context(vm)) == {"A", "DISK_ID", "TARGET"}
    end(place.cloud, vm)


def test_what_changes_in_a_nic(place: Place) -> None:
    """Merged, the keys given; replaced, all: what is not given is as the network says, or not at all."""
    vm = place.vm("POWEROFF")
    place.ask("attachnic", vm, f"NIC=[NETWORK_ID={place.other},DNS=9.9.9.9]")
    place.ask("updatenic", vm, 1, "NIC=[OUTBOUND_AVG_BW=50,GUEST_MTU=9000,MODEL=e1000,DNS=8.8.8.8]", 1)
    nic = place.nics(vm)[1]
    assert [nic[key] for key in ("INBOUND_AVG_BW", "OUTBOUND_AVG_BW", "GUEST_MTU", "MODEL")] == [
        "1000", "50", "9000", "e1000"]
    assert (place.context(vm)["ETH1_MTU"], place.context(vm)["ETH1_DNS"]) == ("9000", "8.8.8.8")
    place.ask("updatenic", vm, 1, "NIC=[INBOUND_PEAK_BW=7]")
    nic = place.nics(vm)[1]
    assert (nic["INBOUND_AVG_BW"], nic["INBOUND_PEAK_BW"], nic["GUEST_MTU"], nic["MODEL"]) == (
        "1000", "7", "1400", "virtio")
    assert "OUTBOUND_AVG_BW" not in nic and "DNS" not in nic and "ETH1_DNS" not in place.context(vm)
    place.ask("updatenic", vm, 1, "NIC=[" + ",".join(f'{k}="{v}"' for k, v in nic.items()) + "]")
    assert place.nics(vm)[1] == nic
    end(place.cloud, vm)


def test_a_running_guests_nic(place: Place) -> None:
    """Through HOTPLUG_NIC; nothing is done where nothing changes; what needs a start is refused."""
    vm = place.vm()
    last = place.cloud.body("vm", vm).findtext("PREV_LCM_STATE")
    place.ask("updatenic", vm, 0, "NIC=[IP=10.41.0.1]", 1) if place.nics(vm)[0]["IP"] == "10.41.0.1" else None
    assert place.cloud.body("vm", vm).findtext("PREV_LCM_STATE") == last
    place.ask("updatenic", vm, 0, "NIC=[LINK_STATE=down,INBOUND_AVG_BW=9]", 1)
    assert place.cloud.body("vm", vm).findtext("PREV_LCM_STATE") == "25"
    assert "MODEL" in refused(place.cloud.client, RPC_API, "one.vm.updatenic", vm, 0, "NIC=[MODEL=e1000]", 1)
    end(place.cloud, vm)


@pytest.mark.parametrize("text", [
    "NIC=[NETWORK_ID={other}]", "NIC=[NETWORK=elsewhere]", "NIC=[IP=10.41.0.77]", "NIC=[MAC=02:00:00:00:00:01]",
    "NIC=[BRIDGE=br0]", "NIC=[NIC_ID=7]", "NIC=[NAME=other]", "NIC=[SECURITY_GROUPS=5]", "NIC=[FOO=x]",
    "NIC=[INBOUND_AVG_BW=fast]", "NIC=[GUEST_MTU=1]", "NIC=[LINK_STATE=maybe]", "NIC=5", "FOO=1", "",
    "NIC=[GUEST_MTU=1400]\nNIC=[GUEST_MTU=1300]", "NIC_ALIAS=[GUEST_MTU=1400]"])
def test_what_does_not_change_in_a_nic(place: Place, text: str) -> None:
    """Another network, another address, what is no number: refused, naming it; the NIC is as it was."""
    vm = place.vm("PENDING")
    before = place.nics(vm)
    said = refused(place.cloud.client, RPC_API, "one.vm.updatenic", vm, 0, text.format(other=place.other), 1)
    assert "NIC" in said
    assert place.nics(vm) == before
    end(place.cloud, vm)


BAD: list[tuple[str, int, str]] = [
    ("", RPC_API, "NIC"), ("FOO=[A=b]", RPC_API, "NIC"), ("NIC=5", RPC_API, "NIC"), ("NIC=[A", RPC_API, "line 1"),
    ("NIC=[NETWORK_ID={net}]\nNIC=[NETWORK_ID={net}]", RPC_API, "once"),
    ("NIC=[NETWORK_ID={net}]\nNIC_ALIAS=[NETWORK_ID={net},PARENT=NIC0]", RPC_API, "once"),
    ("NIC=[NETWORK_ID=4711]", NO_EXISTS, "4711"), ("NIC=[NETWORK=nowhere]", NO_EXISTS, "nowhere"),
    ("NIC=[NETWORK_ID=x]", RPC_API, "NETWORK_ID"), ("NIC=[MODEL=virtio]", RPC_API, "NETWORK"),
    ("NIC=[NETWORK_ID={net},IP=10.99.0.1]", RPC_API, "10.99.0.1"), ("NIC=[NETWORK_ID={full}]", RPC_API, "in use"),
    ("NIC=[NETWORK_ID={net},NETWORK_MODE=auto]", RPC_API, "auto"),
    ("NIC=[NETWORK_ID={net},INBOUND_AVG_BW=x]", RPC_API, "INBOUND_AVG_BW"),
    ("NIC_ALIAS=[NETWORK_ID={net}]", RPC_API, "PARENT"), ("NIC_ALIAS=[NETWORK_ID={net},PARENT=no]", RPC_API, "NIC0"),
    ("NIC=[NETWORK_ID={far}]", RPC_API, "cluster"), ("NIC=[NETWORK_ID={net},NAME=NIC0]", RPC_API, "NAME 'NIC0'"),
    ("NIC_ALIAS=[NETWORK_ID={net},PARENT=NIC0,NAME=NIC0]", RPC_API, "NAME 'NIC0'"),
]


@pytest.fixture(scope="module")
def networks(shared_cloud: Cloud) -> dict[str, int]:
    """One without a free address, one of another cluster."""
    cluster = shared_cloud.client.number("one.cluster.allocate", unique("far"))
    far = shared_cloud.client.number("one.vn.allocate", f'NAME="{unique("far")}"\nVN_MAD=dummy\n'
                                     "AR=[TYPE=IP4,IP=10.43.0.1,SIZE=5]", cluster)
    full = shared_cloud.make_network(size=1, ip="10.44.0.1")
    shared_cloud.client.call("one.vn.hold", full, "LEASES=[IP=10.44.0.1]")
    return {"far": far, "full": full}


@pytest.mark.parametrize("state", ["RUNNING", "POWEROFF"])
@pytest.mark.parametrize(("text", "code", "said"), BAD, ids=[row[0] or "nothing" for row in BAD])
def test_a_nic_that_cannot_be(place: Place, networks: dict[str, int], state: str, text: str, code: int,
                              said: str) -> None:
    """Refused with the attribute's name; no address is taken, the VM is as it was."""
    vm = place.vm(state)
    before, used = unmonitored(place.cloud.client.text("one.vm.info", vm)), place.used(place.net)
    text = text.format(net=place.net, **networks)
    assert said in refused(place.cloud.client, code, "one.vm.attachnic", vm, text)
    assert unmonitored(place.cloud.client.text("one.vm.info", vm)) == before
    assert place.used(place.net) == used
    end(place.cloud, vm)


def test_a_nic_that_is_not_there(place: Place) -> None:
    """The error says which are; so does one about an alias that is to be updated."""
    vm = place.vm()
    for method, *more in (("detachnic",), ("updatenic", "NIC=[GUEST_MTU=1400]")):
        for number in (7, -1):
            said = refused(place.cloud.client, RPC_API, f"one.vm.{method}", vm, number, *more)
            assert f"no NIC {number}, it has 0" in said
    place.ask("attachnic", vm, f"NIC_ALIAS=[NETWORK_ID={place.net},PARENT=NIC0]")
    assert "alias" in refused(place.cloud.client, RPC_API, "one.vm.updatenic", vm, 1, "NIC=[GUEST_MTU=1400]")
    end(place.cloud, vm)


@pytest.mark.parametrize("state", ["PENDING", "SUSPENDED", "UNDEPLOYED"])
def test_where_nics_do_not_come_and_go(place: Place, state: str) -> None:
    """The state is told; an update is for the next start."""
    vm = place.vm("PENDING" if state == "PENDING" else "RUNNING")
    if state != "PENDING":
        place.cloud.client.call("one.vm.action", {"SUSPENDED": "suspend", "UNDEPLOYED": "undeploy"}[state], vm)
        place.cloud.wait_vm(vm, state)
    for method, argument in (("attachnic", "nonsense"), ("detachnic", 0)):
        assert state in refused(place.cloud.client, ACTION, f"one.vm.{method}", vm, argument)
    place.ask("updatenic", vm, 0, "NIC=[GUEST_MTU=1300]", 1)
    assert place.nics(vm)[0]["GUEST_MTU"] == "1300"
    end(place.cloud, vm)


def test_who_may(place: Place) -> None:
    """MANAGE on the VM and USE on the network, which a lock forbids; limits and filters are the administrators'."""
    cloud = place.cloud
    _, user = cloud.make_user()
    cloud.client.call("one.image.chmod", place.image, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    vm = user.number("one.vm.allocate", vm_template("mine", place.image, MEMORY=64, CPU=1))
    cloud.deploy(vm, place.host)
    nic = f"NIC=[NETWORK_ID={place.net}]"
    cloud.client.call("one.vn.lock", place.net, 1)
    assert "locked" in refused(user, LOCKED, "one.vm.attachnic", vm, nic)
    cloud.client.call("one.vn.unlock", place.net)
    for key in ("MAC=02:00:0a:29:00:05", "INBOUND_AVG_BW=5", "FILTER=none", "BRIDGE=br0"):
        said = refused(user, AUTHORIZATION, "one.vm.attachnic", vm, f"NIC=[NETWORK_ID={place.net},{key}]")
        assert f"NIC/{key.partition('=')[0]}" in said
    place.ask("attachnic", vm, nic, client=user)
    place.ask("updatenic", vm, 0, "NIC=[INBOUND_AVG_BW=100]", 1)
    assert "NIC/INBOUND_AVG_BW" in refused(user, AUTHORIZATION, "one.vm.updatenic", vm, 0, "NIC=[INBOUND_AVG_BW=9]", 1)
    place.ask("updatenic", vm, 0, "NIC=[GUEST_MTU=1300]", 0, client=user)
    changed = place.nics(vm)[0]
    assert (changed["GUEST_MTU"], changed["INBOUND_AVG_BW"]) == ("1300", "100"), "what she may not set stays"
    _, stranger = cloud.make_user()
    for method, arguments in (("attachnic", (nic,)), ("detachnic", (0,)), ("updatenic", (0, "NIC=[GUEST_MTU=1400]"))):
        refused(stranger, AUTHORIZATION, f"one.vm.{method}", vm, *arguments)
    place.ask("detachnic", vm, 0, client=user)
    end(cloud, vm)
