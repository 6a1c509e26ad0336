"""One sick host of five: the others hardly notice, nothing grows, the host is marked, and it comes back by itself."""
from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bed import Node
from bed_cloud import BedCloud, bed_cloud
from button_guest import button_image, button_vm
from cloud_process import template, until
from crash_ground import drivers

from onecore.wire.client import ClientError

pytestmark = pytest.mark.live

ROUNDS = 3
SICK: dict[str, tuple[Callable[[Node], object], Callable[[Node], object]]] = {
    "libvirtd stopped": (lambda node: node.stop("libvirtd"), lambda node: node.cont("libvirtd")),
    "sshd never answers": (lambda node: node.hung_sshd(), lambda node: node.start("sshd")),
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BedCloud]:
    with bed_cloud(5, scheduler=False) as made:
        made.button = button_image(made, tmp_path_factory.mktemp("images"))  # type: ignore[attr-defined]
        yield made


def deploys(cloud: BedCloud) -> list[float]:
    """Seconds from deploy to RUNNING of each VM, one a healthy host at a time; they are ended again."""
    took = []
    for node in cloud.bed.nodes[1:] * ROUNDS:
        began = time.monotonic()
        vm = button_vm(cloud, "quick", cloud.button, cloud.hosts[node.name])  # type: ignore[attr-defined]
        cloud.arrives(vm, "RUNNING")
        took.append(time.monotonic() - began)
        cloud.act(vm, "terminate-hard")
        cloud.arrives(vm, "DONE")
    return took


def size(cloud: BedCloud) -> dict[str, tuple[int, int]]:
    """(threads, KB of memory) of each driver process."""
    found = {}
    for family, pid in drivers(cloud).items():
        rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        found[family] = int(rows["Threads"]), int(rows["VmRSS"].split()[0])
    return found


@pytest.mark.parametrize("illness", SICK)
def test_a_sick_host_of_five(cloud: BedCloud, illness: str, capsys: pytest.CaptureFixture[str]) -> None:
    sick = cloud.bed.nodes[0]
    host, (begin, end) = cloud.hosts[sick.name], SICK[illness]
    stranded = button_vm(cloud, "stranded", cloud.button, host)  # type: ignore[attr-defined]
    cloud.arrives(stranded, "RUNNING")
    healthy, before = deploys(cloud), size(cloud)
    begin(sick)
    try:
        _burden(cloud, host)
        ill, after = deploys(cloud), size(cloud)
        cloud.wait_host(host, "ERROR", 120)
        until(60, "the guest there to be UNKNOWN", lambda: cloud.vm_state(stranded) == "UNKNOWN")
    finally:
        end(sick)
    cloud.wait_host(host, "MONITORED", 120)
    cloud.arrives(stranded, "RUNNING", 120)
    _end_all(cloud)
    for family, (threads, memory) in after.items():
        assert threads <= before[family][0] + 24, (family, before, after)
        assert memory <= before[family][1] + 64 * 1024, (family, before, after)
    with capsys.disabled():
        print(f"\n{illness}: deploy on the others {statistics.median(healthy):.3f} s before, "
              f"{statistics.median(ill):.3f} s meanwhile; (threads, KB) {before} -> {after}")


def _burden(cloud: BedCloud, host: int) -> None:
    """Work for the sick host, more than its lane takes at once, as long as nobody knows that it is sick."""
    for number in range(6):
        vm = cloud.client.number("one.vm.allocate", template(
            {"NAME": f"lost{number}", "CPU": "0.01", "MEMORY": "16", "GRAPHICS": {"TYPE": "NONE"},
             "DISK": {"IMAGE_ID": cloud.button}}), True)  # type: ignore[attr-defined]
        with contextlib.suppress(ClientError):
            cloud.client.call("one.vm.deploy", vm, host, False, 0)


def _end_all(cloud: BedCloud) -> None:
    """Terminate every VM, whatever became of it; nothing is left anywhere."""
    pool = ElementTree.fromstring(cloud.client.text("one.vmpool.info", -2, -1, -1, -1))
    vms = [int(vm.findtext("ID", "")) for vm in pool]
    for vm in vms:
        until(120, f"VM {vm} to rest", lambda vm=vm: _ended(cloud, vm),  # type: ignore[misc]
              lambda vm=vm: cloud.vm_state(vm))
    for vm in vms:
        cloud.arrives(vm, "DONE", 60)
    cloud.assert_nothing_left(*vms)


def _ended(cloud: BedCloud, vm: int) -> bool:
    """Whether the VM could be sent to its end now; in the middle of something it cannot."""
    try:
        cloud.act(vm, "terminate-hard")
    except ClientError:
        return cloud.vm_state(vm) == "DONE"
    return True
