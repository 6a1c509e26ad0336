"""Runs driver actions as a driver process does, on the tests' own machine, and keeps what they emit."""
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.context import Surroundings
from drivers.execute import execute
from drivers.journal import Journal
from drivers.token import Token
from drivers.vm.events import Watches
from onecore.wire.messages import Command, Doc, Log, Message, News, Result


class Bench:
    """One driver process's worth of actions on one home."""

    def __init__(self, home: Path, host: Doc, ssh: Doc | None = None, **settings: Any) -> None:
        self.host, self.messages = host, list[Message]()
        self._home, self._settings = home, {"kvm": settings, "ssh": ssh}
        self._around = self._begin()
        self._op = 0

    def _begin(self) -> Surroundings:
        return Surroundings(self._home, self._settings, time.monotonic, Token.wait, self.messages.append, Journal())

    def restart(self) -> None:
        """Another driver process from now on."""
        self.close()
        self._around = self._begin()

    def do(self, action: str, vm: Doc | None = None, *, family: str = "vm", driver: str = "kvm", timeout: float = 60.0,
           token: Token | None = None, **args: Any) -> Result:
        """Carry one command out."""
        self._op += 1
        args = {"host": self.host, **({"vm": vm} if vm else {}), **args}
        generation, number = (vm["generation"], vm["id"]) if vm else (0, -1)
        command = Command(self._op, 1, 1, generation, "lane", driver, action, ("vm", number), timeout, "live", args)
        return execute(self._around, family, command, token or Token())

    def ok(self, action: str, vm: Doc | None = None, **args: Any) -> Doc:
        """Carry one command out that must succeed; its data."""
        result = self.do(action, vm, **args)
        assert result.ok, result.error
        return result.data

    def watch(self, host: Doc | None = None) -> None:
        """Watch the host, or HOST; returns once it listens to libvirt: what happens earlier may be told twice."""
        self.ok("watch", **({"host": host} if host else {}))
        number = (host or self.host)["id"]

        def listens() -> bool:
            found = self._around.kept.get("kvm-watches", Watches).of(number)
            return found is not None and found._strand is not None
        until(listens, 60.0, f"the watch of host {number}")

    def states(self, number: int, hid: int | None = None) -> list[tuple[int, str]]:
        """Generation and state of the news about a VM (from host HID), in order."""
        return [(m.generation, m.state) for m in self.messages
                if isinstance(m, News) and m.vm == number and hid in (None, m.hid)]

    def log(self, level: str) -> list[str]:
        """What was logged at a level."""
        return [m.text for m in self.messages if isinstance(m, Log) and m.level == level]

    def close(self) -> None:
        """End its watches and connections."""
        self._around.kept.close()


def until(true: Callable[[], object], seconds: float, what: str = "") -> float:
    """Wait until something is true; the seconds it took.  Fails after SECONDS, and forty at least."""
    began, seconds = time.monotonic(), max(seconds, 40.0)
    while not true():
        assert time.monotonic() - began < seconds, f"{what or true}: not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began
