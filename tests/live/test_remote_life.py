"""Two hosts over SSH, storage that they share and storage of their own: every action of a VM's life, on real guests."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from bed_cloud import SHARED, BedCloud, bed_cloud, pings
from cloud_process import template, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

KEEP_BOOTS = """mkdir -p /data; mount /dev/vdb /data || exit 1
cat /proc/sys/kernel/random/boot_id >> /data/boots; sync; cp /data/boots /www/"""
STORAGE = ("shared", "local")


@pytest.fixture(scope="module")
def cloud() -> Iterator[BedCloud]:
    with bed_cloud(2) as made:
        yield made


def store(cloud: BedCloud, storage: str) -> int:
    """The id of a system datastore."""
    return SHARED if storage == "shared" else cloud.local


def other(cloud: BedCloud, vm: int) -> int:
    """The id of the host on which the VM is not, and was not last."""
    return next(oid for name, oid in cloud.hosts.items() if name != cloud.node_of(vm).name)


def test_six_vms_in_one_go(cloud: BedCloud) -> None:
    """All RUNNING, on both hosts and both kinds of storage; each answers with its own address and name."""
    vms = [cloud.start_vm(f"go{number}", store(cloud, STORAGE[number % 2]), host=cloud.bed.nodes[number // 3].name)
           for number in range(6)]
    for vm in vms:
        cloud.arrives(vm, "RUNNING", 120)
    assert len({cloud.booted(vm) for vm in vms}) == 6
    assert sorted(cloud.guests()) == sorted((cloud.node_of(vm).name, f"one-{vm}") for vm in vms)
    for vm in vms:
        cloud.act(vm, "terminate-hard")
    for vm in vms:
        cloud.arrives(vm, "DONE")
    cloud.assert_nothing_left(*vms)


@pytest.mark.parametrize("storage", STORAGE)
def test_every_action(cloud: BedCloud, storage: str) -> None:
    """The guest's memory and disks follow it: from power off, from a checkpoint, to the other host and back."""
    vm = cloud.start_vm(f"all-{storage}", store(cloud, storage))
    cloud.arrives(vm, "RUNNING")
    boot = cloud.booted(vm)
    boot = _power_cycles(cloud, vm, boot)
    boot = _stop_and_go_elsewhere(cloud, vm, boot)
    _undeploy_and_go_elsewhere(cloud, vm, boot)
    cloud.act(vm, "terminate")
    cloud.arrives(vm, "DONE")
    cloud.assert_nothing_left(vm)


def _power_cycles(cloud: BedCloud, vm: int, boot: str) -> str:
    for off in ("poweroff", "poweroff-hard"):
        cloud.act(vm, off)
        cloud.arrives(vm, "POWEROFF")
        assert not pings(cloud.address(vm))
        cloud.act(vm, "resume")
        cloud.arrives(vm, "RUNNING")
        boot = cloud.booted(vm, boot)
    for again in ("reboot", "reboot-hard"):
        cloud.act(vm, again)
        boot = cloud.booted(vm, boot)
        cloud.arrives(vm, "RUNNING")
    cloud.act(vm, "suspend")
    cloud.arrives(vm, "SUSPENDED")
    cloud.act(vm, "resume")
    cloud.arrives(vm, "RUNNING")
    assert cloud.booted(vm) == boot
    return boot


def _stop_and_go_elsewhere(cloud: BedCloud, vm: int, boot: str) -> str:
    """The same boot goes on, on the other host."""
    for way in ("stop", "suspended"):
        if way == "suspended":
            cloud.act(vm, "suspend")
            cloud.arrives(vm, "SUSPENDED")
        where = other(cloud, vm)
        cloud.act(vm, "stop")
        cloud.arrives(vm, "STOPPED")
        assert cloud.guests() == []
        _move(cloud, vm, where)
        assert cloud.booted(vm) == boot
    return boot


def _undeploy_and_go_elsewhere(cloud: BedCloud, vm: int, boot: str) -> None:
    for action in ("undeploy", "undeploy-hard"):
        where = other(cloud, vm)
        cloud.act(vm, action)
        cloud.arrives(vm, "UNDEPLOYED")
        _move(cloud, vm, where)
        boot = cloud.booted(vm, boot)


def _move(cloud: BedCloud, vm: int, host: int) -> None:
    cloud.client.call("one.vm.deploy", vm, host, False, -1)
    cloud.arrives(vm, "RUNNING")
    assert cloud.hosts[cloud.node_of(vm).name] == host


@pytest.mark.parametrize("storage", STORAGE)
def test_a_persistent_disk_keeps_its_data(cloud: BedCloud, storage: str) -> None:
    """One image, two VMs one after the other, on different hosts: each adds a line and sees those before."""
    image = cloud.ready(cloud.client.number("one.image.allocate", template(
        {"NAME": f"data-{storage}", "TYPE": "DATABLOCK", "SIZE": "8", "FS": "ext4", "FORMAT": "raw",
         "DEV_PREFIX": "vd", "PERSISTENT": "YES"}), 1))
    boots = []
    for node in cloud.bed.nodes:
        vm = cloud.start_vm(f"keeper-{storage}-{node.index}", store(cloud, storage), {"IMAGE_ID": image},
                            host=node.name, script=KEEP_BOOTS)
        cloud.arrives(vm, "RUNNING")
        boots.append(cloud.booted(vm))
        until(30, "the page of boots", lambda vm=vm: cloud.page(vm, "/boots").split() == boots,  # type: ignore[misc]
              lambda vm=vm: cloud.page(vm, "/boots"))
        cloud.act(vm, "terminate")
        cloud.arrives(vm, "DONE")
        cloud.assert_nothing_left(vm)
    cloud.client.call("one.image.delete", image)
