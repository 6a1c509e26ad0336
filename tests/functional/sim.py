"""A whole cloud in one process and one thread of thought: core, writer, drivers and hosts on a simulated clock.

Nothing here waits: time passes when a test says so, and what happens depends on the seed alone.
"""
from __future__ import annotations

import asyncio
import io
import math
import random
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sim_drivers import Fiber, Net, SimTransport
from sim_points import CORE, DEATHS, Crash, Points, Strike

from onecore import app
from onecore.auth.password import Passwords
from onecore.config import Config, parse
from onecore.kinds.datastore import room
from onecore.kinds.host.record import Host
from onecore.kinds.image.record import Image
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.clock import SimClock
from onecore.log import Log
from onecore.pool.database import Database
from onecore.pool.record import Key, Record
from onecore.pool.writer import Batch, InlineWriter
from onecore.request.dispatch import Dispatch
from onecore.wire import xmlrpc
from onecore.wire.states import HostState, ImageState, vm_name

COMMIT = 0.002
"""Seconds between a transaction and its commit: what comes meanwhile goes into the same one."""
T = TypeVar("T")
R = TypeVar("R", bound=Record)
DEFAULTS: dict[str, dict[str, Any]] = {"auth": {"argon2_time_cost": 1, "argon2_memory_kb": 32},
                                       "defaults": {"system_tm": "dummy"}}


class Refused(Exception):
    """A call was answered with an error."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def refused(code: int, text: str, call: Callable[[], object]) -> None:
    """CALL is refused, and says so."""
    try:
        call()
    except Refused as error:
        assert error.code == code and re.search(text, str(error)), f"0x{error.code:04x} {error}"
        return
    raise AssertionError(f"it was not refused with {text!r}")


class SimWriter(InlineWriter):
    """Commits a moment after the first transaction that waits; told to, it holds, or fails."""

    def __init__(self, database: Database, durable: Callable[[int], None], failed: Callable[[int, BaseException], None],
                 clock: SimClock, points: Points, perform: Callable[[str], None]) -> None:
        super().__init__(database, self._told)
        self._became, self._failed, self._clock, self._points, self._perform = durable, failed, clock, points, perform
        self.held = []
        self.fail_next: Exception | None = None
        self.holding = self.broken = self._due = False

    def submit(self, batch: Batch) -> None:
        """Queue a transaction."""
        if self.broken:
            return
        super().submit(batch)
        if not self._due:
            self._due = True
            self._clock.call_later(COMMIT, self._commit)

    def resume(self, last: int) -> None:
        """Take transactions again."""
        self.broken = False

    def let_go(self) -> None:
        """Hold no more: commit what waits."""
        self.holding = False
        self._commit()

    def _commit(self) -> None:
        self._due = False
        if self.holding or not self.held:
            return
        strike = self._points.hit("commit.before")
        if strike is not None and self._struck(strike):
            return
        if self.fail_next is not None:
            error, self.fail_next = self.fail_next, None
            self.broken, self.held, first = True, [], self.held[0].seq
            self._failed(first, error)
            return
        self.release()

    def _struck(self, strike: Strike) -> bool:
        """Whether the commit has to wait."""
        if strike.fault in DEATHS:
            self._perform(strike.fault)
        elif strike.fault == "fail":
            self.fail_next = OSError("disk full")
        else:
            self._due = True
            self._clock.call_later(strike.amount, self._commit)
            return True
        return False

    def _told(self, seq: int) -> None:
        strike = self._points.hit("commit.after")
        if strike is not None:
            self._perform(strike.fault)
        self._became(seq)


_DIALECTS: dict[str, sa.Dialect] = {}
_COMPILED: dict[Any, Any] = {}


def _remember_statements(database: Database) -> None:
    """Every core asks the same of its database: what SQLAlchemy made of it for one is good for the next."""
    if database.engine.name == "sqlite":
        database.engine.dialect = _DIALECTS.setdefault("sqlite", database.engine.dialect)
        database.engine.update_execution_options(compiled_cache=_COMPILED)


def _do_not_sync(database: Database) -> None:
    """A simulated crash loses nothing that was written: no need to wait for the disk."""
    database.engine.dispose()
    sa.event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))


class SimLoop(asyncio.SelectorEventLoop):
    """An event loop whose sleeps and timeouts pass on the simulated clock.  It never waits: somebody steps it."""

    def __init__(self, clock: SimClock) -> None:
        super().__init__()
        self._sim = clock

    def time(self) -> float:
        """Simulated seconds."""
        return self._sim.monotonic()

    @property
    def is_busy(self) -> bool:
        """Whether anything can go on without time passing, but for who asks."""
        return bool(self._ready)  # type: ignore[attr-defined]

    def next_due(self) -> float:
        """When the next sleep or timeout of a coroutine ends; for ever, if there is none."""
        handles: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return min((handle.when() for handle in handles if not handle.cancelled()), default=math.inf)


class AtOnce(ThreadPoolExecutor):
    """An executor without threads: the work is done when it is given."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Do it now."""
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


class Pending:
    """A call under way."""

    def __init__(self, task: asyncio.Task[list[bytes]]) -> None:
        self._task = task

    @property
    def answered(self) -> bool:
        """Whether there is an answer."""
        return self._task.done()

    def value(self) -> Any:
        """The value; raises Refused."""
        answer = xmlrpc.decode_answer(b"".join(self._task.result()))
        assert isinstance(answer, list)
        if not answer[0]:
            raise Refused(str(answer[1]), int(str(answer[2])))
        return answer[1]


class Sim:
    """The cloud.  `boot` starts a core on what the home holds; `crash` drops it; the clock of the next one goes on."""

    def __init__(self, home: Path, seed: int = 0, config: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.home, self.rng = home, random.Random(seed)
        given = config or {}
        self.config: Config = parse({name: {**DEFAULTS.get(name, {}), **given.get(name, {})}
                                     for name in {*DEFAULTS, *given}} | {"drivers": {"dummy": {"seed": seed}}})
        self.wall = 1_800_000_000.0
        self.loop: SimLoop | None = None
        self.points = Points()
        self.nets: set[Net] = set()
        """The NICs whose networks are up."""
        self.graves: list[Fiber] = []
        self._journals: list[io.StringIO] = []
        self._fell = False

    def boot(self) -> Sim:
        """Start a core."""
        (self.home / "log").mkdir(parents=True, exist_ok=True)
        self.clock = SimClock(self.wall)
        self.loop = SimLoop(self.clock)
        self.loop.set_default_executor(AtOnce(1))
        self.log = Log(self.home / "log")
        self.database, _ = app.open_database(self.config, self.home)
        _do_not_sync(self.database)
        _remember_statements(self.database)
        self._fell = False
        self.transport = SimTransport(self.clock, self.home, dict(self.config.drivers), self.rng, self.points,
                                      self.nets)
        self._inside(self._build)
        return self

    def _build(self) -> None:
        self.core = app.build(self.config, self.home, self.database, self.clock, self.log, self.transport, self.rng)
        self.core.passwords.close()
        auth = self.config.auth
        self.core.passwords = Passwords(auth.argon2_time_cost, auth.argon2_memory_kb, AtOnce(1))
        self.transport.epoch = lambda: self.core.epoch
        self.writer = SimWriter(self.database, self.core.store.became_durable, self._failed, self.clock, self.points,
                                self.transport.perform)
        app.start(self.core, self.writer)
        app.keep_going(self.core)
        self.dispatch = Dispatch(self.core)
        self.secret = (self.home / "one_auth").read_text().strip()

    def ready(self) -> Sim:
        """Wait until the drivers are up and the datastores measured."""
        self.until(lambda: room(self.core, 1)[0], what="datastores to be measured")
        return self

    def crash(self) -> None:
        """The core and its drivers are gone, as they stand; hosts and SQL stay."""
        assert self.loop is not None
        self.wall = self.clock.time()
        armed, self.points.armed = self.points.armed, False
        self.transport.end()
        self.points.armed = armed
        self.graves += self.transport.graves
        self._journals += self.transport.journals
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        self.loop = None
        self.writer.close()
        self.core.series.close()
        self.database.close()
        self.log.close()

    def close(self) -> None:
        """The end of it all."""
        if self.loop is not None:
            self.crash()
        for fiber in self.graves:
            fiber.bury()
        self.graves.clear()

    def reboot(self) -> None:
        """Crash, then start again."""
        self.crash()
        self.boot()

    def journals(self) -> list[str]:
        """What all driver processes wrote to their logs."""
        return [journal.getvalue() for journal in (*self._journals, *self.transport.journals)]

    # -- time

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._run(self._until(lambda: False, seconds))

    def until(self, done: Callable[[], T], limit: float = 600.0, what: Callable[[], str] | str = "something") -> T:
        """Let time pass until DONE is true; AssertionError that says WHAT after LIMIT seconds."""
        found: T = self._run(self._until(done, limit))
        assert found, f"waited {limit:g} simulated seconds for {what if isinstance(what, str) else what()}"
        return found

    async def _until(self, done: Callable[[], Any], limit: float) -> Any:
        end = self.clock.monotonic() + limit
        while True:
            await self._settle()
            if found := done():
                return found
            due = self._next_due()
            if due > end:
                self.clock.advance(end - self.clock.monotonic())
                await self._settle()
                return done()
            self.clock.advance(max(0.0, due - self.clock.monotonic()))

    def _next_due(self) -> float:
        """When the next timer of the core, a driver or a coroutine is due."""
        due = self.clock.next_due()
        return min(math.inf if due is None else due, self.loop.next_due() if self.loop else math.inf)

    async def _settle(self) -> None:
        """Let tasks come to where they wait for time or a commit."""
        await asyncio.sleep(0)
        while self.loop is not None and self.loop.is_busy:
            await asyncio.sleep(0)
        if self._fell:
            raise Crash

    def _inside(self, call: Callable[[], None]) -> None:
        async def run() -> None:
            call()
        self._run(run())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        assert self.loop is not None, "no core runs"
        return self.loop.run_until_complete(work)

    # -- calls

    def begin(self, method: str, *arguments: object, secret: str = "") -> Pending:
        """Send a call; it is answered as time passes."""
        data = xmlrpc.encode_call(method, (secret or self.secret, *arguments))

        async def begin() -> Pending:
            pending = Pending(asyncio.get_running_loop().create_task(self._answer(method, data)))
            await self._settle()
            return pending
        return self._run(begin())

    async def _answer(self, method: str, data: bytes) -> list[bytes]:
        fragments = await self.dispatch.answer(data, "127.0.0.1")
        strike = self.points.hit("answer.before", method)
        if strike is not None:
            try:
                self.transport.perform(strike.fault)
            except Crash:
                self._fell = True
                await asyncio.Event().wait()
        return fragments

    def call(self, method: str, *arguments: object, secret: str = "") -> Any:
        """A call and its answer; raises Refused."""
        return self.wait_for(self.begin(method, *arguments, secret=secret), method)

    def wait_for(self, pending: Pending, method: str = "a call") -> Any:
        """The answer of a call that was begun; raises Refused."""
        self.until(lambda: pending.answered, what=f"the answer of {method}")
        return pending.value()

    # -- looking

    def vm(self, oid: int) -> Vm:
        """A VM's record; a VM that is DONE comes from SQL."""
        found = self.core.store.get(Vm, oid)
        return found or self.database.select(Vm, "oid = :oid", {"oid": oid})[0]

    def state(self, oid: int) -> str:
        """A VM's state by name."""
        vm = self.vm(oid)
        return vm_name(vm.state, vm.lcm)

    def wait(self, oid: int, *states: str, limit: float = 600.0) -> str:
        """Let time pass until a VM is in one of STATES, as a client sees it; which."""
        store = self.core.store
        self.until(lambda: self.state(oid) in states and not store.depends("vm", oid), limit,
                   lambda: f"VM {oid} to be {' or '.join(states)}: {self.path(oid)} {self.vm(oid).error}")
        return self.state(oid)

    def path(self, oid: int) -> list[str]:
        """All states that a VM has come to, as the change log in SQL has them."""
        rows = self.database.rows("SELECT new FROM log WHERE kind = 'vm' AND oid = :oid "
                                  "AND what IN ('create', 'state') ORDER BY seq, n", {"oid": oid})
        return [str(new) for new, in rows]

    def host_state(self, oid: int) -> str:
        """A host's state by name."""
        host = self.core.store.get(Host, oid)
        return HostState(host.state).name if host else "gone"

    def add_host(self, name: str = "node1") -> int:
        """A dummy host that is MONITORED."""
        oid = int(self.call("one.host.allocate", name, "dummy", "dummy", -1))
        self.until(lambda: self.host_state(oid) == "MONITORED", what=f"host {oid} to be MONITORED")
        return oid

    def add_image(self, name: str = "disk", persistent: bool = False) -> int:
        """A dummy image that is READY."""
        oid = int(self.call("one.image.allocate", f'NAME="{name}"\nTYPE="DATABLOCK"\nSIZE="10"\n'
                            f'PERSISTENT="{"YES" if persistent else "NO"}"\n', 1))
        self.until(lambda: self.get(Image, oid).state == ImageState.READY, what=f"image {oid} to be READY")
        return oid

    def add_network(self, name: str = "net", size: int = 10) -> int:
        """A dummy network of SIZE addresses."""
        return int(self.call("one.vn.allocate", f'NAME="{name}"\nVN_MAD="dummy"\n'
                             f'AR=[TYPE="IP4",IP="10.0.0.1",SIZE="{size}"]\n', -1))

    def get(self, cls: type[R], key: Key) -> R:
        """A record that is there."""
        found = self.core.store.get(cls, key)
        assert found is not None, f"no {cls.TABLE} {key}"
        return found

    def guests(self, host: str) -> list[int]:
        """The VMs that have a guest on a dummy host."""
        directory = self.home / "dummy" / host
        return sorted(int(p.name) for p in directory.iterdir() if p.name.isdecimal()) if directory.is_dir() else []

    # -- what goes wrong

    def _failed(self, seq: int, error: BaseException) -> None:
        """As the daemon: no answers from this memory, load again, go on."""
        self.dispatch.ready = False
        self.core.store.refuses = f"the change could not be stored: {error}"
        self.clock.call_later(0.1, lambda: self._reload(error))

    def _reload(self, error: BaseException) -> None:
        app.reload(self.core, error)
        self.dispatch.ready = True
        app.resume(self.core, self.writer.resume)

    @contextmanager
    def crashing(self, after: int) -> Iterator[None]:
        """In the block, the core dies after that many further commits; it is started again when that happened."""
        self.strike(Strike("commit.after", after, CORE))
        try:
            yield
        except Crash:
            self.reboot()
        finally:
            self.points.armed = False

    def strike(self, *strikes: Strike) -> None:
        """From now on points are counted, and these strikes come."""
        self.points.arm(strikes)
