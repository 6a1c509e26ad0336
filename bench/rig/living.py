"""The second scene: VMs on dummy hosts with onesched; how soon one is placed, and how many a second become RUNNING."""
from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.endpoint.clients import Lean
from bench.endpoint.cloud import vm_template
from bench.endpoint.probes import tree, written_bytes
from bench.endpoint.report import latencies
from bench.endpoint.workers import Outcome
from bench.rig.processes import Failed
from bench.rig.scene import SETTLE, Scene
from onecore.wire.client import Client

LIFE_GOAL, PLACE_GOAL = 0.003, 100.0
WAIT = 120.0
CALM = 0.2
"""Seconds of rest before a VM is placed alone."""
PACE = 0.05
Event = dict[str, Any]


class Watch:
    """The change log of a cloud from now on."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._since = int(json.loads(client.text("onecore.events", -1, 0))["last"])

    def follow(self, what: str, seen: Callable[[Sequence[Event]], bool], pace: float = 0.0) -> None:
        """Hand on events as they come until SEEN says that it is enough; raises Failed when that takes too long."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            told = json.loads(self._client.text("onecore.events", self._since, 5))
            self._since = told["last"]
            if seen(told["events"]):
                return
            time.sleep(pace)
        raise Failed(f"waited {WAIT:g} s for {what}")


def live(scene: Scene) -> None:
    """Every figure of this scene."""
    client = scene.cloud.client(60.0)
    register(scene, client)
    scene.cloud.start_scheduler()
    place(scene, client)
    lifecycle(scene, client)
    client.close()


def register(scene: Scene, client: Client) -> None:
    """The hosts, all MONITORED."""
    for i in range(scene.sizes.hosts):
        client.call("one.host.allocate", f"bones{i:03d}", "dummy", "dummy", -1)
    end = time.monotonic() + WAIT
    while client.text("one.hostpool.info").count("<STATE>2</STATE>") < scene.sizes.hosts:
        if time.monotonic() > end:
            raise Failed(f"{scene.sizes.hosts} hosts are not MONITORED after {WAIT:g} s")
        time.sleep(0.1)


def place(scene: Scene, client: Client) -> None:
    """From the call that creates a VM until the change log tells that it has a host, on an idle cloud."""
    call, placed, running = Lean(scene.cloud.endpoint, scene.cloud.auth), [], []
    _one(call, Watch(client), 0)  # the first waits until onesched has read everything
    for i in range(scene.sizes.single):
        time.sleep(CALM)
        to_place, to_run = _one(call, Watch(client), 1 + i)
        placed.append(to_place * 1000)
        running.append(to_run * 1000)
    middle, worst = statistics.median(placed), max(placed)
    details = {"worst_ms": worst, "running_ms": statistics.median(running), "running_worst_ms": max(running)}
    scene.sheet.figure("placement of one VM, idle cloud", middle, "ms", PLACE_GOAL, "", details, f", worst {worst:.0f}")
    scene.sheet.figure("the same VM, create to RUNNING", statistics.median(running), "ms", None, "", {},
                       f", worst {max(running):.0f}")


def _one(call: Lean, watch: Watch, i: int) -> tuple[float, float]:
    """Seconds until VM I is placed, and until it is RUNNING."""
    begun = time.monotonic()
    vm = int(call("one.vm.allocate", vm_template("full", i, 1), False))
    reached: dict[str, float] = {}

    def seen(events: Sequence[Event]) -> bool:
        for event in events:
            if event["kind"] == "vm" and event["id"] == vm and event["new"]:
                reached.setdefault(event["new"], time.monotonic() - begun)
        return "RUNNING" in reached

    watch.follow(f"VM {vm} to be RUNNING", seen)
    return min(at for state, at in reached.items() if state != "PENDING"), reached["RUNNING"]


def lifecycle(scene: Scene, client: Client) -> None:
    """VMs created and RUNNING a second, counted from the first call to the last VM; and what was written for each."""
    wanted, pids = scene.sizes.lives, tree(scene.cloud.pid)
    time.sleep(SETTLE)
    before = [written_bytes(pid) for pid in pids]
    (out, ended), beside = scene.turns.beside(lambda: _lives(scene, client))
    time.sleep(SETTLE)
    oned, *drivers = [(written_bytes(pid) - then) / wanted / 1000 for pid, then in zip(pids, before, strict=True)]
    details = {**latencies(out.seconds), "create_s": out.ended - out.begun, "all_s": ended - out.begun}
    scene.sheet.rate(f"create to RUNNING, {wanted:,} VMs, {scene.sizes.hosts} hosts", wanted / (ended - out.begun),
                     beside, LIFE_GOAL, "25.9/s on 50 hosts, its limits lifted", details,
                     f", all created after {out.ended - out.begun:.1f} s")
    scene.sheet.figure("written for a way to RUNNING", oned, "KB", None, "730 KB", {"drivers_kb": sum(drivers)})


def _lives(scene: Scene, client: Client) -> tuple[Outcome, float]:
    """What the creating clients saw, and when the last VM was RUNNING."""
    watch, running = Watch(client), set[int]()

    def seen(events: Sequence[Event]) -> bool:
        running.update(event["id"] for event in events if event["kind"] == "vm" and event["new"] == "RUNNING")
        return len(running) >= scene.sizes.lives

    out, _ = scene.create(scene.sizes.lives, run=True)
    watch.follow(f"{scene.sizes.lives} VMs to be RUNNING", seen, PACE)
    return out, time.monotonic()
