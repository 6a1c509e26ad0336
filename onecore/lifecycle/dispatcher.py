"""From the outbox to the drivers and back: sends durable commands, keeps their deadlines, takes their results.

A command is sent again when its driver process is new, and tried again when it failed for now.  A deadline first
cancels; if nothing confirms within the grace time, the lane is abandoned and the result says that clean-up is owed.
"""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from onecore.lifecycle.clock import Clock, Timer
from onecore.lifecycle.outbox import Outbox
from onecore.log import Log
from onecore.pool.store import Actor, Store, Tx
from onecore.wire.messages import Cancel, Command, Doc, FrameError, Hello, Message, News, Progress, Result, Sample
from onecore.wire.messages import Log as LogLine

RESENDS = 10
"""How many driver processes may end while one attempt is at work in them before it counts as failed."""
LONGEST_PAUSE = 30.0
"""Failures that may pass are tried again after 1, 2, 4 … seconds, at most so many."""
NEVER_AGAIN = frozenset(("vm.shutdown", "vm.reboot", "vm.reset"))
"""Commands that are not tried again: a guest that does not shut down, and what must not happen to it twice."""
WITHOUT_DRIVER = frozenset(("vm.migrate",))
"""Commands whose work goes on when their driver ends: a cancel needs a driver that looks and ends it."""
MAX_ABANDONED = 8
"""Commands that one driver process may hang in before it is replaced even though others are at work in it."""

DEAF_SECONDS = 60.0
"""How long a driver process may answer nothing at all."""

Compose = Callable[[Outbox], Command | None]
Take = Callable[[Tx, Outbox, Result], None]
Hold = Callable[[str, str, int], str]
"""Why FAMILY.ACTION about an object (kind, id) may not be sent now; empty: it may."""


class Transport(Protocol):
    """A way to the driver processes."""

    def start(self, on_message: Callable[[str, Message], None], on_up: Callable[[str], None]) -> None:
        """Bring the drivers up; ON_UP(family) each time that one is ready for commands."""
        ...

    def send(self, family: str, message: Message) -> bool:
        """Queue a message; False when the driver is down (ON_UP will follow).  Raises FrameError if too large."""
        ...

    def replace(self, family: str) -> None:
        """The process is beyond help: end it, start another."""
        ...


@dataclass(slots=True)
class _Flight:
    command: Command
    family: str
    timer: Timer | None = None
    cancelled: bool = False
    sent: bool = False
    deaths: int = 0
    progress: Progress | None = None
    first: float = 0.0
    """When its first attempt was sent, on the monotonic clock."""
    tries: int = 0
    """Attempts before this one that failed for now."""
    due: float = 0.0
    """When its time is up, on the monotonic clock."""
    resting: bool = False
    """It failed for now and waits for its next attempt."""
    told: Doc = field(default_factory=dict)
    """What an attempt that failed for now told besides: where a guest is that was to move."""

    @property
    def waits(self) -> bool:
        """Whether the driver said that it has not begun."""
        return self.progress is not None and self.progress.step == "waiting"


class Dispatcher:
    """All commands under way."""

    def __init__(self, store: Store, transport: Transport, clock: Clock, log: Log, grace: float) -> None:
        self._store, self._transport, self._clock, self._log, self._grace = store, transport, clock, log, grace
        self.epoch = 0
        self.compose: dict[str, Compose] = {}
        self.take: dict[str, Take] = {}
        self.on_news: Callable[[News], None] = lambda news: None
        self.on_sample: Callable[[Sample], None] = lambda sample: None
        self.on_up: list[Callable[[str], None]] = []
        self.hold: Hold = lambda command, kind, oid: ""
        self._held: set[int] = set()
        self._blameless: set[str] = set()
        self._flights: dict[int, _Flight] = {}
        self._asked: dict[int, Callable[[Result], None]] = {}
        self._abandoned: dict[str, set[int]] = {}
        self._overdue: dict[int, str] = {}
        """The families that were asked what nobody waits for any more, and have not said that it ended."""
        self._up: set[str] = set()
        self._pings: dict[str, tuple[int, float]] = {}
        self._last_ask = 0
        self._last_op = 0

    def start(self) -> None:
        """Bring up the drivers and send all that the outbox holds."""
        self._transport.start(self._message, self._driver_up)
        for box in sorted(self._store.all(Outbox), key=lambda b: b.op):
            self.send(box.op)

    def new_op(self) -> int:
        """An operation id that no other start of this core gave or will give."""
        self._last_op += 1
        return self.epoch * 1_000_000_000 + self._last_op

    def forget(self) -> None:
        """Memory is loaded anew: drop what is under way here; the outbox in SQL says what is sent again."""
        for op in [op for op in self._flights if op > 0]:
            self._land(op)
        self._held.clear()

    def _land(self, op: int) -> _Flight | None:
        flight = self._flights.pop(op, None)
        if flight and flight.timer:
            flight.timer.cancel()
        return flight

    # -- commands of the outbox

    def send(self, op: int) -> None:
        """Send the command of OP if it still stands in the outbox; one that cannot be made has failed."""
        self._held.discard(op)
        box = self._store.get(Outbox, op)
        if box is None:
            return
        before = self._land(op)
        if self.hold(box.command, box.kind, box.oid):
            self._held.add(op)
            return
        try:
            command = self.compose[box.kind](box)
        except Exception as error:  # a bug: the operation ends, and so does nothing else
            self._log.error(f"{box.command} of {box.kind} {box.oid} could not be made", box.rid, error)
            command = None
        if command is None:
            self._result(Result(op, box.attempt, self.epoch, False, f"{box.command}: what it needs is not there"))
            return
        flight = self._flights[op] = _Flight(command, box.command.split(".")[0], first=self._clock.monotonic())
        if before and before.resting:
            flight.first, flight.tries, flight.told = before.first, before.tries + 1, before.told
        self._arm(flight, command.timeout)
        self._post(flight)
        if box.cancelled and self._flights.get(op) is flight:
            self.cancel(op)

    def _post(self, flight: _Flight) -> None:
        """Send its command; one that no frame holds has failed, and so has nothing else."""
        command = flight.command
        try:
            flight.sent = self._transport.send(flight.family, command)
        except FrameError as error:
            self._log.error(f"operation {command.op}: {command.action} cannot be sent: {error}", command.rid)
            self._result(Result(command.op, command.attempt, self.epoch, False,
                                f"{command.action} cannot be sent: {error}"))

    def release(self) -> None:
        """Send what was held and may be sent now."""
        for op in sorted(self._held):
            self.send(op)

    def cancel(self, op: int) -> None:
        """Tell the driver to stop; its result still comes."""
        flight = self._flights.get(op)
        if flight and not flight.cancelled:
            flight.cancelled = True
            self._transport.send(flight.family, Cancel(op, flight.command.attempt))
            self._arm(flight, self._grace)

    def stop(self, op: int) -> None:
        """As cancel, for somebody who asked, and whose wish is in the outbox; what no driver has ends at once."""
        box, flight = self._store.get(Outbox, op), self._flights.get(op)
        if box is not None and (op in self._held or (flight is not None and flight.resting)):
            self._held.discard(op)
            self._land(op)  # what comes after it under the same number is not its next attempt
            told = {"where": "from", **flight.told} if flight else {}  # what was held may have begun before a restore
            self._result(Result(op, box.attempt, self.epoch, False, "cancelled", cancelled=True,
                                data=told if box.command in WITHOUT_DRIVER else {}))
        else:
            self.cancel(op)

    def drop(self, op: int) -> None:
        """The operation was replaced: end its command, ignore its result."""
        self._held.discard(op)
        flight = self._land(op)
        if flight:
            self._transport.send(flight.family, Cancel(op, flight.command.attempt))

    def under_way(self) -> list[tuple[Outbox, Progress | None]]:
        """What is being done now."""
        return [(box, self.step(box)) for box in self._store.all(Outbox)]

    def deadline(self, op: int) -> float | None:
        """Seconds until the step that is under way is cancelled; None when nothing of it is at work."""
        flight = self._flights.get(op)
        return max(0.0, flight.due - self._clock.monotonic()) if flight and not flight.resting else None

    def step(self, box: Outbox) -> Progress | None:
        """How far the command of an outbox row is."""
        if box.op in self._held:
            return Progress(box.op, box.attempt, f"held: {self.hold(box.command, box.kind, box.oid)}")
        flight = self._flights.get(box.op)
        return flight.progress if flight else None

    def _arm(self, flight: _Flight, seconds: float) -> None:
        if flight.timer:
            flight.timer.cancel()
        op, attempt = flight.command.op, flight.command.attempt
        flight.due = self._clock.monotonic() + seconds
        flight.timer = self._clock.call_later(seconds, lambda: self._late(op, attempt))

    def _late(self, op: int, attempt: int) -> None:
        flight = self._flights.get(op)
        if flight is None or flight.command.attempt != attempt:
            return
        command, family = flight.command, flight.family
        if op < 0:
            self._transport.send(family, Cancel(op, attempt))
            self._overdue[op] = family
            self._clock.call_later(self._grace, lambda: self._hangs(op))
            self._answer(self._unheard(op, f"no answer within {command.timeout:g} s"))
        elif not flight.cancelled:
            self._log.warning(f"operation {op}: {command.action} passed its deadline of {command.timeout:g} s, "
                              "cancelling", command.rid)
            self.cancel(op)
        else:
            self._log.error(f"operation {op}: {command.action} in lane {command.lane} does not stop, abandoned",
                            command.rid)
            self._abandoned.setdefault(family, set()).add(op)
            self._result(Result(op, attempt, self.epoch, False, f"{command.action} passed its deadline of "
                                f"{command.timeout:g} s and could not be stopped", data={"owed": True}))
            self._replace_drained(family)

    def _hangs(self, op: int) -> None:
        """The grace time of a question is over."""
        family = self._overdue.pop(op, None)
        if family is not None:
            self._abandoned.setdefault(family, set()).add(op)
            self._replace_drained(family)

    def _replace_drained(self, family: str) -> None:
        """A process that commands hang in is replaced when nothing else is at work in it, or too many hang."""
        hanging = self._abandoned.get(family)
        if hanging and (len(hanging) >= MAX_ABANDONED or not any(
                f.family == family and not f.resting for f in self._flights.values())):
            self._log.warning(f"driver {family} has {len(hanging)} commands that do not stop, replacing it")
            del self._abandoned[family]
            self._blameless.add(family)
            self._transport.replace(family)

    # -- questions: a command whose result nobody's state depends on

    def ask(self, family: str, command: Command, then: Callable[[Result], None]) -> int:
        """Send COMMAND (op and attempt are filled in); THEN gets its result, or a failure when the driver goes away.

        Returns the number under which `cancel` ends it.
        """
        op = -self.new_op()  # its size is what fences on hosts compare: later than all operations given so far
        command = replace(command, op=op, attempt=1, epoch=self.epoch)
        why = self.hold(f"{family}.{command.action}", *command.object)
        if why:
            then(Result(op, 1, self.epoch, False, why, temporary=True))
            return op
        flight = _Flight(command, family)
        self._asked[op] = then
        self._flights[op] = flight
        self._arm(flight, command.timeout)
        try:
            if not self._transport.send(family, command):
                self._answer(Result(op, 1, self.epoch, False, f"the {family} driver is not running", temporary=True))
        except FrameError as error:
            self._answer(Result(op, 1, self.epoch, False, f"{command.action} cannot be sent: {error}"))
        return op

    async def question(self, family: str, command: Command) -> Result:
        """As ask, awaited."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.ask(family, command, lambda result: None if future.done() else future.set_result(result))
        return await future

    def tell(self, family: str, command: Command) -> None:
        """Send COMMAND and do not care."""
        self.ask(family, command, lambda result: None if result.ok else self._log.warning(
            f"{command.action} in lane {command.lane}: {result.error}"))

    def _unheard(self, op: int, why: str) -> Result:
        """Nobody knows how a question ended, or whether it has."""
        return Result(op, 1, self.epoch, False, why, temporary=True, data={"unheard": True})

    def _answer(self, result: Result) -> None:
        then = self._asked.pop(result.op, None)
        self._land(result.op)
        if then:
            then(result)

    # -- what drivers say

    def check_drivers(self) -> None:
        """Replace a process that does not even answer a cancel of nothing, ask the others; for a timer."""
        now = self._clock.monotonic()
        for family in self._up:
            op, since = self._pings.get(family, (0, now))
            if not op:
                self._last_ask -= 1
                if self._transport.send(family, Cancel(self._last_ask, 1)):
                    self._pings[family] = self._last_ask, now
            elif now - since > DEAF_SECONDS:
                self._log.error(f"driver {family} answers nothing for {now - since:.0f} s, replacing it")
                del self._pings[family]
                self._transport.replace(family)

    def _driver_up(self, family: str) -> None:
        self._up.add(family)
        self._abandoned.pop(family, None)
        self._overdue = {op: asked for op, asked in self._overdue.items() if asked != family}
        self._pings.pop(family, None)
        blamed = family not in self._blameless
        self._blameless.discard(family)
        for flight in [f for f in self._flights.values() if f.family == family and not f.resting]:
            self._resend(flight, blamed)
        for call in self.on_up:
            call(family)

    def _resend(self, flight: _Flight, blamed: bool) -> None:
        """The process that had a command is gone.  BLAMED: it may be for what it had at work."""
        op, attempt, action = flight.command.op, flight.command.attempt, flight.command.action
        flight.deaths += flight.sent and blamed and not flight.waits
        flight.progress = None
        if op < 0:
            self._answer(self._unheard(op, f"the {flight.family} driver was started again"))
        elif flight.deaths >= RESENDS:
            self._result(Result(op, attempt, self.epoch, False,
                                f"the {flight.family} driver ended {RESENDS} times during {action}"))
        elif flight.cancelled and f"{flight.family}.{action}" in WITHOUT_DRIVER:
            self._arm(flight, self._grace)
            self._post(flight)
            self._transport.send(flight.family, Cancel(op, attempt))
        elif flight.cancelled:
            self._result(Result(op, attempt, self.epoch, False, "cancelled", cancelled=True))
        else:
            self._arm(flight, flight.command.timeout)
            self._post(flight)

    def _message(self, family: str, message: Message) -> None:
        try:
            self._hear(family, message)
        except Exception as error:  # a bug, or nothing can be stored: the messages behind it are taken all the same
            self._log.error(f"a {message.t} of driver {family} could not be taken: {error}",
                            error=None if self._store.refuses else error)

    def _hear(self, family: str, message: Message) -> None:
        if isinstance(message, Result):
            if message.op == self._pings.get(family, (0, 0.0))[0]:
                del self._pings[family]
            self._answer(message) if message.op < 0 else self._result(message)
            self._overdue.pop(message.op, None)
            self._abandoned.get(family, set()).discard(message.op)
            self._replace_drained(family)
        elif isinstance(message, Sample):
            self.on_sample(message)
        elif isinstance(message, News):
            self.on_news(message)
        elif isinstance(message, Progress):
            self._progress(message)
        elif isinstance(message, LogLine):
            self._log.line(message.level, message.text, message.rid)
            if message.vm >= 0:
                self._log.vm(message.vm, message.text, message.rid, message.level)
        elif isinstance(message, Hello):
            self._log.info(f"driver {family} is up (pid {message.pid})")

    def _progress(self, message: Progress) -> None:
        flight = self._flights.get(message.op)
        if flight and flight.command.attempt == message.attempt and not flight.cancelled:
            flight.progress = message
            self._arm(flight, flight.command.timeout)

    def _result(self, result: Result) -> None:
        box = self._store.get(Outbox, result.op)
        if box is None or box.attempt != result.attempt or result.epoch != self.epoch:
            self._log.info(f"a late result of operation {result.op} attempt {result.attempt} is dropped")
            return
        flight = self._flights.get(result.op)
        if flight and flight.cancelled and not result.ok and not result.data.get("owed"):
            result = replace(result, error=f"{flight.command.action} was cancelled on request" if box.cancelled else
                             f"{flight.command.action} passed its deadline of {flight.command.timeout:g} s and was "
                             "cancelled")
        try:
            if flight and self._tries_again(box, flight, result):
                return
            with self._store.tx(Actor(method="driver", rid=box.rid)) as tx:
                tx.delete(box)
                self.take[box.kind](tx, box, result)
        except Exception as error:  # a bug: its deadline ends it; or nothing can be stored: it is sent again
            self._log.error(f"result of operation {result.op} ({box.command}) could not be taken: {error}", box.rid,
                            None if self._store.refuses else error)
            return
        flight = self._flights.get(result.op)
        if flight and flight.command.attempt == result.attempt:
            self._land(result.op)

    def _tries_again(self, box: Outbox, flight: _Flight, result: Result) -> bool:
        """Have a command that failed for now tried again, if its deadline since the first attempt leaves the time."""
        pause, now = min(2.0 ** flight.tries, LONGEST_PAUSE), self._clock.monotonic()
        if (result.ok or not result.temporary or flight.cancelled or result.cancelled or box.command in NEVER_AGAIN
                or now + pause >= flight.first + flight.command.timeout):
            return False
        with self._store.tx(Actor(method="driver", rid=box.rid)) as tx:
            tx.put(replace(box, attempt=box.attempt + 1))
            tx.after(lambda: self._rest(flight, pause))
        if flight.timer:
            flight.timer.cancel()
        flight.resting, flight.told = True, result.data or flight.told
        flight.progress = Progress(box.op, box.attempt + 1, f"waiting to try again: {result.error}")
        text = f"{flight.command.action} failed for now, again in {pause:g} s: {result.error}"
        self._log.info(f"operation {box.op}: {text}", box.rid)
        if box.kind == "vm":
            self._log.vm(box.oid, text, box.rid, "warning")
        return True

    def _rest(self, flight: _Flight, pause: float) -> None:
        """The next attempt is durable: send it after PAUSE seconds, unless the operation is replaced meanwhile."""
        op = flight.command.op

        def send() -> None:
            if self._flights.get(op) is flight:
                self.send(op)
        if self._flights.get(op) is flight:
            flight.timer = self._clock.call_later(pause, send)
