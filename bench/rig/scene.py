"""What the scenes of a run share: sizes, the cloud at hand, the floor in turns, the sheet."""
from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bench.endpoint import workers
from bench.endpoint.clients import Lean
from bench.endpoint.cloud import make_image, make_network
from bench.endpoint.options import Options
from bench.endpoint.probes import Meter
from bench.endpoint.workers import Outcome
from bench.rig.processes import Cloud, Failed
from bench.rig.sheet import Sheet
from bench.rig.turns import Turns

CLIENTS = 8
SETTLE = 1.5
"""Seconds after which logs and what else is written behind an answer have been written."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How big a run is."""

    levels: tuple[int, ...] = (0, 1000, 5000, 10_000)
    """Numbers of VMs at which creating is measured."""
    chunk: int = 1000
    """VMs of one such measurement."""
    seconds: int = 2
    """Length of a run of wrk."""
    rounds: int = 3
    """Runs of wrk a figure."""
    hosts: int = 200
    lives: int = 1000
    """VMs that are brought to RUNNING."""
    single: int = 20
    """VMs that are placed one at a time."""
    pools: int = 10
    """Calls of each pool."""

    @classmethod
    def quick(cls) -> Sizes:
        """A tenth of everything."""
        return cls((0, 100, 500, 1000), 100, 1, 1, 20, 100, 5, 10)


@dataclass(frozen=True, slots=True)
class Scene:
    """One cloud under measurement."""

    cloud: Cloud
    turns: Turns
    sheet: Sheet
    sizes: Sizes
    directory: Path

    def options(self, n: int, run: bool = False) -> Options:
        """Options for the clients that create N VMs on the one network and image."""
        return Options(self.cloud.endpoint, self.cloud.auth, client="lean", n=n, nets=1, run=run)

    def create(self, n: int, run: bool = False) -> tuple[Outcome, Meter]:
        """Create N VMs with 8 lean clients, on hold unless RUN; raises Failed when a call was refused."""
        with Meter(self.cloud.pid) as meter:
            out = workers.fan(workers.allocate, n, min(CLIENTS, n), self.options(n, run))
        if out.errors:
            raise Failed(f"{out.errors} of {n} calls of one.vm.allocate failed, the first: {out.error}")
        return out, meter


def furnish(cloud: Cloud) -> None:
    """The network and the image that all VMs use."""
    call = Lean(cloud.endpoint, cloud.auth)
    make_image(call, 0, 1)
    make_network(call, 0, "dummy")
    _until_ready(cloud)


def _until_ready(cloud: Cloud) -> None:
    client, end = cloud.client(), time.monotonic() + 20
    while "<STATE>1</STATE>" not in client.text("one.image.info", 0):
        if time.monotonic() > end:
            raise Failed("the image is not READY after 20 s")
        time.sleep(0.05)
    client.close()
