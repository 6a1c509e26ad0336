"""The ground of the tests about hosts: some dummy hosts on a simulated clock, what lies on them, and what is seen."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from scripted import give
from sim import Sim

from onecore.kinds.datastore import Datastore
from onecore.kinds.host.record import Host
from onecore.pool.record import Record
from onecore.wire.messages import Command


class HostGround:
    """A cloud with hosts node1, node2 …, ids in `ids`."""

    def __init__(self, home: Path, hosts: int = 2) -> None:
        self.sim = Sim(home).boot().ready()
        self.ids = [self.sim.add_host(f"node{n}") for n in range(1, hosts + 1)]

    # -- making

    def vm(self, host: int = 1, store: int = -1, more: str = "") -> int:
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

    def end(self, vm: int) -> None:
        """A VM to its end, a while ago."""
        self.sim.call("one.vm.action", "terminate-hard", vm)
        self.sim.wait(vm, "DONE")
        self.sim.advance(30)

    def put(self, record: Record) -> None:
        """Store a record, whatever the API would say of it."""
        def store() -> None:
            with self.sim.core.store.tx() as tx:
                tx.put(record)
        self.sim._inside(store)

    # -- what drivers do and hosts hold

    def script(self, *rules: dict[str, Any], **more: Any) -> None:
        """The dummy drivers' script from now on."""
        give(self.sim.home, {"rules": list(rules), **more})

    def lay(self, host: int, path: str, text: str = "40") -> None:
        """A file of a dummy host: a guest (`12`, `GENERATION STATE CPU KB`), `dirs/DS-VM` (MB), `taps/NAME`."""
        file = self.sim.home / "dummy" / f"node{host}" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def guest(self, host: int, vm: int, generation: int = 1) -> None:
        """A guest that runs on a host, whatever the core thinks of it."""
        self.lay(host, str(vm), f"{generation} running 1 65536\n")

    def lies(self, host: int, path: str) -> bool:
        """Whether a file of a dummy host is there."""
        return (self.sim.home / "dummy" / f"node{host}" / path).exists()

    # -- looking

    def host(self, host: int = 1) -> Host:
        """The record."""
        return self.sim.get(Host, self.ids[host - 1])

    def state(self, host: int = 1) -> str:
        """The host's state by name."""
        return self.sim.host_state(self.ids[host - 1])

    def until_state(self, state: str, host: int = 1, limit: float = 60.0) -> None:
        """Let time pass until a host is in STATE."""
        self.sim.until(lambda: self.state(host) == state, limit, f"node{host} to be {state}, not {self.state(host)}")

    def told(self, name: str, host: int = 1) -> str:
        """An attribute in the TEMPLATE of the host's body."""
        body = ElementTree.fromstring(self.sim.call("one.host.info", self.ids[host - 1]))
        return body.findtext(f"TEMPLATE/{name}", "")

    def ask(self, method: str, *arguments: object, host: int = 1) -> dict[str, Any]:
        """The JSON that onecore.host.METHOD answers."""
        found: dict[str, Any] = json.loads(self.sim.call(f"onecore.host.{method}", self.ids[host - 1], *arguments))
        return found

    def sent(self, action: str, host: int = 1) -> list[Command]:
        """What drivers were told to do about a host."""
        return [c for c in self.sim.transport.sent if c.action == action and c.lane == f"node{host}"]

    def watches(self, host: int = 1) -> list[Command]:
        """The watches that im was told of."""
        return [command for command in self.sent("watch", host) if "period" in command.args]

    def log(self) -> str:
        """The core's log."""
        self.sim.advance(1.1)
        return (self.sim.home / "log" / "oned.log").read_text()

    def rows(self, host: int = 1) -> list[tuple[str, str, str, str, str]]:
        """(what, old, new, keys, method) of the host's rows in the change log."""
        sql = "SELECT what, old, new, keys, method FROM log WHERE kind = 'host' AND oid = :oid ORDER BY seq, n"
        return [tuple(row) for row in self.sim.database.rows(sql, {"oid": self.ids[host - 1]})]


@pytest.fixture
def make_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., HostGround]]:
    """make_hosts(3) starts a simulated cloud of three hosts."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    made: list[HostGround] = []

    def make(hosts: int = 2) -> HostGround:
        made.append(HostGround(tmp_path / f"hosts{len(made)}", hosts))
        return made[-1]
    yield make
    for ground in made:
        if ground.sim.loop is not None:
            ground.sim.close()


@pytest.fixture
def cloud2(make_hosts: Callable[..., HostGround]) -> HostGround:
    """A simulated cloud of two hosts."""
    return make_hosts()
