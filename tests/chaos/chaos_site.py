"""The simulated cloud that is struck: two hosts, shared and local storage, one VM with two disks and an address."""
from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripted import give
from sim import Sim

from onecore.kinds.datastore import Datastore

DEADLINES = {"prolog": 30, "deploy": 20, "shutdown": 25, "destroy": 15, "save": 35, "restore": 35, "epilog": 40,
             "reboot": 15, "cleanup": 15, "migrate": 40, "hotplug": 20, "snapshot": 25, "exec": 30, "image": 30,
             "grace": 10}
"""Seconds; other ones than the defaults so that a simulated failure is not an hour away."""
SAMPLED = 10
"""Seconds from one sample of a host to the next."""
CONFIG: dict[str, dict[str, Any]] = {"deadlines": DEADLINES, "monitoring": {"host_period": SAMPLED},
                                     "ha": {"after": 25}}
HOSTS = ("node1", "node2")
STORES = ("shared", "local")
"""Where a VM's files may be: seen by all hosts, or on its host alone."""


@dataclass
class Site:
    """The ids of what there is; `vm` is the VM that everything is about, `image` the image."""

    sim: Sim
    hosts: tuple[int, ...]
    image: int
    own: int
    spare: int
    network: int
    stores: Mapping[str, int]
    store: str = "shared"
    vm: int = -1
    silent: tuple[str, ...] = ()
    written: int = 0
    """What a guest wrote on the spare disk, if it has it."""
    asked: list[str] = field(default_factory=list)
    """The methods that were called and answered."""
    beside: Site | None = None
    """The same with another VM and another `own`, if there is a second one."""
    told: list[str] = field(default_factory=list)
    """What dummies were told to do wrong since the run began."""

    def call(self, method: str, *arguments: object) -> Any:
        """A call of oneadmin, and its answer."""
        answer = self.sim.call(method, *arguments)
        if not method.endswith(".info"):
            self.asked.append(method)
        return answer

    def filled(self, arguments: tuple[object, ...]) -> list[object]:
        """ARGUMENTS with the ids of this site in their texts."""
        names = {"image": self.image, "spare": self.spare, "network": self.network}
        return [each.format(**names) if isinstance(each, str) and "{" in each else each for each in arguments]

    def act(self, action: str) -> None:
        """one.vm.action, deploy on the first host, or recover-OPERATION."""
        if action == "deploy":
            self.deploy()
        elif action.startswith("recover-"):
            word = action.removeprefix("recover-")
            self.call("one.vm.recover", self.vm, RECOVER.index(word), word in ("delete", "recreate"))
        else:
            self.call("one.vm.action", action, self.vm)

    def deploy(self, host: int = 0) -> None:
        """Start the VM."""
        store = -1 if self.sim.vm(self.vm).came else self.stores[self.store]
        self.call("one.vm.deploy", self.vm, self.hosts[host], False, store)

    def make(self, hold: bool = False) -> None:
        """The VM: a clone, a persistent disk and an address."""
        text = ("NAME=subject\nCPU=1\nMEMORY=64\nMEMORY_MAX=256\nVCPU=1\nVCPU_MAX=4\nCONTEXT=[TOKEN=x]\n"
                f"DISK=[IMAGE_ID={self.image}]\nDISK=[IMAGE_ID={self.own}]\nNIC=[NETWORK_ID={self.network}]\n")
        self.vm = int(self.call("one.vm.allocate", text, hold))

    def wait(self, *states: str) -> None:
        """Let time pass until the VM is in one of STATES."""
        self.sim.wait(self.vm, *states)

    def script(self, *rules: dict[str, Any], **more: Any) -> None:
        """What dummies do from now on; silent hosts stay so."""
        silence = [rule for host in self.silent for rule in (
            {"action": "im.sample", "host": host, "hang": True},
            {"action": "vm.watch", "host": host, "fail": "no route", "temporary": True})]
        self.told += [f"{rule}" for rule in (*silence, *rules)]
        give(self.sim.home, {"rules": [*silence, *rules], **more})

    def silence(self, *hosts: str) -> None:
        """From these hosts nothing is heard any more, from all others it is; nothing else goes wrong."""
        self.silent = hosts
        self.script()

    def guest(self) -> Path:
        """The file of the VM's guest on its host."""
        return self.sim.home / "dummy" / self.host_name() / str(self.vm)

    def host_name(self) -> str:
        """The host that the VM is on."""
        return HOSTS[self.hosts.index(self.sim.vm(self.vm).hid)]


RECOVER = ("failure", "success", "retry", "delete", "recreate", "deletedb")
Step = Callable[[Site], object]


def _found(home: Path) -> Site:
    """A cloud of nothing but what all starting places have."""
    sim = Sim(home, config=CONFIG).boot().ready()
    hosts = tuple(sim.add_host(name) for name in HOSTS)
    local = int(sim.call("one.datastore.allocate", "NAME=local\nTYPE=SYSTEM_DS\nTM_MAD=dummy\n", -1))
    kept = sim.get(Datastore, local)

    def make_local() -> None:
        with sim.core.store.tx() as tx:
            tx.put(replace(kept, template=kept.template.replace(b"YES", b"NO")))  # dummies say SHARED = YES
    sim._inside(make_local)
    return Site(sim, hosts, sim.add_image(), sim.add_image("own", persistent=True),
                sim.add_image("spare", persistent=True), sim.add_network(),
                {"shared": 0, "local": local})


class Stock:
    """Homes of clouds that stand at a starting place, each made once and copied for each run.

    `road`: the steps to a place, with nobody or a second VM of that name beside.
    """

    def __init__(self, base: Path, road: Callable[[str, str], tuple[Step, ...]]) -> None:
        self._base, self._road = base, road
        self._made: dict[tuple[str, str, str], Site] = {}

    def open(self, start: str, store: str, home: Path, seed: int, beside: str = "") -> Site:
        """A running cloud in HOME, at START, its VM's files in STORE, a second VM BESIDE it if that is a name."""
        made = self._made.get((start, store, beside)) or self._make(start, store, beside)
        shutil.copytree(made.sim.home, home)
        sim = Sim(home, seed, CONFIG)
        sim.wall = made.sim.wall
        sim.nets.update(made.sim.nets)
        sim.boot().ready().until(lambda: sim.core.kinds["samples"].hosts, what="a sample")
        site = replace(made, sim=sim, asked=[], told=list(made.silent))
        if made.beside:
            site.beside = replace(made.beside, sim=sim, asked=site.asked)
        return site

    def _make(self, start: str, store: str, beside: str) -> Site:
        site = _found(self._base / f"{start}-{store}-{beside}".replace(" ", "_"))
        site.store = store
        for step in self._road(beside, start):
            step(site)
        site.sim.advance(1)
        site.sim.close()
        self._made[start, store, beside] = site
        return site
