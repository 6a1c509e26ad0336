"""The manager is lost and comes back from a backup: what it does not know is shown, nothing is destroyed unasked."""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bed_cloud import SHARED, BedCloud, bed_cloud
from button_guest import button_image, button_vm
from cloud_process import ROOT, until

from onecore.wire.client import ClientError

pytestmark = pytest.mark.live


@pytest.fixture
def cloud() -> Iterator[BedCloud]:
    with bed_cloud(2, scheduler=False) as made:
        yield made


def _onecore(cloud: BedCloud, *words: str) -> str:
    done = subprocess.run([sys.executable, "-c", "from cli.onecore import main; raise SystemExit(main())", *words],
                          cwd=ROOT, env=cloud.environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _wild(cloud: BedCloud) -> set[str]:
    found = set()
    for host in cloud.hosts.values():
        said = json.loads(cloud.client.text("onecore.host.orphans", host))
        assert said["zombies"] == []
        found |= {each["name"] for each in said["wild"]}
    return found


def test_backup_three_more_vms_restore(cloud: BedCloud, tmp_path: Path) -> None:
    image, hosts = button_image(cloud, tmp_path), list(cloud.hosts.values())
    old = [button_vm(cloud, f"old{n}", image, hosts[n % 2], SHARED) for n in range(2)]
    for vm in old:
        cloud.arrives(vm, "RUNNING")
    file = tmp_path / "cloud.backup"
    _onecore(cloud, "backup", str(file), "--home", str(cloud.home))
    new = [button_vm(cloud, f"new{n}", image, hosts[n % 2], SHARED) for n in range(3)]
    for vm in new:
        cloud.arrives(vm, "RUNNING")
    running = cloud.guests()
    cloud.kill()
    _onecore(cloud, "restore", str(file), "--home", str(cloud.home), "--force")
    cloud.start()
    for host in hosts:
        cloud.wait_host(host, "MONITORED", 120)
    names = {f"one-{vm}" for vm in new}
    until(30, "the three to be shown as wild", lambda: _wild(cloud) == names, lambda: _wild(cloud))
    assert cloud.guests() == running
    with pytest.raises(ClientError, match="restored"):
        cloud.act(old[0], "terminate-hard")
    cloud.arrives(old[0], "RUNNING")
    assert cloud.guests() == running
    _onecore(cloud, "reconcile", "--accept")
    assert cloud.guests() == running, "accepting destroys nothing by itself"
    again = button_vm(cloud, "again", image, hosts[0], SHARED)
    assert again not in new
    cloud.arrives(again, "RUNNING")
    for vm in (*old, again):
        cloud.act(vm, "terminate-hard")
        cloud.arrives(vm, "DONE")
    cloud.assert_nothing_left(*old, again)
    assert {domain for _, domain in cloud.guests()} == {f"one-{vm}" for vm in new}
