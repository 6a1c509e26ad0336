"""What actions get from the runner: the process around them and the context of one command."""
from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from drivers.base import Cancelled, Executor, Temporary
from drivers.journal import Journal
from drivers.local import LocalExecutor
from drivers.ssh.settings import is_here
from drivers.token import Token
from onecore.wire.messages import Command, Doc, Log, Message, News, Progress, Sample

T = TypeVar("T")
_QUIET = 1.0
_MINUTE = 60.0


class Kept:
    """What drivers keep between commands, each made once and closed at the end."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._objects: dict[str, Any] = {}

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The object under KEY, made when first asked for."""
        with self._lock:
            if key not in self._objects:
                self._objects[key] = make()
            made: T = self._objects[key]
        return made

    def close(self) -> None:
        """Close what can be closed, the last made first."""
        with self._lock:
            objects = list(self._objects.values())
            self._objects.clear()
        for kept in reversed(objects):
            if hasattr(kept, "close"):
                kept.close()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all commands of a process share; clock, sleep and the way out are given."""

    home: Path
    settings: Mapping[str, Any]
    now: Callable[[], float]
    pause: Callable[[Token, float], object]
    """Sleep for some seconds or until the token is cancelled."""
    emit: Callable[[Message], None]
    journal: Journal
    kept: Kept = field(default_factory=Kept)


class Running:
    """The context of one command under way (drivers.base.Context)."""

    def __init__(self, around: Surroundings, command: Command, token: Token) -> None:
        self.home = around.home
        self.settings = around.settings
        self.rid = command.rid
        self.now = around.now
        self.emit: Callable[[News | Sample], None] = around.emit
        self._around = around
        self._command = command
        self._token = token
        self._executors: dict[str, Executor] = {}
        self._told = ("", 0.0)
        token.deadline = min(token.deadline, around.now() + command.timeout)

    @property
    def deadline(self) -> float:
        """When the command's time is up, on the clock of now()."""
        return self._token.deadline

    def sleep(self, seconds: float) -> None:
        """Sleep; raises Cancelled when cancelled meanwhile, Temporary when the command's time is up."""
        left = self.deadline - self.now()
        if left > 0:
            self._around.pause(self._token, min(seconds, left))
        self.check()
        if seconds >= left:
            raise Temporary(self._late())

    def check(self) -> None:
        """Raise Cancelled if the command was cancelled, Temporary if its time is up."""
        if self._token.cancelled:
            raise Cancelled("cancelled")
        if self.now() >= self.deadline:
            raise Temporary(self._late())

    def progress(self, step: str, done: int = 0, total: int = 0) -> None:
        """Renew the deadline and tell the core, at most once a second a step."""
        now = self.now()
        if not self._token.cancelled:
            self._token.deadline = now + self._command.timeout
        if self._told[0] != step or now - self._told[1] >= _QUIET:
            self._told = (step, now)
            self._around.emit(Progress(self._command.op, self._command.attempt, step, done, total))

    def log(self, level: str, text: str) -> None:
        """A line for the process's log, the core's and the VM's."""
        self._around.journal.line(level, self.rid, text)
        kind, oid = self._command.object
        self._around.emit(Log(level, text, oid if kind == "vm" else -1, self.rid))

    def host(self, host: Doc) -> Executor:
        """The host's executor: one a command, so that its fence sees all its children."""
        name = "" if is_here(host) else host["name"]
        if name not in self._executors:
            self._executors[name] = self._reach(host, self._token, self._left, None)
        return self._executors[name]

    def beyond(self, seconds: float) -> Running:
        """This command for SECONDS more, under the fences it holds, whatever becomes of its cancel and its time."""
        made = Running(self._around, replace(self._command, timeout=seconds), Token())
        made._executors = {name: executor.bound(made._token, made._left) for name, executor in self._executors.items()}
        return made

    def lasting(self, host: Doc) -> Executor:
        """The host's executor, bound to no command: each call has a minute if it does not say otherwise."""
        return self._reach(host, Token(), None, _MINUTE)

    def _reach(self, host: Doc, token: Token, left: Callable[[], float] | None, default: float | None) -> Executor:
        if is_here(host):
            return LocalExecutor(token, left, default)
        from drivers.ssh.executor import SshExecutor  # not loaded where all hosts are this machine
        from drivers.ssh.hosts import Hosts
        around = self._around
        hosts = self.keep("ssh", lambda: Hosts(around.home, around.settings.get("ssh"), around.now,
                                               lambda level, text: around.journal.line(level, "", text)))
        return SshExecutor(hosts, host, token, left, default)

    def keep(self, key: str, make: Callable[[], T]) -> T:
        """The process's object under KEY."""
        return self._around.kept.get(key, make)

    def _left(self) -> float:
        return self.deadline - self.now()

    def _late(self) -> str:
        return f"no end after {self._command.timeout:g} s"
