"""High availability with real processes: a host goes silent, oned is killed in the middle, the match-maker goes on."""
from __future__ import annotations

import time
from collections.abc import Sequence
from xml.etree import ElementTree

from cloud_process import Cloud, until
from makers import MakeCloud

CONFIG = {"monitoring": {"host_period": 1, "host_silence": 2}, "ha": {"after": 1, "fence": "dummy", "retry": 1}}


def _guests(cloud: Cloud, vm: int, names: Sequence[str]) -> list[str]:
    """The hosts that run VM."""
    return [name for name in names if (cloud.home / "dummy" / name / str(vm)).exists()]


def _history(cloud: Cloud, vm: int) -> list[ElementTree.Element]:
    return cloud.body("vm", vm).findall("HISTORY_RECORDS/HISTORY")


def test_a_vm_outlives_its_host_and_the_manager(make_cloud: MakeCloud) -> None:
    """Fenced, killed, fenced again, placed by onesched; the old copy ends before its host is ON; never two at once."""
    cloud = make_cloud(config=CONFIG)
    hosts = cloud.add_hosts(3)
    names = [cloud.body("host", oid).findtext("NAME", "") for oid in hosts]
    vm = cloud.make_vm()
    cloud.deploy(vm, hosts[0])
    cloud.dummy(rules=[{"action": "im.sample", "host": names[0], "hang": True}])
    until(30, "the fence", lambda: not _guests(cloud, vm, names))
    cloud.kill()
    cloud.start()
    cloud.start_scheduler()
    until(40, "the VM elsewhere", lambda: cloud.vm_state(vm) == "RUNNING" and len(_history(cloud, vm)) == 2,
          lambda: cloud.vm_state(vm))
    assert _history(cloud, vm)[1].findtext("HID") != str(hosts[0])
    assert len(_guests(cloud, vm, names)) == 1
    old = cloud.home / "dummy" / names[0] / str(vm)
    old.write_text("1 running 1 65536\n")
    cloud.dummy()
    cloud.wait_host(hosts[0], "MONITORED")
    assert names[0] not in _guests(cloud, vm, names) and len(_guests(cloud, vm, names)) == 1
    time.sleep(1)
    cloud.wait_vm(vm, "RUNNING")  # a machine that stood still for two seconds has it UNKNOWN for a moment
    assert len(_guests(cloud, vm, names)) == 1 and len(_history(cloud, vm)) == 2
