"""Backups of simulated clouds, and restoring them in place."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sim import Sim
from sim_ground import Ground

from onecore import app
from onecore.kinds import restore
from onecore.pool import backup

SECOND = "node2"


def save(sim: Sim) -> Path:
    """A backup of the cloud as it is."""
    sim.until(lambda: sim.core.store.given == sim.core.store.durable, what="commits")
    path = sim.home.parent / f"{sim.home.name}.backup"
    backup.save(sim.database, path, {}, force=True)
    return path


def rewind(sim: Sim, path: Path, ready: bool = True) -> None:
    """The manager is lost and comes back from a backup; hosts go on as they are."""
    sim.crash()
    with path.open("rb") as stream:
        app.restore_backup(sim.home, stream, lambda _: "", force=True)
    sim.boot().ready()
    if ready:
        compared(sim)


def compared(sim: Sim) -> None:
    """Wait until all hosts were compared."""
    sim.until(lambda: restore.compared(sim.core), limit=60, what="hosts to be compared")


def look(sim: Sim, *arguments: bool) -> dict[str, Any]:
    """The answer of onecore.reconcile."""
    found: dict[str, Any] = json.loads(sim.call("onecore.reconcile", *arguments))
    return found


def findings(sim: Sim, kind: str) -> list[tuple[int, int]]:
    """(host, VM) of each finding of a kind: wild, moved, changed, missing."""
    return [(host["id"], each["id"]) for host in look(sim)["hosts"] for each in host[kind]]


def deploy(ground: Ground, vm: int, host: int) -> None:
    """Start a VM on that host."""
    ground.sim.call("one.vm.deploy", vm, host)
    ground.sim.wait(vm, "RUNNING")
