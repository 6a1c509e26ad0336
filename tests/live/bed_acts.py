"""A VM on each kind of storage for the tests of a file: what is done with it by the API, and what it then shows."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

from bed_cloud import SHARED, BedCloud
from cloud_process import until

STORAGE = ("shared", "local")
GROWS: dict[str, Any] = {"MEMORY": "112", "MEMORY_MAX": "160", "VCPU_MAX": "2", "FEATURES": {"GUEST_AGENT": "YES"}}


@contextmanager
def pair_of(cloud: BedCloud, name: str) -> Iterator[list[int]]:
    """A VM on each kind of storage, up and running; nothing is left of them afterwards."""
    vms = [cloud.start_vm(f"{name}-{storage}", SHARED if storage == "shared" else cloud.local, **GROWS)
           for storage in STORAGE]
    for vm in vms:
        cloud.arrives(vm, "RUNNING")
    for vm in vms:
        cloud.booted(vm)
    yield vms
    for vm in vms:
        cloud.act(vm, "terminate-hard")
    for vm in vms:
        cloud.arrives(vm, "DONE")
    cloud.assert_nothing_left(*vms)


def other(cloud: BedCloud, vm: int) -> int:
    """The id of the host on which the VM is not, and was not last."""
    return next(oid for name, oid in cloud.hosts.items() if name != cloud.node_of(vm).name)


def host_of(cloud: BedCloud, vm: int) -> int:
    """The id of the host on which the VM is, or was last."""
    return cloud.hosts[cloud.node_of(vm).name]


def runs_on(cloud: BedCloud, vm: int) -> list[str]:
    """The nodes that have a domain of the VM."""
    return [name for name, guest in cloud.guests() if guest == f"one-{vm}"]


def change(cloud: BedCloud, vm: int, method: str, *arguments: object, state: str = "RUNNING") -> int:
    """A call that changes the VM, which is in STATE, and its end; what it gave. An error of it is one of the test."""
    cloud.client.call("one.vm.update", vm, "ERROR=", 1)
    cloud.arrives(vm, state)  # not UNKNOWN for a moment, of which other things are done
    given = int(cloud.patiently(f"one.vm.{method}", vm, *arguments))
    cloud.arrives(vm, state, 120)
    assert not cloud.body("vm", vm).findtext("USER_TEMPLATE/ERROR"), cloud.error_of(vm)
    return given


def go(cloud: BedCloud, vm: int, action: str, state: str) -> None:
    """An action, and where it leads."""
    cloud.act(vm, action)
    cloud.arrives(vm, state)


def last(cloud: BedCloud, vm: int, what: str) -> ElementTree.Element:
    """The newest WHAT (DISK, NIC …) of the VM's template."""
    return cloud.body("vm", vm).findall(f"TEMPLATE/{what}")[-1]


def disks(cloud: BedCloud, vm: int) -> dict[str, int]:
    """The guest's disks with their MB."""
    found = (disk.split(":") for disk in cloud.told(vm).get("disks", "").split())
    return {name: int(size) // 2048 for name, size in found}


def soon(what: str, true: Callable[[], object], now: Callable[[], object]) -> None:
    """Wait for WHAT to be true of the guest."""
    until(90, what, true, lambda: str(now()))


def answers(cloud: BedCloud, vm: int) -> str:
    """Wait until the guest answers; its boot id."""
    return cloud.told(vm)["boot_id"]
