"""one.vm.resize and system snapshots over the API: what changes, what the host must have, who may, what is refused."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from api_bodies import end, vector
from api_calls import ACTION, AUTHORIZATION, RPC_API, refused
from cloud_process import Cloud, vm_template
from xsd import validate

from onecore.wire.client import Client

pytestmark = pytest.mark.surface

HUGE = "9" * 30


@dataclass
class Place:
    """A cloud with a host of the module's own: 16 cores, 65536 MB."""

    cloud: Cloud
    host: int

    def vm(self, state: str = "RUNNING", **more: Any) -> int:
        """A VM in STATE."""
        vm = self.cloud.make_vm(**{"CPU": 1, "MEMORY": 64, **more})
        if state != "PENDING":
            self.cloud.deploy(vm, self.host)
        action = {"POWEROFF": "poweroff", "SUSPENDED": "suspend", "UNDEPLOYED": "undeploy", "STOPPED": "stop"}
        if state in action:
            self.cloud.client.call("one.vm.action", action[state], vm)
            self.cloud.wait_vm(vm, state)
        return vm

    def ask(self, method: str, vm: int, *arguments: object, client: Client | None = None) -> Any:
        """A call, and the end of what it began; its value."""
        state = self.cloud.vm_state(vm)
        value = (client or self.cloud.client).call(f"one.vm.{method}", vm, *arguments)
        self.cloud.wait_vm(vm, state)
        validate("vm", self.cloud.client.text("one.vm.info", vm))
        return value

    def size(self, vm: int, *names: str) -> list[str]:
        """CPU, VCPU and MEMORY, or others, as TEMPLATE has them."""
        body = self.cloud.body("vm", vm)
        return [body.findtext(f"TEMPLATE/{name}") or "" for name in names or ("CPU", "VCPU", "MEMORY")]

    def used(self) -> tuple[str, str]:
        """CPU and memory that the host's VMs take."""
        body = self.cloud.body("host", self.host)
        return body.findtext("HOST_SHARE/CPU_USAGE") or "", body.findtext("HOST_SHARE/MEM_USAGE") or ""


@pytest.fixture(scope="module")
def place(shared_cloud: Cloud) -> Place:
    """The host."""
    return Place(shared_cloud, shared_cloud.add_hosts(1)[0])


@pytest.mark.parametrize("state", ["PENDING", "POWEROFF", "UNDEPLOYED", "RUNNING"])
def test_a_size_changes(place: Place, state: str) -> None:
    """One thing, or all; the host's sums follow exactly; nothing given, and 0, is as it is."""
    vm = place.vm(state, VCPU_MAX=8, MEMORY_MAX=1024)
    on_host = state in ("POWEROFF", "RUNNING")
    place.ask("resize", vm, "CPU=2.5")
    assert place.size(vm) == ["2.5", "", "64"]
    assert place.used() == (("250", str(64 * 1024)) if on_host else ("0", "0"))
    place.ask("resize", vm, "CPU=0.1\nVCPU=4\nMEMORY=512", False)
    assert place.size(vm) == ["0.1", "4", "512"]
    assert place.used() == (("10", str(512 * 1024)) if on_host else ("0", "0"))
    place.ask("resize", vm, "CPU=0\nVCPU=\nMEMORY=512")
    place.ask("resize", vm, "")
    assert place.size(vm) == ["0.1", "4", "512"]
    end(place.cloud, vm)


def test_how_far_it_may_grow(place: Place) -> None:
    """Limits change while the VM is off, and hold while it runs."""
    vm = place.vm("POWEROFF")
    place.ask("resize", vm, "VCPU_MAX=2\nMEMORY_MAX=256\nMEMORY_RESIZE_MODE=HOTPLUG\nMEMORY_SLOTS=4")
    assert place.size(vm, "VCPU_MAX", "MEMORY_MAX", "MEMORY_RESIZE_MODE") == ["2", "256", "HOTPLUG"]
    place.cloud.client.call("one.vm.action", "resume", vm)
    place.cloud.wait_vm(vm, "RUNNING")
    client = place.cloud.client
    assert "VCPU_MAX" in refused(client, ACTION, "one.vm.resize", vm, "VCPU=3")
    assert "MEMORY_MAX" in refused(client, ACTION, "one.vm.resize", vm, "MEMORY=257")
    assert "MEMORY_MAX" in refused(client, ACTION, "one.vm.resize", vm, "MEMORY_MAX=512")
    place.ask("resize", vm, "VCPU=2\nMEMORY=256")
    place.ask("resize", vm, "VCPU=1\nMEMORY=32")
    assert place.size(vm) == ["1", "1", "32"]
    end(place.cloud, vm)


def test_what_may_not_grow_hot(place: Place) -> None:
    """HOT_RESIZE of the user's template."""
    vm = place.vm(VCPU_MAX=4, MEMORY_MAX=256, HOT_RESIZE={"CPU_HOT_ADD_ENABLED": "NO", "MEMORY_HOT_ADD_ENABLED": "YES"})
    assert "CPU_HOT_ADD_ENABLED" in refused(place.cloud.client, ACTION, "one.vm.resize", vm, "VCPU=2")
    place.ask("resize", vm, "MEMORY=128\nCPU=2")
    assert place.size(vm) == ["2", "", "128"]
    end(place.cloud, vm)


@pytest.mark.parametrize("state", ["POWEROFF", "RUNNING"])
def test_what_the_host_must_have(place: Place, state: str) -> None:
    """Refused with what lacks, unless an administrator says otherwise; less is always possible."""
    cloud, (_, user) = place.cloud, place.cloud.make_user()
    vm = user.number("one.vm.allocate", vm_template("mine", CPU=1, MEMORY=64, MEMORY_MAX=999999))
    cloud.deploy(vm, place.host)
    if state == "POWEROFF":
        user.call("one.vm.action", "poweroff", vm)
        cloud.wait_vm(vm, state)
    for text, said in (("CPU=17", "CPU 16 more needed, 15 free"), ("MEMORY=70000", "MEMORY 69936 MB more needed")):
        for client, enforce in ((cloud.client, True), (user, True), (user, False)):
            assert said in refused(client, ACTION, "one.vm.resize", vm, text, enforce)
    place.ask("resize", vm, "CPU=20\nMEMORY=70000", False)
    assert place.used() == ("2000", str(70000 * 1024))
    place.ask("resize", vm, "CPU=19", client=user)
    assert place.size(vm)[0] == "19"
    end(cloud, vm)


@pytest.mark.parametrize(("text", "said"), [
    *((f"{name}={value}", name) for name in ("CPU", "VCPU", "MEMORY", "VCPU_MAX", "MEMORY_MAX")
      for value in ("-1", "x", HUGE, '"²"', '"1e3"') if (name, value) != ("CPU", '"1e3"')),
    ("MEMORY=1.5", "MEMORY"), ("CPU=nan", "CPU"), ("CPU=[A=1]", "CPU"), ("TOPOLOGY=[CORES=2]", "TOPOLOGY"),
    ("FOO=1", "FOO"), ("MEMORY_RESIZE_MODE=magic", "MEMORY_RESIZE_MODE"), ("CPU", "line 1")])
def test_a_size_that_is_none(place: Place, text: str, said: str) -> None:
    """Refused, naming it; the VM is as it was."""
    vm = place.vm("PENDING")
    assert said in refused(place.cloud.client, RPC_API, "one.vm.resize", vm, text)
    assert place.size(vm) == ["1", "", "64"]
    end(place.cloud, vm)


@pytest.mark.parametrize("state", ["SUSPENDED", "STOPPED"])
def test_where_a_size_stays(place: Place, state: str) -> None:
    """A saved guest is as large as it was."""
    vm = place.vm(state)
    assert state in refused(place.cloud.client, ACTION, "one.vm.resize", vm, "CPU=2")
    end(place.cloud, vm)


# -- system snapshots

def snapshots(place: Place, vm: int) -> list[dict[str, str]]:
    """The SNAPSHOTs of TEMPLATE."""
    body = place.cloud.body("vm", vm)
    return [vector(body, "TEMPLATE/SNAPSHOT", i) for i in range(len(body.findall("TEMPLATE/SNAPSHOT")))]


def test_snapshots(place: Place) -> None:
    """Ids and names; the one at work is marked; reverted to, deleted, while the VM runs and when it is off."""
    vm = place.vm()
    place.cloud.hold("vm.snapshot_create")
    assert place.cloud.client.call("one.vm.snapshotcreate", vm, "first") == 0
    assert snapshots(place, vm)[0] | {"TIME": ""} == {
        "ACTION": "CREATE", "ACTIVE": "YES", "HYPERVISOR_ID": "", "NAME": "first", "SNAPSHOT_ID": "0",
        "SYSTEM_DISK_SIZE": "64", "TIME": ""}
    validate("vm", place.cloud.client.text("one.vm.info", vm))
    place.cloud.dummy()
    place.cloud.wait_vm(vm, "RUNNING")
    assert [place.ask("snapshotcreate", vm, name) for name in ("", "first")] == [1, 2]
    assert [(s["SNAPSHOT_ID"], s["NAME"], s["HYPERVISOR_ID"]) for s in snapshots(place, vm)] == [
        ("0", "first", "snap-0"), ("1", "snapshot-1", "snap-1"), ("2", "first", "snap-2")]
    place.ask("snapshotrevert", vm, 1)
    place.ask("snapshotdelete", vm, 1)
    assert not [key for s in snapshots(place, vm) for key in s if key in ("ACTIVE", "ACTION")]
    place.cloud.client.call("one.vm.action", "poweroff", vm)
    place.cloud.wait_vm(vm, "POWEROFF")
    assert "POWEROFF" in refused(place.cloud.client, ACTION, "one.vm.snapshotrevert", vm, 0)
    place.ask("snapshotdelete", vm, 2)
    assert [s["SNAPSHOT_ID"] for s in snapshots(place, vm)] == ["0"]
    place.cloud.client.call("one.vm.recover", vm, 4)
    place.cloud.wait_vm(vm, "PENDING")
    assert snapshots(place, vm) == []
    end(place.cloud, vm)


def test_snapshots_that_cannot_be(place: Place) -> None:
    """Bad names, ids that are none, states in which there is no guest."""
    vm, client = place.vm(), place.cloud.client
    for name in ("x" * 129, "two\nlines"):
        assert "name" in refused(client, RPC_API, "one.vm.snapshotcreate", vm, name)
    for method in ("snapshotrevert", "snapshotdelete"):
        for number in (0, -1, 7):
            assert f"no snapshot {number}" in refused(client, RPC_API, f"one.vm.{method}", vm, number)
    off = place.vm("PENDING")
    for method, argument in (("snapshotcreate", ""), ("snapshotrevert", 0), ("snapshotdelete", 0)):
        assert "PENDING" in refused(client, ACTION, f"one.vm.{method}", off, argument)
    assert snapshots(place, vm) == []
    end(place.cloud, vm, off)


def test_who_may(place: Place) -> None:
    """MANAGE."""
    cloud, (_, stranger) = place.cloud, place.cloud.make_user()
    vm = place.vm()
    cloud.client.call("one.vm.chmod", vm, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    for method, *arguments in (("resize", "CPU=2"), ("snapshotcreate", "a"), ("snapshotrevert", 0),
                               ("snapshotdelete", 0)):
        assert "MANAGE" in refused(stranger, AUTHORIZATION, f"one.vm.{method}", vm, *arguments)
    end(cloud, vm)
