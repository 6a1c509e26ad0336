"""A host goes silent: its VM is restarted elsewhere after fencing, and never without; what returns is cleaned first."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bed_cloud import SHARED, BedCloud, bed_cloud
from button_guest import button_image, button_vm
from cloud_process import Settings, until

pytestmark = pytest.mark.live
SILENCE = {"host_silence": 20}
"""Of [monitoring]: here a host shall be given up soon."""


def _vms_of(cloud: BedCloud, number: int) -> list[str]:
    return [node for node, domain in cloud.guests() if domain == f"one-{number}"]


@pytest.fixture
def lying(tmp_path: Path) -> Iterator[BedCloud]:
    """Fenced by a script that only says so: the old copy runs on, unseen."""
    script = tmp_path / "fence.sh"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$(cat)" >> {tmp_path}/fenced\n')
    script.chmod(0o755)
    settings: Settings = {"ha": {"after": 3, "fence": "script"}, "monitoring": SILENCE,
                          "drivers": {"script": {"path": str(script)}}}
    with bed_cloud(2, settings) as made:
        yield made


def test_the_old_copy_is_ended_before_its_host_is_on(lying: BedCloud, tmp_path: Path) -> None:
    cloud = lying
    first, second = cloud.bed.nodes
    image = button_image(cloud, tmp_path)
    vm = button_vm(cloud, "precious", image, cloud.hosts[first.name], SHARED, READONLY="YES")
    cloud.arrives(vm, "RUNNING")
    first.cut()
    until(180, "the VM to run elsewhere", lambda: _vms_of(cloud, vm) == sorted([first.name, second.name]),
          lambda: (cloud.vm_state(vm), cloud.error_of(vm), cloud.guests()))
    cloud.arrives(vm, "RUNNING")
    assert (tmp_path / "fenced").read_text().count(first.name) >= 1
    first.mend()
    host = cloud.hosts[first.name]
    until(180, "the host to be on", lambda: cloud.body("host", host).findtext("STATE") == "2")
    assert _vms_of(cloud, vm) == [second.name], "the host was ON before the old copy was ended"
    cloud.arrives(vm, "RUNNING")
    cloud.act(vm, "terminate-hard")
    cloud.arrives(vm, "DONE")
    cloud.assert_nothing_left(vm)


@pytest.fixture
def leasing() -> Iterator[BedCloud]:
    """Fenced when the hypervisor has let go of the VMs' disks."""
    settings: Settings = {"ha": {"after": 3, "fence": "lease"}, "monitoring": SILENCE,
                          "drivers": {"lease": {"file_systems": ["ext4"], "settle": 3}}}
    with bed_cloud(2, settings) as made:  # one kernel: its hosts do see each other's locks on ext4
        yield made


def test_nothing_is_restarted_while_the_disks_are_held(leasing: BedCloud) -> None:
    """Cut off, the guest holds its disk: no restart, and the reason is told.  Dead, it holds nothing: restarted."""
    cloud = leasing
    first, second = cloud.bed.nodes
    vm = cloud.start_vm("held", SHARED, host=first.name)
    local = cloud.start_vm("at-home", cloud.local, host=first.name)
    for one in (vm, local):
        cloud.arrives(one, "RUNNING")
    boot, host = cloud.booted(vm), cloud.hosts[first.name]
    cloud.client.call("one.vm.update", vm, 'SCHED_REQUIREMENTS=""', 1)
    first.cut()
    until(180, "the refusal to be told", lambda: "fenc" in cloud.body("host", host).findtext("TEMPLATE/ERROR", ""),
          lambda: cloud.body("host", host).findtext("TEMPLATE/ERROR"))
    assert cloud.vm_state(vm) == "UNKNOWN" and _vms_of(cloud, vm) == [first.name]
    first.mend()
    cloud.wait_host(host, "MONITORED", 120)
    cloud.arrives(vm, "RUNNING")
    assert cloud.booted(vm) == boot
    first.crash()
    until(240, "the VM to run elsewhere", lambda: _vms_of(cloud, vm) == [second.name],
          lambda: (cloud.vm_state(vm), cloud.error_of(vm), cloud.body("host", host).findtext("TEMPLATE/ERROR")))
    cloud.arrives(vm, "RUNNING")
    assert cloud.booted(vm, boot)
    assert cloud.vm_state(local) == "UNKNOWN", "its disks are on the dead host"
    cloud.bed.start(first)
    cloud.wait_host(host, "MONITORED", 120)
    until(120, "the local VM to be seen off", lambda: cloud.vm_state(local) == "POWEROFF")
    for one in (vm, local):
        cloud.act(one, "terminate-hard")
        cloud.arrives(one, "DONE")
    cloud.assert_nothing_left(vm, local)
