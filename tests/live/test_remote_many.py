"""Twenty hosts at once: samples, events and lanes hold, and what each process takes for them is told."""
from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from bed_cloud import BedCloud, bed_cloud
from button_guest import button_image, button_vm
from cloud_process import until
from crash_ground import drivers

from onecore.wire.client import ClientError

pytestmark = pytest.mark.live

HOSTS = 20
QUIET = 20.0
"""Seconds over which CPU is measured while nothing is asked for."""


@dataclass(frozen=True)
class Use:
    """What a process takes: threads, MB of memory, seconds of CPU so far."""

    threads: int
    memory: float
    cpu: float


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BedCloud]:
    settings = {"monitoring": {"host_period": 5, "host_silence": 30}, "deadlines": {"deploy": 240}}
    with bed_cloud(HOSTS, settings, scheduler=False) as made:
        made.button = button_image(made, tmp_path_factory.mktemp("images"))  # type: ignore[attr-defined]
        yield made


def use(pid: int) -> Use:
    """What process PID takes now."""
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Use(int(rows["Threads"]), int(rows["VmRSS"].split()[0]) / 1024, ticks / os.sysconf("SC_CLK_TCK"))


def of_all(cloud: BedCloud) -> dict[str, Use]:
    """What oned and each of its drivers take."""
    return {"oned": use(cloud.pid), **{family: use(pid) for family, pid in drivers(cloud).items()}}


def table(title: str, before: dict[str, Use], after: dict[str, Use], seconds: float) -> str:
    """The figures of a stretch of SECONDS, a line each process."""
    busy = {name: 100 * (now.cpu - before[name].cpu) / seconds for name, now in after.items()}
    rows = [f"  {name:5} {now.threads:4} threads {now.memory:7.1f} MB {busy[name]:6.2f} % of a core"
            for name, now in after.items()]
    return "\n".join([f"\n{title}", *rows])


def test_quiet(cloud: BedCloud, capsys: pytest.CaptureFixture[str]) -> None:
    """All are MONITORED; watching them costs little, and no thread a host but what SSH and events need."""
    before, began = of_all(cloud), time.monotonic()
    time.sleep(QUIET)
    after = of_all(cloud)
    with capsys.disabled():
        print(table(f"{HOSTS} hosts, quiet", before, after, time.monotonic() - began))
    assert all(now.threads <= 10 + 6 * HOSTS for now in after.values())


def test_a_guest_on_each(cloud: BedCloud, capsys: pytest.CaptureFixture[str]) -> None:
    """A VM on every host at once, seen when it dies, and ended at once."""
    before, began = of_all(cloud), time.monotonic()
    vms = [button_vm(cloud, f"many{oid}", cloud.button, oid) for oid in cloud.hosts.values()]  # type: ignore[attr-defined]
    for vm in vms:
        cloud.arrives(vm, "RUNNING", 300)
    took = time.monotonic() - began
    with capsys.disabled():
        print(table(f"a guest on each of {HOSTS} hosts, all RUNNING after {took:.1f} s", before, of_all(cloud), took))
    for guest in [guest for node in cloud.bed.nodes for guest in node.guests()]:
        os.kill(guest.pid, signal.SIGKILL)
    began = time.monotonic()
    until(120, "all to be seen off", lambda: {cloud.vm_state(vm) for vm in vms} == {"POWEROFF"})
    with capsys.disabled():
        print(f"  all {HOSTS} seen dead after {time.monotonic() - began:.1f} s")
    for vm in vms:
        cloud.act(vm, "terminate-hard")
    for vm in vms:
        cloud.arrives(vm, "DONE")
    cloud.assert_nothing_left(*vms)


def test_all_connections_break_at_once(cloud: BedCloud, capsys: pytest.CaptureFixture[str]) -> None:
    """Every sshd and its sessions killed: all hosts are back without help, and nothing piles up."""
    before = of_all(cloud)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda node: node.kill("sshd"), cloud.bed.nodes))
        time.sleep(3)
        list(pool.map(lambda node: node.start("sshd"), cloud.bed.nodes))
    began, vms = time.monotonic(), list[int]()
    for oid in cloud.hosts.values():
        cloud.wait_host(oid, "MONITORED", 120)
    for oid in cloud.hosts.values():
        vms.append(_deployed(cloud, oid))
    after = of_all(cloud)
    with capsys.disabled():
        print(table(f"{HOSTS} hosts after every sshd was killed, a guest on each", before, after,
                    time.monotonic() - began))
    for name, now in after.items():
        assert now.threads <= before[name].threads + 2 * HOSTS, (name, before, after)
    for vm in vms:
        cloud.act(vm, "terminate-hard")
    for vm in vms:
        cloud.arrives(vm, "DONE")


def _deployed(cloud: BedCloud, host: int) -> int:
    """One more VM on HOST, RUNNING at the first or a later try."""
    vm = button_vm(cloud, f"after{host}", cloud.button, host)  # type: ignore[attr-defined]

    def runs() -> bool:
        if cloud.vm_state(vm).endswith("_FAILURE"):
            with suppress(ClientError):  # it may be under way again already
                cloud.recover(vm)
        return cloud.vm_state(vm) == "RUNNING"
    until(240, f"VM {vm} to run", runs, lambda: (cloud.vm_state(vm), cloud.error_of(vm)))
    return vm
