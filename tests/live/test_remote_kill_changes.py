"""Whatever dies in the middle of a live migration, a copy of a disk, a snapshot and a resize: nothing is lost.

One kill meets four VMs with disks of their own on one host.  Two victims in each run; ONECORE_LONG=1: all of them.
"""
from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from bed_cloud import BedCloud, bed_cloud
from bed_kills import KILLS
from cloud_process import until
from crash_ground import check_books_but_guests

from onecore.wire.client import ClientError

pytestmark = pytest.mark.live

VICTIMS = list(KILLS) if os.environ.get("ONECORE_LONG") else ["oned", "node"]
GROWS = {"MEMORY": "112", "MEMORY_MAX": "160", "VCPU_MAX": "2"}
BIG = 96
"""MB of random bytes: seconds on their way."""
RESTS = {"RUNNING", "POWEROFF"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BedCloud]:
    with bed_cloud(2, scheduler=False) as made:
        path = tmp_path_factory.mktemp("images") / "big.raw"
        path.write_bytes(os.urandom(BIG << 20))
        made.big = made.add_image("big", path, TYPE="DATABLOCK", FORMAT="raw")  # type: ignore[attr-defined]
        yield made


@dataclass
class Traffic:
    """The VMs, by what is done with them."""

    cloud: BedCloud
    vms: dict[str, int]

    def begin(self) -> None:
        """Returns in the middle of them: the moving guest is slow, the image is big, the rest has just begun."""
        first, second = self.cloud.bed.nodes
        call = self.cloud.client.call
        first.run("virsh", "-q", "-c", "qemu:///system", "migrate-setspeed", f"one-{self.vms['moves']}", "8")
        call("one.vm.attach", self.vms["gets"], f"DISK=[IMAGE_ID={self.cloud.big}]")  # type: ignore[attr-defined]
        call("one.vm.migrate", self.vms["moves"], self.cloud.hosts[second.name], True)
        time.sleep(1.5)
        call("one.vm.disksnapshotcreate", self.vms["keeps"], 0, "word")
        call("one.vm.resize", self.vms["grows"], "VCPU=2\nMEMORY=144", False)
        assert self.cloud.vm_state(self.vms["moves"]) == "MIGRATE"

    def settle(self) -> None:
        """Every VM rests, where its guest is; what failed is tried again, once its host is on."""
        for oid in self.cloud.hosts.values():
            self.cloud.wait_host(oid, "MONITORED", 90)
        for name, vm in self.vms.items():
            until(180, f"{name} to rest", lambda vm=vm: self._rests(vm),  # type: ignore[misc]
                  lambda vm=vm: f"{self.cloud.vm_state(vm)}: {self.cloud.error_of(vm)}; {self.cloud.guests()}")

    def _rests(self, vm: int) -> bool:
        state = self.cloud.vm_state(vm)
        if state.endswith("_FAILURE"):
            self.cloud.recover(vm)
        where = [node for node, domain in self.cloud.guests() if domain == f"one-{vm}"]
        return state in RESTS and where == ([self.cloud.node_of(vm).name] if state == "RUNNING" else [])

    def go_on(self) -> None:
        """Each is used again: what is off starts, and all may be ended without a trace."""
        for vm in self.vms.values():
            if self.cloud.vm_state(vm) == "POWEROFF":
                until(60, "it may start", lambda vm=vm: self._resumed(vm))  # type: ignore[misc]
                self.cloud.arrives(vm, "RUNNING")
        for vm in self.vms.values():
            self.cloud.booted(vm)
            self.cloud.act(vm, "terminate-hard")
        for vm in self.vms.values():
            self.cloud.arrives(vm, "DONE", 120)
        self.cloud.assert_nothing_left(*self.vms.values())

    def _resumed(self, vm: int) -> bool:
        try:
            self.cloud.act(vm, "resume")
        except ClientError:
            return self.cloud.vm_state(vm) == "RUNNING"
        return True


@pytest.fixture
def traffic(cloud: BedCloud) -> Traffic:
    """Four guests that run on the first node."""
    first = cloud.hosts[cloud.bed.nodes[0].name]
    vms = {name: cloud.start_vm(name, cloud.local, hold=True, **GROWS) for name in ("moves", "gets", "keeps", "grows")}
    for vm in vms.values():
        cloud.client.call("one.vm.deploy", vm, first, False, cloud.local)
    for vm in vms.values():
        cloud.arrives(vm, "RUNNING")
    for vm in vms.values():
        cloud.booted(vm)
    return Traffic(cloud, vms)


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_in_the_middle_of_changes(cloud: BedCloud, traffic: Traffic, victim: str) -> None:
    traffic.begin()
    KILLS[victim](cloud)
    traffic.settle()
    check_books_but_guests(cloud)
    traffic.go_on()
