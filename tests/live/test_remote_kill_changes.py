"""Whatever dies in the middle of a live migration, a copy of a disk, a snapshot and a resize: nothing is lost.

One kill meets four VMs with disks of their own on one host.  Two victims in each run; ONECORE_LONG=1: all of them.
"""
from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from bed_acts import GROWS, change, disks, go
from bed_cloud import BedCloud, bed_cloud
from bed_kills import KILLS
from cloud_process import until
from crash_ground import check_books_but_guests

from onecore.wire.client import ClientError

pytestmark = pytest.mark.live

VICTIMS = list(KILLS) if os.environ.get("ONECORE_LONG") else ["oned", "node"]
BIG = 96
"""MB of random bytes: seconds on their way."""
RESTS = {"RUNNING", "POWEROFF"}
NEAR = 10_000
"""kB by which a guest may count its memory otherwise than its size says."""


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
    memory: dict[str, int] = field(default_factory=dict)
    """kB that each guest had when its size was that of GROWS."""
    errors: dict[str, str] = field(default_factory=dict)
    """What each says went wrong, once it rests."""

    def write(self) -> None:
        """Each writes its name on its disk."""
        for name, vm in self.vms.items():
            self.cloud.inside(vm, f"echo {name} > /word; sync")
            self.memory[name] = int(self.cloud.told(vm)["memtotal_kb"])

    def begin(self) -> None:
        """Returns in the middle of them: the moving guest is slow, the image is big, the rest has just begun."""
        first, second = self.cloud.bed.nodes
        call = self.cloud.patiently
        for vm in self.vms.values():
            self.cloud.arrives(vm, "RUNNING")
        first.run("virsh", "-q", "-c", "qemu:///system", "migrate-setspeed", f"one-{self.vms['moves']}", "4")
        call("one.vm.attach", self.vms["gets"], f"DISK=[IMAGE_ID={self.cloud.big}]")  # type: ignore[attr-defined]
        call("one.vm.migrate", self.vms["moves"], self.cloud.hosts[second.name], True)
        time.sleep(1.5)
        call("one.vm.disksnapshotcreate", self.vms["keeps"], 0, "word")
        call("one.vm.resize", self.vms["grows"], "VCPU=2\nMEMORY=144", False)
        assert self.cloud.vm_state(self.vms["moves"]) in ("MIGRATE", "RUNNING")  # it may have got there

    def settle(self) -> None:
        """Every VM rests, where its guest is; what failed is tried again, once its host is on."""
        for oid in self.cloud.hosts.values():
            self.cloud.wait_host(oid, "MONITORED", 120)
        for name, vm in self.vms.items():
            until(300, f"{name} to rest", lambda vm=vm: self._rests(vm),  # type: ignore[misc]
                  lambda vm=vm: f"{self.cloud.vm_state(vm)}: {self.cloud.error_of(vm)}; {self.cloud.guests()}")
            self.errors[name] = self.cloud.error_of(vm)
            print(f"  {name}: {self.cloud.vm_state(vm)} on {self.cloud.node_of(vm).hostname}, "
                  f"{'done' if self._is_done(name) else 'not done'} {self.errors[name]}")
            assert self._is_done(name) or self.errors[name], f"{name} is as it was, and nothing says why"

    def _rests(self, vm: int) -> bool:
        state = self.cloud.vm_state(vm)
        if state.endswith("_FAILURE"):
            with suppress(ClientError):  # it may be under way again already
                self.cloud.recover(vm)
        where = [node for node, domain in self.cloud.guests() if domain == f"one-{vm}"]
        return state in RESTS and where == ([self.cloud.node_of(vm).name] if state == "RUNNING" else [])

    def _is_done(self, name: str) -> bool:
        """Whether the record says that what was asked for is done."""
        body = self.cloud.body("vm", self.vms[name])
        return {"moves": self.cloud.node_of(self.vms[name]) is self.cloud.bed.nodes[1],
                "gets": len(body.findall("TEMPLATE/DISK")) == 2, "keeps": body.find("SNAPSHOTS/SNAPSHOT") is not None,
                "grows": [body.findtext(f"TEMPLATE/{size}") for size in ("VCPU", "MEMORY")] == ["2", "144"]}[name]

    def compare(self) -> None:
        """Each guest has what its record says, and on its disk what it wrote; the snapshot has that, too."""
        for name, vm in self.vms.items():
            until(90, f"{name} to be as its record says", lambda name=name: not self._differs(name),  # type: ignore[misc]
                  lambda name=name: self._differs(name))  # type: ignore[misc]
            assert self.cloud.inside(vm, "cat /word") == f"{name}\n"
        if self._is_done("keeps"):
            vm = self.vms["keeps"]
            self.cloud.inside(vm, "echo later > /word; sync")
            go(self.cloud, vm, "poweroff-hard", "POWEROFF")
            change(self.cloud, vm, "disksnapshotrevert", 0, 0, state="POWEROFF")
            go(self.cloud, vm, "resume", "RUNNING")
            assert self.cloud.inside(vm, "cat /word") == "keeps\n"

    def _differs(self, name: str) -> list[str]:
        """What the guest has otherwise than its record says; after an error it may have less."""
        body, facts = self.cloud.body("vm", self.vms[name]), self.cloud.facts(self.vms[name])
        if not facts:
            return ["it does not answer"]
        said = {disk.findtext("TARGET", ""): int(disk.findtext("SIZE", "")) for disk in body.findall("TEMPLATE/DISK")}
        has = {disk: mb for disk, mb in disks(self.cloud, self.vms[name]).items() if disk.startswith("vd")}
        cpus, vcpu = int(facts["cpus"]), int(body.findtext("TEMPLATE/VCPU", "1"))
        more = int(facts["memtotal_kb"]) - self.memory[name]
        wanted = 1024 * (int(body.findtext("TEMPLATE/MEMORY", "")) - int(GROWS["MEMORY"]))
        less = bool(self.errors[name])
        right = {f"disks {has}, not {said}": has == said or less and has.items() <= said.items(),
                 f"{cpus} processors, not {vcpu}": cpus == vcpu or less and cpus < vcpu,
                 f"{more} kB more memory, not {wanted}": abs(more - wanted) < NEAR or less and more < wanted}
        return [what for what, so in right.items() if not so]

    def start(self) -> None:
        """What is off starts again; all are up."""
        for vm in self.vms.values():
            if self.cloud.vm_state(vm) == "POWEROFF":
                until(60, "it may start", lambda vm=vm: self._resumed(vm))  # type: ignore[misc]
                self.cloud.arrives(vm, "RUNNING")
        for vm in self.vms.values():
            self.cloud.booted(vm)

    def end(self) -> None:
        """All may be ended without a trace."""
        for vm in self.vms.values():
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
        cloud.deploy_on(vm, first, cloud.local)
    for vm in vms.values():
        cloud.arrives(vm, "RUNNING")
    for vm in vms.values():
        cloud.booted(vm)
    made = Traffic(cloud, vms)
    made.write()
    return made


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_in_the_middle_of_changes(cloud: BedCloud, traffic: Traffic, victim: str) -> None:
    traffic.begin()
    KILLS[victim](cloud)
    print(f"\n{victim} died")
    traffic.settle()
    check_books_but_guests(cloud)
    traffic.start()
    traffic.compare()
    traffic.end()
