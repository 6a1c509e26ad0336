"""Driver processes of a simulated cloud: the real drivers, inline, on pipes that take a moment and may lose things.

A command that takes time is a fiber (a thread, of which exactly one runs at any moment): a cancel finds it asleep.
"""
from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivers.inline import Inline
from drivers.token import Token
from onecore.lifecycle.clock import SimClock
from onecore.wire.messages import Cancel, Command, Hello, Message, Result

HOP = 0.01
"""The most that a message takes through a pipe, in seconds."""
SPAWN = 0.2
"""Seconds until a driver process is up."""


class Fiber:
    """A call that can be left in the middle and taken up again."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self.done = False
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Let it go on until it parks or ends."""
        self._go.release()
        self._back.acquire()

    def park(self) -> None:
        """Called inside: leave the word to who resumed it."""
        self._back.release()
        self._go.acquire()

    def _run(self, work: Callable[[], None]) -> None:
        self._go.acquire()
        try:
            work()
        finally:
            self.done = True
            self._back.release()


@dataclass
class Job:
    """A command at work in a driver."""

    command: Command
    fiber: Fiber
    token: Token = field(default_factory=Token)
    deaf: bool = False
    """It does not hear a cancel (a host that hangs)."""


class Family:
    """One driver process: its commands at work, its timers, its end of the pipe."""

    def __init__(self, name: str, transport: SimTransport) -> None:
        self.name, self.transport, self.alive = name, transport, True
        self.jobs: dict[int, Job] = {}
        self._current: Job | None = None
        self._next_tick = float("inf")
        clock = transport.clock
        self._inline = Inline(name, transport.home, transport.settings, clock.time, self._sleep, self._emit,
                              io.StringIO())

    def take(self, message: Message) -> None:
        """What came through the pipe."""
        if not self.alive:
            return
        if isinstance(message, Command):
            self._begin(message)
        elif isinstance(message, Cancel):
            self._cancel(message)

    def end(self) -> None:
        """Killed: nothing of it goes on, nothing more is heard of it."""
        self.alive = False
        for job in list(self.jobs.values()):
            job.token.cancel()
            while not job.fiber.done:
                self._enter(job)
        self.jobs.clear()
        self._inline.close()

    def _begin(self, command: Command) -> None:
        older = self.jobs.get(command.op)
        if older is not None:
            if older.command.attempt >= command.attempt:
                return
            if not older.deaf:
                older.token.cancel()
                self._enter(older)
        job = Job(command, Fiber(lambda: self._work(job)), deaf=self.transport.deaf(command))
        self.jobs[command.op] = job
        self._enter(job)

    def _work(self, job: Job) -> None:
        result = self._inline.run(job.command, job.token)
        if self.jobs.get(job.command.op) is job:
            del self.jobs[job.command.op]
        self._emit(result)

    def _cancel(self, message: Cancel) -> None:
        job = self.jobs.get(message.op)
        if job is None:
            self._emit(Result(message.op, message.attempt, self.transport.epoch(), False, "not here", cancelled=True))
        elif not job.deaf:
            job.token.cancel()
            self._enter(job)

    def _enter(self, job: Job) -> None:
        before, self._current = self._current, job
        job.fiber.resume()
        self._current = before
        self._watch_timers()

    def _sleep(self, seconds: float) -> None:
        """Called by the drivers, inside a fiber: park until time has passed, or a cancel comes."""
        job, clock = self._current, self.transport.clock
        assert job is not None, "only commands sleep"
        end = clock.monotonic() + (1e9 if job.deaf else seconds)
        clock.call_later(end - clock.monotonic(), lambda: None if job.fiber.done else self._enter(job))
        while self.alive and not job.token.cancelled and clock.monotonic() < end - 1e-9:
            job.fiber.park()

    def _watch_timers(self) -> None:
        """Have the turns of watches come when they are due."""
        clock = self.transport.clock
        due = self._inline.tick() if self.alive else None
        if due is not None and due < self._next_tick - 1e-9:
            self._next_tick = due
            clock.call_later(max(0.0, due - clock.time()), self._tick)

    def _tick(self) -> None:
        self._next_tick = float("inf")
        self._watch_timers()

    def _emit(self, message: Message) -> None:
        if self.alive:
            self.transport.carry(self, message)


class SimTransport:
    """Pipes and driver processes.  What goes wrong on the way is set by a test."""

    def __init__(self, clock: SimClock, home: Path, settings: Mapping[str, Any], rng: random.Random) -> None:
        self.clock, self.home, self.settings, self.rng = clock, home, settings, rng
        self.families: dict[str, Family] = {}
        self.sent: list[Command] = []
        """Every command that went out, oldest first."""
        self.epoch: Callable[[], int] = lambda: 0
        self.deaf: Callable[[Command], bool] = lambda command: False
        self.copies: Callable[[Message], int] = lambda message: 1
        """How often a message of a driver arrives: 0 loses it, 2 doubles it."""
        self.late: Callable[[Message], float] = lambda message: 0.0
        """Seconds that a message of a driver is held up."""
        self._order: dict[tuple[int, str], float] = {}

    def start(self, on_message: Callable[[str, Message], None], on_up: Callable[[str], None]) -> None:
        """Start all families."""
        self._on_message, self._on_up = on_message, on_up
        for family in ("vm", "tm", "im"):
            self._spawn(family)

    def send(self, family: str, message: Message) -> bool:
        """Into the pipe; False when nobody is there."""
        process = self.families.get(family)
        if process is None:
            return False
        if isinstance(message, Command):
            self.sent.append(message)
        self._later(id(process), "to", lambda: process.take(message))
        return True

    def replace(self, family: str) -> None:
        """Kill the process; a new one comes."""
        self.kill(family)

    def kill(self, family: str) -> None:
        """The process dies."""
        process = self.families.pop(family, None)
        if process is not None:
            process.end()
            self._spawn(family)

    def end(self) -> None:
        """All of them die for good (the core is gone)."""
        for process in self.families.values():
            process.end()
        self.families.clear()

    def carry(self, process: Family, message: Message) -> None:
        """From a driver to the core."""
        for _ in range(self.copies(message)):
            self._later(id(process), "from", lambda: self._arrive(process, message), self.late(message))

    def _arrive(self, process: Family, message: Message) -> None:
        if self.families.get(process.name) is process:
            self._on_message(process.name, message)

    def _spawn(self, family: str) -> None:
        self.clock.call_later(SPAWN, lambda: self._up(family))

    def _up(self, family: str) -> None:
        if family not in self.families:
            self.families[family] = Family(family, self)
            self._on_message(family, Hello(epoch=self.epoch(), family=family, pid=1))
            self._on_up(family)

    def _later(self, pipe: int, way: str, call: Callable[[], None], held: float = 0.0) -> None:
        """In the order of a pipe, unless it is held up on purpose."""
        now = self.clock.monotonic()
        at = max(self._order.get((pipe, way), 0.0), now + self.rng.random() * HOP)
        self._order[pipe, way] = at
        self.clock.call_later(at - now + held, call)
