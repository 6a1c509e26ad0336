"""One driver process: greets the core, takes its commands until the pipe closes, and leaves nothing running."""
from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from drivers.context import Surroundings
from drivers.execute import describe, execute
from drivers.hand.bell import Bell
from drivers.journal import Journal
from drivers.lanes import Limits
from drivers.pipe import Inlet, Outlet
from drivers.pool import Pool
from drivers.timers import TimerThread
from drivers.token import Token
from onecore.wire.messages import PROTOCOL, Cancel, Command, FrameError, Hello, Log, Message, Result

_MOMENT = 0.002
_SWEEP = 1.0
_END = 3.0
_LAST = 4.5
CLOSED, REFUSED = 0, 2
"""How it ends: the core closed the pipe, or the two do not understand each other."""


def serve(family: str, read_fd: int, write_fd: int, home: Path) -> int:
    """Run the driver process of FAMILY over the two descriptors; gives its exit code within 5 s of its end."""
    os.set_inheritable(read_fd, False)
    os.set_inheritable(write_fd, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    bell = Bell(signal.SIGTERM, signal.SIGHUP)
    journal = Journal()
    try:
        return _Process(family, Inlet(read_fd, bell.fd), Outlet(write_fd), bell, home, journal).run()
    except FrameError as error:
        journal.line("error", "", f"the core sent what is no message: {error}")
        return REFUSED


class _Process:
    def __init__(self, family: str, inlet: Inlet, outlet: Outlet, bell: Bell, home: Path, journal: Journal) -> None:
        self._family = family
        self._inlet = inlet
        self._outlet = outlet
        self._bell = bell
        self._told = False
        self._home = home
        self._journal = journal
        self._pending: list[Message] = []
        self._ticked = self._swept = 0.0

    def run(self) -> int:
        self._outlet.send(Hello(family=self._family, pid=os.getpid()))
        hello = self._greeted()
        if hello is None:
            return CLOSED if self._over() else REFUSED
        around = self._surroundings(hello)
        pool = self._pool(around, Limits.of(hello.settings))
        self._journal.line("info", "", f"{self._family} driver ready for epoch {hello.epoch}")
        try:
            self._loop(pool, hello.epoch)
        finally:
            self._end(pool, around)
        return CLOSED

    def _greeted(self) -> Hello | None:
        """The core's greeting, None when there is none that can be understood."""
        while not self._pending and not self._over():
            self._pending += self._inlet.receive(None)
        first = self._pending.pop(0) if self._pending else None
        if isinstance(first, Hello) and first.protocol == PROTOCOL:
            return first
        if first is not None:
            self._journal.line("error", "", f"the core does not speak protocol {PROTOCOL}: {first!r:.200}")
        return None

    def _surroundings(self, hello: Hello) -> Surroundings:
        around = Surroundings(self._home, hello.settings, time.monotonic, Token.wait, self._outlet.send, self._journal)
        around.kept.get("timers", lambda: TimerThread(time.monotonic, self._journal))
        return around

    def _pool(self, around: Surroundings, limits: Limits) -> Pool:
        def carry(command: Command, token: Token) -> Result:
            return execute(around, self._family, command, token)
        return Pool(carry, self._outlet.send, self._warn, time.monotonic, limits)

    def _warn(self, command: Command, text: str) -> None:
        text = f"{describe(self._family, command)}: {text}"
        self._journal.line("warning", command.rid, text)
        self._outlet.send(Log("warning", text, rid=command.rid))

    def _loop(self, pool: Pool, epoch: int) -> None:
        pending, self._pending = self._pending, []
        for message in pending:
            self._take(pool, message, epoch)
        while not self._over():
            for message in self._inlet.receive(_MOMENT if pool.pressed else _SWEEP if pool.busy else None):
                self._take(pool, message, epoch)
            self._turn(pool)

    def _over(self) -> bool:
        """Whether the core closed the pipe or a signal told the process to end; what others ask is done."""
        heard = self._bell.heard()
        if signal.SIGHUP in heard:
            _reopen(self._home / "log" / f"driver-{self._family}.log")
        if signal.SIGTERM in heard:
            self._told = True
            self._journal.line("info", "", "told to end")
        return self._told or self._inlet.closed

    def _turn(self, pool: Pool) -> None:
        """What the pool needs from time to time."""
        now = time.monotonic()
        if pool.pressed and now - self._ticked >= _MOMENT:
            self._ticked = now
            pool.tick()
        if now - self._swept >= _SWEEP:
            self._swept = now
            pool.sweep()

    def _take(self, pool: Pool, message: Message, epoch: int) -> None:
        if isinstance(message, Command):
            pool.submit(message)
        elif isinstance(message, Cancel):
            pool.cancel(message, epoch)
        else:
            self._journal.line("warning", "", f"a {message.t} from the core is not for a driver")

    def _end(self, pool: Pool, around: Surroundings) -> None:
        """Cancel what runs and close what is kept; what hangs in it does not keep the process."""
        last = threading.Timer(_LAST, os._exit, (CLOSED,))
        last.daemon = True
        last.start()
        ended = pool.close(_END)
        around.kept.close()
        self._journal.line("info", "", f"{self._family} driver ends" + ("" if ended else ", some commands hang"))


def _reopen(path: Path) -> None:
    """Standard output and error to a file that may be new (its name was taken by a rotation)."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
