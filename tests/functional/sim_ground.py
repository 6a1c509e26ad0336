"""What the simulated lives have in common: a small cloud, roads to each resting state, what may be left at the end."""
from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from scripted import give
from sim import Sim

from onecore.kinds.image.record import Image
from onecore.kinds.usage import usage
from onecore.kinds.vm.record import History, Vm, VmText
from onecore.kinds.vnet.record import Lease
from onecore.lifecycle.outbox import Outbox, Owed
from onecore.pool.schema import all_sql
from onecore.wire.states import ImageState

ROADS: dict[str, tuple[str, ...]] = {
    "PENDING": (), "HOLD": ("hold",), "RUNNING": ("deploy",), "POWEROFF": ("deploy", "poweroff"),
    "SUSPENDED": ("deploy", "suspend"), "STOPPED": ("deploy", "stop"), "UNDEPLOYED": ("deploy", "undeploy")}
"""How a new VM comes to each state in which it rests."""
ENDS = {"hold": "HOLD", "deploy": "RUNNING", "poweroff": "POWEROFF", "suspend": "SUSPENDED", "stop": "STOPPED",
        "undeploy": "UNDEPLOYED"}


@dataclass
class Ground:
    """A cloud of one host, one image and one network."""

    sim: Sim
    host: int
    image: int
    network: int

    def make(self, hold: bool = False) -> int:
        """A VM with a disk and a NIC."""
        text = f"CPU=1\nMEMORY=64\nDISK=[IMAGE_ID={self.image}]\nNIC=[NETWORK_ID={self.network}]\n"
        return int(self.sim.call("one.vm.allocate", text, hold))

    def act(self, vm: int, action: str) -> None:
        """An action, or `deploy`, or `recover-NAME`; it is answered when this returns."""
        if action == "deploy":
            self.sim.call("one.vm.deploy", vm, self.host)
        elif action.startswith("recover-"):
            names = ("failure", "success", "retry", "delete", "recreate", "deletedb")
            self.sim.call("one.vm.recover", vm, names.index(action.removeprefix("recover-")), True)
        else:
            self.sim.call("one.vm.action", action, vm)

    def bring(self, state: str) -> int:
        """A new VM in STATE."""
        vm = self.make()
        for action in ROADS[state]:
            self.act(vm, action)
            self.sim.wait(vm, ENDS[action])
        return vm

    def end(self, vm: int) -> None:
        """Terminate a VM while all dummies do as they should; nothing is left."""
        self.script()
        self.act(vm, "terminate")
        self.sim.wait(vm, "DONE")
        self.assert_nothing_left()

    def script(self, **script: object) -> None:
        """Another script for the dummy drivers, from their next action on."""
        give(self.sim.home, script)

    def hang(self, action: str) -> None:
        """That action hangs from now on."""
        self.script(rules=[{"action": action, "hang": True}])

    def assert_nothing_left(self) -> None:
        """No live VM, guest, lease, use of an image, command or debt."""
        sim, store = self.sim, self.sim.core.store
        sim.advance(1)
        for cls in (Vm, VmText, History, Lease, Outbox, Owed):
            assert list(store.all(cls)) == [], cls
        assert ImageState(sim.get(Image, self.image).state) is ImageState.READY
        assert sim.guests("node1") == []
        assert_sums(sim)
        assert usage(sim.core).sums.of(self.host) == (0, 0, 0, 0)


def assert_sums(sim: Sim) -> None:
    """What is derived equals what the records say: usage, and every record in memory is the one in SQL."""
    store = sim.core.store
    for host in {hid for vm in store.all(Vm) for hid in (vm.hid, vm.to_hid)}:
        vms = [vm for vm in store.all(Vm) if host in (vm.hid, vm.to_hid) and host >= 0]
        cpu, memory, disk, number = usage(sim.core).sums.of(host)
        assert (cpu, memory) == (sum(vm.cpu for vm in vms), sum(vm.memory for vm in vms) * 1024)
        assert (disk, number) == (sum(vm.disk_mb for vm in vms), len(vms))
    sim.until(lambda: store.given == store.durable, what="commits")
    with closing(sqlite3.connect(sim.database.path)) as connection:
        for cls in store.tables:
            kept = (cls(*row) for row in connection.execute(all_sql(cls)))
            assert {record.key(): record for record in kept if cls.live(record)} == store.tables[cls], cls


class Template:
    """A home that was prepared once and is copied for each test."""

    def __init__(self, home: Path) -> None:
        self._home = home
        sim = Sim(home).boot().ready()
        self._ids = sim.add_host(), sim.add_image(), sim.add_network()
        sim.advance(1)
        sim.close()

    def copy(self, home: Path, seed: int = 0, **deadlines: int) -> Ground:
        """A running cloud in HOME."""
        shutil.copytree(self._home, home)
        sim = Sim(home, seed, {"deadlines": deadlines} if deadlines else None).boot().ready()
        sim.until(lambda: sim.core.kinds["samples"].hosts, what="a sample")
        return Ground(sim, *self._ids)
