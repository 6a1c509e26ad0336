"""Hosts flushed by the real daemons on dummy drivers: VMs move live a few at a time, whoever dies meanwhile."""
from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cloud_process import PATIENCE, ROOT, Cloud, until
from makers import MakeCloud

from onecore.wire.client import Client

pytestmark = pytest.mark.surface

QUICK = 'retry_seconds = 0.1\nretry_most_seconds = 1.0\nmessage_seconds = 0.1\nlog_level = "debug"\n'


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Iterator[Cloud]:
    """A cloud whose match-maker is not started yet."""
    made = make_cloud()
    yield made
    made.stop_scheduler()


def place(cloud: Cloud, vms: int, *hosts: int) -> list[int]:
    """Running VMs, spread over HOSTS in turn."""
    made = [cloud.make_vm(hold=True) for _ in range(vms)]
    for number, vm in enumerate(made):
        cloud.client.call("one.vm.deploy", vm, hosts[number % len(hosts)])
    for vm in made:
        cloud.wait_vm(vm, "RUNNING")
    return made


def drain(cloud: Cloud, host: int) -> dict[str, Any]:
    """What onecore.host.drain says."""
    found: dict[str, Any] = json.loads(cloud.client.text("onecore.host.drain", host))
    return found


def where(cloud: Cloud, vm: int) -> int:
    """The host of a VM."""
    return int(cloud.body("vm", vm).findall("HISTORY_RECORDS/HISTORY")[-1].findtext("HID", "-1"))


def path(cloud: Cloud, vm: int) -> list[str]:
    """The states that a VM came to."""
    events = json.loads(cloud.client.text("onecore.events", 0, 0))["events"]
    return [e["new"] for e in events if (e["kind"], e["id"], e["what"]) == ("vm", vm, "state")]


class Most:
    """The most migrations that were under way at once on a host, looked at again and again."""

    def __init__(self, cloud: Cloud, host: int) -> None:
        self.most, self._ended = 0, threading.Event()
        name, password = cloud.credentials()
        self._client = Client(cloud.endpoint, f"{name}:{password}", PATIENCE)
        self._host = host
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            left = json.loads(self._client.text("onecore.host.drain", self._host))["left"]
            self.most = max(self.most, sum("MIGRATE" in vm["state"] for vm in left))

    def end(self) -> int:
        """The figure."""
        self._ended.set()
        self._thread.join(5)
        self._client.close()
        return self.most


def test_a_flush_moves_all_live(cloud: Cloud) -> None:
    """Two at a time, never stopped, to hosts that are in use; `onehost flush --wait` returns when the host is empty."""
    first, *others = cloud.add_hosts(3)
    cloud.start_scheduler(QUICK)
    vms = place(cloud, 6, first)
    cloud.dummy(delay={"vm.migrate": 1.0})
    watch = Most(cloud, first)
    done = subprocess.run([sys.executable, "-c", "import sys, cli.main; sys.exit(cli.main.onehost())", "flush",
                           str(first), "--wait", "-v", "--timeout", "60"], cwd=ROOT, env=cloud.environment, text=True,
                          capture_output=True, timeout=90)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"HOST {first}: no VM is left on it" in done.stdout
    assert watch.end() == 2
    assert {where(cloud, vm) for vm in vms} == set(others)
    for vm in vms:
        assert path(cloud, vm)[-2:] == ["MIGRATE", "RUNNING"] and "SAVE_MIGRATE" not in path(cloud, vm)
    assert cloud.body("host", first).findtext("STATE") == "4" and drain(cloud, first)["since"] == 0
    assert "SCHED_MESSAGE" not in cloud.client.text("one.vmpool.infoextended", -2, -1, -1, -1)


def test_whoever_dies_meanwhile(cloud: Cloud) -> None:
    """oned and onesched are killed in the middle; the flush goes on by itself, and each VM has one guest."""
    first, other = cloud.add_hosts(2)
    cloud.start_scheduler(QUICK)
    vms = place(cloud, 6, first)
    cloud.hold("vm.migrate")
    cloud.client.call("onecore.host.flush", first)
    going = until(20, "a move to begin", lambda: [
        v["vm"] for v in drain(cloud, first)["left"] if v["state"] == "MIGRATE"])
    cloud.dummy(rules=[{"action": "vm.migrate", "vm": vm, "hold": True} for vm in vms if vm != going[0]])
    until(20, "the first to be moved", lambda: drain(cloud, first)["moved"])
    cloud.kill()
    cloud.stop_scheduler(signal.SIGKILL)
    cloud.start()
    assert drain(cloud, first)["since"]
    cloud.dummy(delay={"vm.migrate": 0.3})
    cloud.start_scheduler()
    until(60, "the end", lambda: not drain(cloud, first)["since"], lambda: drain(cloud, first))
    for vm in vms:
        cloud.wait_vm(vm, "RUNNING")
    assert {where(cloud, vm) for vm in vms} == {other}


def test_what_cannot_move_live(cloud: Cloud) -> None:
    """Is saved, or stays and says why, as the setting says."""
    first, other = cloud.add_hosts(2)
    cloud.start_scheduler(QUICK + 'rescheds = "live"\n')
    (vm,) = place(cloud, 1, first)
    cloud.dummy(rules=[{"action": "vm.migrate", "fail": "the guest is too busy"}])
    cloud.client.call("onecore.host.flush", first)

    def why(*words: str) -> Callable[[], bool]:
        return lambda: any(all(word in v["why"] for word in words) for v in drain(cloud, first)["left"])
    until(20, "the reason", why("live migration to host", "failed", "too busy"), lambda: drain(cloud, first))
    cloud.stop_scheduler()
    cloud.start_scheduler(QUICK)
    until(30, "the end", lambda: not drain(cloud, first)["since"], lambda: drain(cloud, first))
    cloud.wait_vm(vm, "RUNNING")
    assert where(cloud, vm) == other and "SAVE_MIGRATE" in path(cloud, vm)


def test_resched_without_a_drain(cloud: Cloud) -> None:
    """A running VM and one that is off go to another host once; requirements hold."""
    hosts = cloud.add_hosts(2)
    cloud.start_scheduler(QUICK)
    running, off = place(cloud, 2, hosts[0])
    cloud.client.call("one.vm.action", "poweroff", off)
    cloud.wait_vm(off, "POWEROFF")
    cloud.client.call("one.vm.update", off, f'SCHED_REQUIREMENTS="ID = {hosts[0]}"', 1)
    for vm in (running, off):
        cloud.client.call("one.vm.action", "resched", vm)
    until(20, "the move", lambda: where(cloud, running) == hosts[1])
    until(20, "the message", lambda: "Cannot move VM: 2 hosts: 1 is the one it is on, 1 does not match "
          f"SCHED_REQUIREMENTS (ID = {hosts[0]})" in cloud.client.text("one.vm.info", off))
    cloud.client.call("one.vm.update", off, f'SCHED_REQUIREMENTS="ID = {hosts[1]}"', 1)
    until(20, "the move of the one that is off", lambda: where(cloud, off) == hosts[1])
    cloud.wait_vm(off, "POWEROFF")
    cloud.wait_vm(running, "RUNNING")
    assert path(cloud, running).count("MIGRATE") == 1
    text = cloud.client.text("one.vm.info", off)
    assert "SCHED_MESSAGE" not in text and "<RESCHED>0</RESCHED>" in text
