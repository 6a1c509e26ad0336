"""kill -9 of oned or of a driver while VMs and images are on their way: all arrive, by themselves, once."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_process import Cloud, until
from crash_ground import Traffic, check_books, drivers, guests, kill_driver
from postgresql import Cluster


@pytest.fixture(scope="module")
def crash_cloud(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster | None) -> Iterator[Cloud]:
    """A cloud for all that is killed here."""
    cloud = Cloud(tmp_path_factory.mktemp("crash"), {}, cluster.database() if cluster else "").start()
    yield cloud
    cloud.stop()


@pytest.fixture
def traffic(crash_cloud: Cloud) -> Iterator[Traffic]:
    """VMs in the middle of every step."""
    cloud = crash_cloud
    cloud.dummy()
    made = Traffic(cloud, cloud.add_hosts(3), cloud.make_image(), cloud.make_network())
    made.start()
    yield made
    cloud.dummy()
    made.clear()


@pytest.mark.parametrize("victim", ["oned", "vm", "tm", "im"])
def test_everything_arrives_after_a_kill(traffic: Traffic, victim: str) -> None:
    """Every VM and image comes to where it was heading; leases, capacity and guests are as they must be."""
    cloud = traffic.cloud
    if victim == "oned":
        cloud.kill()
        cloud.start()
    else:
        kill_driver(cloud, victim)
    traffic.arrive()
    check_books(cloud)


def test_drivers_end_with_a_killed_oned(crash_cloud: Cloud) -> None:
    """Within 5 s of kill -9 no driver process of that oned is left."""
    pids = drivers(crash_cloud)
    crash_cloud.kill()
    until(5.0, "the drivers to end", lambda: not [p for p in pids.values() if _runs(p)])
    crash_cloud.start()
    assert set(drivers(crash_cloud).values()).isdisjoint(pids.values())


def test_a_guest_killed_behind_its_back_is_poweroff(crash_cloud: Cloud) -> None:
    """Within 2 s; the guest beside it runs on."""
    cloud = crash_cloud
    cloud.dummy()
    host = cloud.add_hosts(1)[0]
    name = cloud.body("host", host).findtext("NAME", "")
    first, second = cloud.make_vm(), cloud.make_vm()
    cloud.deploy(first, host)
    cloud.deploy(second, host)
    (cloud.home / "dummy" / name / str(first)).unlink()
    cloud.wait_vm(first, "POWEROFF", 2.0)
    assert (name, str(second)) in guests(cloud)
    for vm in (first, second):
        cloud.client.call("one.vm.recover", vm, 3)
        cloud.wait_vm(vm, "DONE")


def test_raw_output_of_a_tool_is_no_poison(crash_cloud: Cloud) -> None:
    """An error text with characters that neither SQL nor XML can carry: replaced, kept, shown."""
    cloud = crash_cloud
    cloud.dummy(rules=[{"action": "vm.deploy", "fail": "qemu: \x1b[31mbad\x00 name \udcff ü"}])
    vm = cloud.make_vm()
    cloud.client.call("one.vm.deploy", vm, cloud.add_hosts(1)[0])
    cloud.wait_vm(vm, "BOOT_FAILURE")
    error = cloud.body("vm", vm).findtext("USER_TEMPLATE/ERROR", "")
    assert error.endswith("qemu: \ufffd[31mbad\ufffd name \ufffd ü")
    cloud.dummy()
    cloud.client.call("one.vm.recover", vm, 2)
    cloud.wait_vm(vm, "RUNNING")
    cloud.client.call("one.vm.recover", vm, 3)
    cloud.wait_vm(vm, "DONE")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
