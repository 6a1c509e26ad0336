"""The ground of the tests about high availability: three dummy hosts on a simulated clock, of which some go silent."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from scripted import give
from sim import Sim

from onecore.kinds.datastore import Datastore
from onecore.kinds.vm.record import History
from onecore.lifecycle.outbox import Owed
from onecore.pool.record import Record

HA: dict[str, Any] = {"after": 30, "fence": "dummy", "timeout": 20, "retry": 15}
BACK = 60.0
"""Simulated seconds in which a host that speaks again is ON."""


class HaGround:
    """A cloud whose hosts are node1, node2, node3."""

    def __init__(self, home: Path, hosts: int = 3, deadlines: dict[str, int] | None = None, **ha: Any) -> None:
        self.sim = Sim(home, config={"ha": {**HA, **ha}, "deadlines": deadlines or {}}).boot().ready()
        self.ids = [self.sim.add_host(f"node{n}") for n in range(1, hosts + 1)]
        self.quiet: set[int] = set()
        self.rules: list[dict[str, Any]] = []

    def vm(self, more: str = "", host: int = 1, store: int = -1) -> int:
        """A VM that runs on a host (1: node1)."""
        oid = int(self.sim.call("one.vm.allocate", f"CPU=1\nMEMORY=64\n{more}", False))
        self.sim.call("one.vm.deploy", oid, self.ids[host - 1], False, store)
        self.sim.wait(oid, "RUNNING")
        return oid

    def own_store(self) -> int:
        """A system datastore that each host has for itself."""
        oid = int(self.sim.call("one.datastore.allocate", "NAME=own\nTYPE=SYSTEM_DS\nTM_MAD=dummy\n", -1))
        kept = self.sim.get(Datastore, oid)
        self.put(replace(kept, template=kept.template.replace(b"YES", b"NO")))  # dummies say SHARED = YES
        return oid

    def put(self, record: Record) -> None:
        """Store a record, whatever the API would say of it."""
        def store() -> None:
            with self.sim.core.store.tx() as tx:
                tx.put(record)
        self.sim._inside(store)

    # -- what goes wrong

    def script(self, *rules: dict[str, Any]) -> None:
        """What the drivers do from now on, besides not to speak of silent hosts."""
        self.rules = list(rules)
        self._write()

    def silence(self, *hosts: int) -> None:
        """Nothing is heard of HOSTS any more; they are in ERROR when this returns."""
        self.quiet |= set(hosts)
        self._write()
        for host in hosts:
            self.until_host(host, "ERROR")

    def wake(self, *hosts: int) -> None:
        """They are heard of again; they are ON when this returns."""
        self.speak(*hosts)
        for host in hosts:
            self.until_host(host, "MONITORED")

    def speak(self, *hosts: int) -> None:
        """They are heard of again."""
        self.quiet -= set(hosts)
        self._write()

    def _write(self) -> None:
        silent = [{"action": "im.sample", "host": f"node{host}", "hang": True} for host in sorted(self.quiet)]
        give(self.sim.home, {"rules": [*silent, *self.rules]})

    def until_host(self, host: int, state: str) -> None:
        """Let time pass until a host is in STATE."""
        oid = self.ids[host - 1]
        self.sim.until(lambda: self.sim.host_state(oid) == state, BACK, f"node{host} to be {state}")

    def leave_copy(self, vm: int, host: int, generation: int = 1) -> None:
        """A guest runs on a host that should not: its switch lied."""
        path = self.sim.home / "dummy" / f"node{host}" / str(vm)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{generation} running 1 65536\n")

    # -- looking

    def error(self, host: int = 1) -> str:
        """What `onehost show` says is wrong."""
        body = ElementTree.fromstring(self.sim.call("one.host.info", self.ids[host - 1]))
        return body.findtext("TEMPLATE/ERROR", "")

    def vm_error(self, vm: int) -> str:
        """What `onevm show` says is wrong."""
        return ElementTree.fromstring(self.sim.call("one.vm.info", vm)).findtext("USER_TEMPLATE/ERROR", "")

    def vm_log(self, vm: int) -> str:
        """The VM's own log."""
        self.sim.advance(1)
        return (self.sim.home / "log" / "vm" / f"{vm}.log").read_text()

    def sent(self, action: str) -> int:
        """How often drivers were told to do ACTION."""
        return sum(command.action == action for command in self.sim.transport.sent)

    def owed(self) -> list[tuple[int, int, int, int, int]]:
        """(host, VM, generation, files, fenced) of all debts."""
        return sorted((o.hid, o.vid, o.generation, o.files, o.fenced) for o in self.sim.core.store.all(Owed))

    def stay(self, vm: int) -> History:
        """The last stay of a VM on a host."""
        return self.sim.get(History, (vm, self.sim.vm(vm).seq))

    def guests(self) -> dict[int, list[int]]:
        """The VMs that have a guest, by host."""
        return {n: found for n in range(1, len(self.ids) + 1) if (found := self.sim.guests(f"node{n}"))}


MakeHa = Callable[..., HaGround]
"""Makes a ground; the keyword arguments are HaGround's."""


@pytest.fixture
def make_ha(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeHa]:
    """make_ha(hosts=…, after=…) starts a simulated cloud with these settings of [ha]."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    made: list[HaGround] = []

    def make(**given: Any) -> HaGround:
        made.append(HaGround(tmp_path / f"ha{len(made)}", **given))
        return made[-1]
    yield make
    for ground in made:
        if ground.sim.loop is not None:
            ground.sim.close()


@pytest.fixture
def ha(make_ha: MakeHa) -> HaGround:
    """Three hosts, fenced by the dummy driver after 30 s in ERROR."""
    return make_ha()
