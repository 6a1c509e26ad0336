"""What only real hosts show: checks over SSH, guests and files and taps that were left, and their removal."""
from __future__ import annotations

import json
import time
from typing import Any

import pytest
from bed_cloud import SHARED, BedCloud
from cloud_process import until

pytestmark = pytest.mark.live
WILD = """<domain type='qemu'><name>stranger</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os>
</domain>"""


def ask(cloud: BedCloud, method: str, host: int, *arguments: object) -> dict[str, Any]:
    """The JSON of onecore.host.METHOD."""
    found: dict[str, Any] = json.loads(cloud.client.text(f"onecore.host.{method}", host, *arguments))
    return found


def test_hosts_are_well(cloud: BedCloud) -> None:
    """Every check of both; with a system datastore each kind."""
    for host in cloud.hosts.values():
        found = well(cloud, host)
        names = {one["name"] for one in found["checks"]}
        assert {"ssh", "libvirt", "clock", "im driver", "vm driver", f"storage {SHARED}", "bridge onebr"} <= names


def well(cloud: BedCloud, host: int) -> dict[str, Any]:
    """The checks of a host when all are passed; an answer that took long makes its clock doubtful once."""
    asked: list[dict[str, Any]] = []

    def passed() -> bool:
        asked.append(ask(cloud, "check", host))
        return bool(asked[-1]["ok"])
    until(60, "all checks to be passed", passed, lambda: [one for one in asked[-1]["checks"] if not one["ok"]])
    return asked[-1]


def test_what_was_left_is_found_and_removed(cloud: BedCloud) -> None:
    """VMs that the database forgot leave guests, files and a tap; a wild domain and a strange tap stay."""
    vms = [cloud.start_vm(f"left{store}", store, host=node.name)
           for store, node in zip((SHARED, cloud.local), cloud.bed.nodes, strict=True)]
    stays = cloud.start_vm("stays", SHARED, host=cloud.bed.nodes[0].name)
    for vm in (*vms, stays):
        cloud.arrives(vm, "RUNNING")
    first = cloud.bed.nodes[0]
    for vm in vms:
        cloud.recover(vm, 5)  # delete-db: the host is not asked
    first.run("sh", "-c", f"echo \"{WILD}\" > /tmp/wild.xml && virsh -c qemu:///system create /tmp/wild.xml")
    for tap in (f"one-{vms[0]}-7", "vnet77"):
        first.run("ip", "tuntap", "add", "dev", tap, "mode", "tap")
    try:
        _reconcile(cloud, vms)
        assert "vnet77" in first.taps() and (first.name, "stranger") in cloud.guests()
        cloud.arrives(stays, "RUNNING")
        assert cloud.directory(stays).exists()
        cloud.assert_nothing_left(*vms)
    finally:
        first.run("virsh", "-c", "qemu:///system", "destroy", "stranger", check=False)
        first.run("ip", "link", "delete", "vnet77", check=False)
    cloud.act(stays, "terminate-hard")
    cloud.arrives(stays, "DONE")
    cloud.assert_nothing_left(stays)


def _reconcile(cloud: BedCloud, vms: list[int]) -> None:
    time.sleep(12)  # what just changed is not judged
    until(20, "zombies in the bodies", lambda: [cloud.body("host", h).findtext("TEMPLATE/ZOMBIES")
                                                for h in cloud.hosts.values()] == [f"one-{vm}" for vm in vms])
    for vm, host in zip(vms, cloud.hosts.values(), strict=True):
        found = until(60, f"host {host} to be asked", lambda host=host: _asked(cloud, host))  # type: ignore[misc]
        assert [(one["id"], one["keep"]) for one in found["zombies"]] == [(vm, "")]
        assert vm in [one["vm"] for one in found["files"] if not one["keep"]]
        done = ask(cloud, "reconcile", host, False)["items"]
        assert [one["error"] for one in done if one["result"] not in ("removed", "kept")] == []
        assert {one["kind"] for one in done if one["result"] == "removed"} >= {"zombie", "file"}


def _asked(cloud: BedCloud, host: int) -> dict[str, Any]:
    """What was left on a host, told by itself; nothing while it cannot be asked."""
    found = ask(cloud, "orphans", host)
    return found if found["asked"] else {}


def test_sync(cloud: BedCloud) -> None:
    """Everything is made anew, and samples go on."""
    host = cloud.hosts[cloud.bed.nodes[0].name]
    before = cloud.body("host", host).findtext("MONITORING/TIMESTAMP")
    cloud.client.call("onecore.host.sync", host)
    until(60, "another sample", lambda: cloud.body("host", host).findtext("MONITORING/TIMESTAMP") not in ("", before))
    cloud.wait_host(host, "MONITORED", 60)
