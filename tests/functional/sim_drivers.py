"""Driver processes of a simulated cloud: the real drivers, inline, on pipes that take a moment and may lose things.

A command that takes time is a fiber (a thread, of which exactly one runs at any moment): a cancel finds it asleep.
"""
from __future__ import annotations

import _thread
import io
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sim_points import CORE, DEATHS, DRIVER, ENDS, STUCK, Crash, Points, Strike

from drivers.base import Cancelled, DriverError, Permanent, Temporary
from drivers.dummy.moments import Moments
from drivers.dummy.script import Fate
from drivers.dummy.shelf import Shelf
from drivers.dummy.stage import Stage
from drivers.dummy.world import World
from drivers.execute import refusal
from drivers.inline import Inline
from drivers.token import Token
from onecore.lifecycle.clock import SimClock
from onecore.wire.messages import Cancel, Command, Doc, Hello, Message, Result

HOP = 0.01
"""The most that a message takes through a pipe, in seconds."""
SPAWN = 0.2
"""Seconds until a driver process is up."""


T = TypeVar("T")
QUIET = frozenset(("watch", "unwatch", "monitor"))
"""Commands that come all the time, and at which nothing is struck."""


class Buried(BaseException):
    """A fiber of a process that is gone is let go of."""


class Fiber:
    """A call that can be left in the middle and taken up again."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._go, self._back = _thread.allocate_lock(), _thread.allocate_lock()
        self._go.acquire()
        self._back.acquire()
        self._buried = False
        self.done = False
        _thread.start_new_thread(self._run, (work,))

    def resume(self) -> None:
        """Let it go on until it parks or ends."""
        self._go.release()
        self._back.acquire()

    def park(self) -> None:
        """Called inside: leave the word to who resumed it."""
        if not self._buried:
            self._back.release()
            self._go.acquire()
        if self._buried:
            raise Buried

    def bury(self) -> None:
        """It never goes on: end its thread."""
        self._buried = True
        if not self.done:
            self.resume()

    def _run(self, work: Callable[[], None]) -> None:
        self._go.acquire()
        try:
            if not self._buried:
                work()
        except Buried:
            pass
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
    successor: Command | None = None
    """The newer attempt, which begins when this one has ended."""


Net = tuple[str, int, str]
"""(host, VM, NIC_ID) of a NIC whose network is up."""


class SimStage(Stage):
    """A stage that tells of every act, and remembers which networks are up."""

    def __init__(self, home: Path, settings: Mapping[str, Any], on_act: Callable[[], None], nets: set[Net]) -> None:
        super().__init__(home, settings)
        self._on_act, self._nets = on_act, nets

    def fate(self, action: str, host: Doc, vm: Doc | None) -> Fate:
        """As ever, after it was told."""
        self._on_act()
        fate = super().fate(action, host, vm)
        if vm is not None and not fate.fail and not fate.hang and action in ("net.pre", "net.clean"):
            nets = {(str(host.get("name", "")), int(vm["id"]), str(nic["NIC_ID"])) for nic in vm.get("nics", ())}
            self._nets.update(nets) if action == "net.pre" else self._nets.difference_update(nets)
        return fate


def _telling(cls: type[T], writes: tuple[str, ...], tell: Callable[[], None]) -> type[T]:
    """CLS, whose methods WRITES are told of before they are carried out."""
    def told(name: str) -> Callable[..., Any]:
        plain = getattr(cls, name)

        def call(self: T, *arguments: Any) -> Any:
            tell()
            return plain(self, *arguments)
        return call
    return type(f"Telling{cls.__name__}", (cls,), {name: told(name) for name in writes})


class Family:
    """One driver process: its commands at work, its timers, its end of the pipe."""

    def __init__(self, name: str, transport: SimTransport) -> None:
        self.name, self.transport, self.alive = name, transport, True
        self.jobs: dict[int, Job] = {}
        self.journal = io.StringIO()
        self._current: Job | None = None
        self._doom = ""
        self._next_tick = float("inf")
        clock = transport.clock
        self._inline = Inline(name, transport.home, transport.settings, clock.time, self._sleep, self._emit,
                              self.journal)
        self._inline.keep("dummy.stage", SimStage(transport.home, transport.settings.get("dummy", {}), self._act,
                                                  transport.nets))
        root = transport.home / "dummy"
        self._inline.keep("dummy.world", _telling(World, ("put", "drop", "move", "remove"), self._act)(root))
        self._inline.keep("dummy.moments", _telling(Moments, ("put", "clear"), self._act)(root))
        self._inline.keep(f"dummy.shelf.{name}", _telling(
            Shelf, ("put", "drop", "put_image", "drop_image"), self._act)(root, name))

    def take(self, message: Message) -> None:
        """What came through the pipe."""
        if not self.alive:
            return
        if isinstance(message, Command):
            self._begin(message)
        elif isinstance(message, Cancel):
            self._cancel(message)

    def end(self) -> None:
        """The core is gone: what is under way is cancelled, nothing more is heard of it."""
        self.alive = False
        for job in list(self.jobs.values()):
            job.token.cancel()
            if not job.deaf and not job.fiber.done:
                job.fiber.resume()
        self.die()

    def die(self) -> None:
        """kill -9: nothing of it goes on."""
        self.alive = False
        self.transport.graves += [job.fiber for job in self.jobs.values() if not job.fiber.done]
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
            if not older.deaf and not older.fiber.done:
                older.successor = command  # it cleans up first
                return
        job = Job(command, Fiber(lambda: self._work(job)), deaf=self.transport.deaf(command))
        self.jobs[command.op] = job
        self._enter(job)

    def _work(self, job: Job) -> None:
        try:
            self._reach("step.before", job)
            result = self._inline.run(job.command, job.token)
        except DriverError as error:
            result = refusal(job.command, str(error), temporary=error.temporary, cancelled=job.token.cancelled)
        self._reach("step.after", job)
        if self.jobs.get(job.command.op) is job:
            del self.jobs[job.command.op]
        self._emit(result)
        if job.successor is not None:
            self.transport.clock.call_later(0.0, partial(self.take, job.successor))

    def _cancel(self, message: Cancel) -> None:
        job = self.jobs.get(message.op)
        if job is None or job.command.attempt != message.attempt:
            self._emit(Result(message.op, message.attempt, self.transport.epoch(), False, "not here", cancelled=True))
        elif not job.deaf:
            job.token.cancel()
            self._enter(job)

    def _enter(self, job: Job) -> None:
        if not self.alive:
            return
        before, self._current = self._current, job
        job.fiber.resume()
        self._current = before
        doom, self._doom = self._doom, ""
        if doom:
            self.transport.perform(doom, self.name)
        self._watch_timers()

    def _sleep(self, seconds: float) -> None:
        """Called by the drivers, inside a fiber: park until time has passed, or a cancel comes."""
        job, clock = self._current, self.transport.clock
        assert job is not None, "only commands sleep"
        end = clock.monotonic() + (1e9 if job.deaf else seconds)
        clock.call_later(end - clock.monotonic(), lambda: None if job.fiber.done else self._enter(job))
        while self.alive and (job.deaf or not job.token.cancelled) and clock.monotonic() < end - 1e-9:
            job.fiber.park()

    # -- points

    def _act(self) -> None:
        """Whatever the drivers do next."""
        if self._current is not None:
            self._reach("step.middle", self._current)

    def _reach(self, point: str, job: Job) -> None:
        """Called inside a fiber."""
        strike = self.transport.reach(point, job.command) if self.alive else None
        if strike is None:
            return
        if strike.fault in DEATHS:
            self._doom = strike.fault
            job.fiber.park()
        elif strike.fault in STUCK:
            self._stick(job, strike)
        elif strike.fault in ENDS:
            raise (Permanent if strike.fault == "fail" else Temporary)("struck")
        else:
            self._sleep(strike.amount)
        if job.token.cancelled and point != "step.after":
            raise Cancelled("cancelled")

    def _stick(self, job: Job, strike: Strike) -> None:
        before, job.deaf = job.deaf, strike.fault != "hang"
        if strike.fault != "late":
            return self._sleep(math.inf if job.deaf else 1e9)
        clock = self.transport.clock
        end = clock.monotonic() + strike.amount
        clock.call_later(strike.amount, lambda: None if job.fiber.done else self._enter(job))
        while clock.monotonic() < end - 1e-9:
            job.fiber.park()
        job.deaf = before

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
    """Pipes and driver processes.  What goes wrong on the way is set by a test, or struck at a point."""

    def __init__(self, clock: SimClock, home: Path, settings: Mapping[str, Any], rng: random.Random,
                 points: Points | None = None, nets: set[Net] | None = None) -> None:
        self.clock, self.home, self.settings, self.rng = clock, home, settings, rng
        self.points, self.nets = points or Points(), set() if nets is None else nets
        self.families: dict[str, Family] = {}
        self.sent: list[Command] = []
        """Every command that went out, oldest first."""
        self.epoch: Callable[[], int] = lambda: 0
        self.deaf: Callable[[Command], bool] = lambda command: False
        self.copies: Callable[[Message], int] = lambda message: 1
        """How often a message of a driver arrives: 0 loses it, 2 doubles it."""
        self.late: Callable[[Message], float] = lambda message: 0.0
        """Seconds that a message of a driver is held up."""
        self.graves: list[Fiber] = []
        """What was at work in processes that were killed."""
        self.journals: list[io.StringIO] = []
        """What all processes wrote to their logs."""
        self._order: dict[tuple[int, str], float] = {}
        self._behind: dict[tuple[int, str], list[Callable[[], None]]] = {}
        self._details: dict[int, str] = {}

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
            self._details[message.op] = "" if message.action in QUIET else f"{family}.{message.action}"
        point, detail = ("cancel" if isinstance(message, Cancel) else "send"), self._detail(message)
        strike = self.points.hit(f"{point}.before", detail) if detail else None
        if strike is not None and strike.fault in DEATHS:
            self.perform(strike.fault, family)
        self._into("to", process, lambda: self._taken(process, message, detail), strike)
        if point == "send" and detail:
            self._strike(self.points.hit("send.after", detail), family)
        return True

    def _taken(self, process: Family, message: Message, detail: str) -> None:
        process.take(message)
        if isinstance(message, Cancel) and detail:
            self._strike(self.points.hit("cancel.after", detail), process.name)

    def replace(self, family: str) -> None:
        """Kill the process; a new one comes."""
        self.kill(family)

    def kill(self, family: str) -> None:
        """The process dies."""
        process = self.families.pop(family, None)
        if process is not None:
            process.die()
            self._spawn(family)

    def end(self) -> None:
        """All of them end (the core is gone, their pipes are closed)."""
        for process in self.families.values():
            process.end()
        self.families.clear()

    def perform(self, fault: str, family: str = "") -> None:
        """One of DEATHS; FAMILY: the process that it is about, "" for all."""
        for name in [family] if family else sorted(self.families):
            if fault != CORE:
                self.kill(name)
        if fault != DRIVER:
            raise Crash

    def reach(self, point: str, command: Command) -> Strike | None:
        """A command is at a point inside a driver."""
        detail = self._details.get(command.op, "")
        return self.points.hit(point, detail) if detail else None

    def _strike(self, strike: Strike | None, family: str) -> None:
        if strike is not None:
            self.perform(strike.fault, family)

    def _detail(self, message: Message) -> str:
        """What a message is about, "" for what is not worth a strike."""
        if isinstance(message, (Command, Cancel, Result)):
            return self._details.get(message.op, "")
        return message.t

    def carry(self, process: Family, message: Message) -> None:
        """From a driver to the core."""
        for _ in range(self.copies(message)):
            self._later(id(process), "from", lambda: self._arrive(process, message), self.late(message))

    def _arrive(self, process: Family, message: Message) -> None:
        if self.families.get(process.name) is not process:
            return
        detail = self._detail(message)
        point = "result.before" if isinstance(message, Result) else "word.before"
        strike = self.points.hit(point, detail) if detail else None
        if strike is not None and strike.fault in DEATHS:
            self.perform(strike.fault, process.name)
        elif strike is not None:
            self._into("from", process, lambda: self._heard(process, message, detail), strike)
        else:
            self._heard(process, message, detail)

    def _heard(self, process: Family, message: Message, detail: str) -> None:
        if self.families.get(process.name) is not process:
            return
        self._on_message(process.name, message)
        if isinstance(message, Result) and detail:
            self._strike(self.points.hit("result.after", detail), process.name)
        for call in self._behind.pop((id(process), "from"), []):
            call()

    def _spawn(self, family: str) -> None:
        self.clock.call_later(SPAWN, lambda: self._up(family))

    def _up(self, family: str) -> None:
        if family in self.families:
            return
        strike = self.points.hit("driver.start", family)
        if strike is not None and strike.fault == "delay":
            self.clock.call_later(strike.amount, lambda: self._up(family))
            return
        self.families[family] = Family(family, self)
        self.journals.append(self.families[family].journal)
        self._on_message(family, Hello(epoch=self.epoch(), family=family, pid=1))
        self._on_up(family)
        self._strike(strike, family)

    def _into(self, way: str, process: Family, call: Callable[[], None], strike: Strike | None) -> None:
        """Into a pipe, as the strike says."""
        pipe, fault = id(process), strike.fault if strike else ""
        held = strike.amount if strike and fault in ("delay", "duplicate") else 0.0
        if fault == "reorder":
            once = _once(call)
            self._behind.setdefault((pipe, way), []).append(once)
            self.clock.call_later(strike.amount if strike else 0.0, once)
            return
        self._later(pipe, way, call, held if fault == "delay" else 0.0)
        if fault == "duplicate":
            self._later(pipe, way, call, held)
        if way == "to":
            for behind in self._behind.pop((pipe, way), []):
                self._later(pipe, way, behind)

    def _later(self, pipe: int, way: str, call: Callable[[], None], held: float = 0.0) -> None:
        """In the order of a pipe, unless it is held up on purpose."""
        now = self.clock.monotonic()
        at = max(self._order.get((pipe, way), 0.0), now + self.rng.random() * HOP)
        self._order[pipe, way] = at
        self.clock.call_later(at - now + held, call)


def _once(call: Callable[[], None]) -> Callable[[], None]:
    """CALL, for the first time only."""
    called: list[bool] = []

    def first() -> None:
        if not called:
            called.append(True)
            call()
    return first
