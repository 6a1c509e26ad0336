"""Two hosts over SSH, storage that they share and storage of their own: every action of a VM's life, on real guests."""
from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from bed_cloud import SHARED, BedCloud, pings
from button_guest import button_image, button_vm
from cloud_process import template, until

pytestmark = pytest.mark.live

KEEP_BOOTS = """mkdir -p /data; mount /dev/vdb /data || exit 1
cat /proc/sys/kernel/random/boot_id >> /data/boots; sync; cp /data/boots /www/"""
STORAGE = ("shared", "local")
REST = {"suspend": "SUSPENDED", "stop": "STOPPED", "poweroff": "POWEROFF", "undeploy": "UNDEPLOYED"}
DELETE, RECREATE = 3, 4
"""What one.vm.recover calls them."""


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


def test_every_action(cloud: BedCloud) -> None:
    """A VM on each kind of storage; memory and disks follow it, also to the other host."""
    pair = [cloud.start_vm(f"all-{storage}", store(cloud, storage)) for storage in STORAGE]
    _arrive(cloud, pair, "RUNNING")
    boots = [cloud.booted(vm) for vm in pair]
    boots = _power_cycles(cloud, pair, boots)
    _stop_and_go_elsewhere(cloud, pair, boots)
    _undeploy_and_go_elsewhere(cloud, pair, boots)
    _all(cloud, pair, "terminate", "DONE")
    cloud.assert_nothing_left(*pair)


def _arrive(cloud: BedCloud, vms: list[int], state: str) -> None:
    for vm in vms:
        cloud.arrives(vm, state)


def _all(cloud: BedCloud, pair: list[int], action: str, state: str) -> None:
    """The same action on both, and where it leads."""
    for vm in pair:
        cloud.act(vm, action)
    _arrive(cloud, pair, state)


def _reboot(cloud: BedCloud, pair: list[int], boots: list[str]) -> list[str]:
    return [cloud.booted(vm, boot) for vm, boot in zip(pair, boots, strict=True)]


def _power_cycles(cloud: BedCloud, pair: list[int], boots: list[str]) -> list[str]:
    for off in ("poweroff", "poweroff-hard"):
        _all(cloud, pair, off, "POWEROFF")
        assert not any(pings(cloud.address(vm)) for vm in pair)
        _all(cloud, pair, "resume", "RUNNING")
        boots = _reboot(cloud, pair, boots)
    for again in ("reboot", "reboot-hard"):
        for vm in pair:
            cloud.act(vm, again)
        boots = _reboot(cloud, pair, boots)
        _arrive(cloud, pair, "RUNNING")
    _all(cloud, pair, "suspend", "SUSPENDED")
    _all(cloud, pair, "resume", "RUNNING")
    assert [cloud.booted(vm) for vm in pair] == boots
    return boots


def _stop_and_go_elsewhere(cloud: BedCloud, pair: list[int], boots: list[str]) -> None:
    """The same boot goes on, on the other host: stopped while it ran, and after it was suspended."""
    for suspended in (False, True):
        if suspended:
            _all(cloud, pair, "suspend", "SUSPENDED")
        where = [other(cloud, vm) for vm in pair]
        _all(cloud, pair, "stop", "STOPPED")
        assert cloud.guests() == []
        _move(cloud, pair, where)
        assert [cloud.booted(vm) for vm in pair] == boots


def _undeploy_and_go_elsewhere(cloud: BedCloud, pair: list[int], boots: list[str]) -> None:
    for action in ("undeploy", "undeploy-hard"):
        where = [other(cloud, vm) for vm in pair]
        _all(cloud, pair, action, "UNDEPLOYED")
        _move(cloud, pair, where)
        boots = _reboot(cloud, pair, boots)


def _move(cloud: BedCloud, pair: list[int], hosts: list[int]) -> None:
    for vm, host in zip(pair, hosts, strict=True):
        cloud.deploy_on(vm, host)
    _arrive(cloud, pair, "RUNNING")
    assert [cloud.hosts[cloud.node_of(vm).name] for vm in pair] == hosts


def test_an_end_from_every_rest(cloud: BedCloud, tmp_path: Path) -> None:
    """Terminated or given up wherever they rest, on both kinds of storage, or made anew first: nothing is left."""
    image, hosts = button_image(cloud, tmp_path), list(cloud.hosts.values())
    ways = [*product(STORAGE, REST, ("terminate", "delete")), *product(STORAGE, ["poweroff"], ["recreate"])]
    vms = [button_vm(cloud, f"rest{number}", image, hosts[number % 2], store(cloud, storage))
           for number, (storage, _, _) in enumerate(ways)]
    _arrive(cloud, vms, "RUNNING")
    for vm, (_, action, _) in zip(vms, ways, strict=True):
        cloud.act(vm, action)
    for vm, (_, action, _) in zip(vms, ways, strict=True):
        cloud.arrives(vm, REST[action])
    anew = [vm for vm, (_, _, end) in zip(vms, ways, strict=True) if end == "recreate"]
    for vm in anew:
        cloud.recover(vm, RECREATE)
    _arrive(cloud, anew, "RUNNING")
    for vm, (_, _, end) in zip(vms, ways, strict=True):
        cloud.recover(vm, DELETE) if end == "delete" else cloud.act(vm, "terminate-hard" if vm in anew else "terminate")
    _arrive(cloud, vms, "DONE")
    cloud.assert_nothing_left(*vms)
    cloud.client.call("one.image.delete", image)


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
