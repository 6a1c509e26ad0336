"""Whatever dies in the middle of PROLOG, BOOT, SAVE and EPILOG: every VM gets where it was heading, or can be mended.

One kill meets four VMs on one host with disks of its own: one whose big image is copied there, one that boots, one
that is saved, and one whose big persistent disk comes home.
"""
from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from bed import Failed
from bed_cloud import BedCloud, bed_cloud
from bed_kills import KILLS
from cloud_process import until
from crash_ground import check_books_but_guests

from onecore.wire.client import ClientError

pytestmark = pytest.mark.live

BIG = 160
"""MB of random bytes: seconds on their way."""
HEADING = {"prolog": {"RUNNING"}, "boot": {"RUNNING", "POWEROFF"}, "save": {"STOPPED", "RUNNING", "POWEROFF"},
           "epilog": {"DONE"}}
"""Where each may end: its goal, or the state that it left, or what became of its guest meanwhile."""
UNDER_WAY = {"prolog": ("PROLOG", "BOOT"), "boot": ("BOOT_POWEROFF",), "save": ("SAVE_STOP",),
             "epilog": ("EPILOG", "DONE")}
"""Where the kill may find each: two are copies, which take a second or two, and may be over already."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BedCloud]:
    with bed_cloud(2, scheduler=False) as made:
        path = tmp_path_factory.mktemp("images") / "big.raw"
        with path.open("wb") as file:
            for _ in range(BIG):
                file.write(os.urandom(1 << 20))
        made.big = made.add_image("big", path, TYPE="DATABLOCK", FORMAT="raw")  # type: ignore[attr-defined]
        yield made


@dataclass
class Traffic:
    """The four VMs, each where the kill shall find it."""

    cloud: BedCloud
    vms: dict[str, int]
    own: int

    def begin(self) -> None:
        """Returns in the middle of all four: libvirtd is held until all have begun, then goes on for a moment."""
        first = self.cloud.bed.nodes[0]
        for name in ("save", "epilog"):
            self.cloud.arrives(self.vms[name], "RUNNING")
        self.cloud.act(self.vms["epilog"], "terminate-hard")
        until(20, "EPILOG", lambda: self.cloud.vm_state(self.vms["epilog"]) in UNDER_WAY["epilog"])
        first.stop("libvirtd")
        try:
            self.cloud.deploy_on(self.vms["prolog"], self.cloud.hosts[first.name], self.cloud.local)
            self.cloud.act(self.vms["boot"], "resume")
            self.cloud.act(self.vms["save"], "stop")
            time.sleep(0.1)
            states = {name: self.cloud.vm_state(vm) for name, vm in self.vms.items()}
        finally:
            first.cont("libvirtd")
        assert [name for name, state in states.items() if state not in UNDER_WAY[name]] == [], states
        time.sleep(0.1)

    def settle(self, victim: str) -> None:
        """Every VM rests after VICTIM was killed; what failed is tried again, once its host is on."""
        for oid in self.cloud.hosts.values():
            self.cloud.wait_host(oid, "MONITORED", 120)
        for name, vm in self.vms.items():
            until(300, f"{name} to rest", lambda vm=vm, name=name: self._rests(vm, name, victim),  # type: ignore[misc]
                  lambda vm=vm: f"{self.cloud.vm_state(vm)}: {self.cloud.error_of(vm)}")

    def _rests(self, vm: int, name: str, victim: str) -> bool:
        state = self.cloud.vm_state(vm)
        if state.endswith("_FAILURE"):
            with suppress(ClientError):  # it may be under way again already
                self.cloud.recover(vm)
        if (name, victim, state) == ("prolog", "node", "POWEROFF"):
            return True  # it ran by then, and its guest died with the node
        return state in HEADING[name]

    def end(self) -> None:
        """Terminate all; nothing is left anywhere."""
        for vm in self.vms.values():
            if self.cloud.vm_state(vm) != "DONE":
                self.cloud.act(vm, "terminate-hard")
        for vm in self.vms.values():
            self.cloud.arrives(vm, "DONE", 120)
        self.cloud.assert_nothing_left(*self.vms.values())
        for path in (*self.cloud.home.glob("datastores/1/*.tmp*"), *self.cloud.home.glob("datastores/1/*.part*")):
            raise AssertionError(f"left: {path}")


@pytest.fixture
def traffic(cloud: BedCloud) -> Iterator[Traffic]:
    """Four VMs on the first node: one on hold, one off, two running."""
    first, local = cloud.bed.nodes[0], cloud.local
    own = cloud.client.number("one.image.clone", cloud.big, f"own-{time.monotonic_ns()}")  # type: ignore[attr-defined]
    cloud.ready(own)
    cloud.client.call("one.image.persistent", own, True)
    vms = {"prolog": cloud.start_vm("prolog", local, {"IMAGE_ID": cloud.big}, hold=True),  # type: ignore[attr-defined]
           "boot": cloud.start_vm("boot", local, hold=True), "save": cloud.start_vm("save", local, hold=True),
           "epilog": cloud.start_vm("epilog", local, {"IMAGE_ID": own}, hold=True)}
    for name in ("boot", "save", "epilog"):
        cloud.deploy_on(vms[name], cloud.hosts[first.name], local)
    for name in ("boot", "save", "epilog"):
        cloud.arrives(vms[name], "RUNNING")
    cloud.act(vms["boot"], "poweroff-hard")
    cloud.arrives(vms["boot"], "POWEROFF")
    cloud.booted(vms["save"])
    yield Traffic(cloud, vms, own)
    cloud.client.call("one.image.delete", own)


@contextmanager
def nobody_runs_twice(cloud: BedCloud) -> Iterator[None]:
    """All the while each domain runs on one node at most."""
    over, twice = threading.Event(), set[str]()

    def look() -> None:
        while not over.wait(0.2):
            with suppress(Failed):  # a node that is crashing now
                many = Counter(domain for _, domain in cloud.guests())
                twice.update(domain for domain, times in many.items() if times > 1)
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    yield
    over.set()
    looking.join()
    assert twice == set()


@pytest.mark.parametrize("victim", KILLS)
def test_a_kill_in_the_middle(cloud: BedCloud, traffic: Traffic, victim: str, tmp_path: Path) -> None:
    with nobody_runs_twice(cloud):
        traffic.begin()
        KILLS[victim](cloud)
        traffic.settle(victim)
        check_books_but_guests(cloud)
        traffic.end()
