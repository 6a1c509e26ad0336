"""The core's side of the driver pipes: what one command or one start does wrong is nobody else's trouble."""
from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pool_ground import Paper

from onecore.lifecycle import pipes
from onecore.lifecycle.clock import RealClock
from onecore.lifecycle.dispatcher import Dispatcher
from onecore.lifecycle.outbox import Outbox
from onecore.lifecycle.pipes import PipeTransport
from onecore.log import Log
from onecore.pool.store import Store
from onecore.wire.messages import MAX_FRAME, Command, Frames, Hello, Message, Progress, Result, encode

PATIENCE = 60.0
"""Seconds after which what must come is given up."""


class Process:
    """A driver process that greets at once and takes what it is sent."""

    made: ClassVar[list[Process]] = []
    pid = -1

    def __init__(self, *_: object) -> None:
        self.read_fd, self.end = os.pipe()
        os.write(self.end, encode(Hello(family="vm")))
        self.frames, self.taken, self.buffer, self.up, self.reads = Frames(), Frames(), bytearray(), False, 0.0
        self.popen, self.got = self, list[Message]()
        self.made.append(self)

    def poll(self) -> int:
        """It has ended."""
        return 0

    def wait(self, seconds: float) -> None:
        """So there is nothing to wait for."""

    def write(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take all."""
        self.got += list(self.taken.feed(bytes(self.buffer)))
        self.buffer.clear()

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close both ends."""
        loop.remove_reader(self.read_fd)
        for fd in (self.read_fd, self.end):
            os.close(fd)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers are made here."""
    def kill(pid: int, number: int) -> None:
        raise ProcessLookupError
    monkeypatch.setattr(Process, "made", [])
    monkeypatch.setattr(pipes, "FAMILIES", ("vm",))
    monkeypatch.setattr(pipes, "_Process", Process)
    monkeypatch.setattr(pipes.os, "killpg", kill)


class Core:
    """A dispatcher on pipes: its outbox is OPS, of which BIG has a command that no frame holds."""

    def __init__(self, home: Path, ops: tuple[int, ...], big: int = 0) -> None:
        clock, log = RealClock(), Log(home)
        self.store = Store([Outbox], lambda: 1700000000.5)
        self.store.writer = Paper()
        self.store.load(Outbox(op, "vm", op, "vm.deploy", 1, 0) for op in ops)
        self.transport = PipeTransport(home, lambda: 0, {}, clock, log)
        self.dispatcher = Dispatcher(self.store, self.transport, clock, log, 1.0)
        self.results, self.ups, self.up = dict[int, Result](), list[str](), asyncio.Event()
        self.big = big
        self.dispatcher.compose["vm"] = lambda box: self.command(box.op)
        self.dispatcher.take["vm"] = lambda tx, box, result: self.results.update({box.op: result})
        self.dispatcher.on_up.append(self._came)

    def command(self, op: int) -> Command:
        """The command of an operation."""
        args: dict[str, Any] = {"user": "x" * MAX_FRAME} if op == self.big else {}
        return Command(op, 1, 0, 1, "h", "kvm", "deploy", ("vm", op), 3000.0, "", args)

    def _came(self, family: str) -> None:
        self.ups.append(family)
        self.up.set()

    async def start(self) -> None:
        """Bring the driver up."""
        self.dispatcher.start()
        await asyncio.wait_for(self.up.wait(), PATIENCE)


@pytest.mark.usefixtures("fake")
def test_a_command_that_no_frame_holds_fails_alone(tmp_path: Path) -> None:
    """The driver stays, those behind it are sent, and who waits for the driver is called."""
    async def run() -> None:
        core = Core(tmp_path, (1, 2, 3), big=2)
        await core.start()
        assert [message.op for message in Process.made[0].got if isinstance(message, Command)] == [1, 3]
        assert list(core.results) == [2] and not core.results[2].ok and "cannot be sent" in core.results[2].error
        assert core.store.get(Outbox, 2) is None and core.store.get(Outbox, 1) is not None
        assert len(Process.made) == 1 and core.ups == ["vm"] and core.transport.pids()
        core.transport.close(0)
    asyncio.run(run())


@pytest.mark.usefixtures("fake")
def test_with_a_driver_that_is_up_it_fails_at_once(tmp_path: Path) -> None:
    """So does a question."""
    async def run() -> None:
        core = Core(tmp_path, ())
        await core.start()
        core.big = 7
        core.store.load([Outbox(7, "vm", 7, "vm.deploy", 1, 0)])
        core.dispatcher.send(7)
        assert not core.results[7].ok and core.dispatcher.deadline(7) is None
        answer = await asyncio.wait_for(core.dispatcher.question("vm", core.command(7)), PATIENCE)
        assert not answer.ok and "cannot be sent" in answer.error and not answer.temporary
        core.transport.close(0)
    asyncio.run(run())


@pytest.mark.usefixtures("fake")
def test_what_came_before_a_bad_frame_is_taken(tmp_path: Path) -> None:
    """Then the driver is started again."""
    async def run() -> None:
        core = Core(tmp_path, (1,))
        await core.start()
        core.up.clear()
        bad = struct.pack(">I", MAX_FRAME + 1)
        os.write(Process.made[0].end, encode(Progress(1, 1, "copy", 3, 9)) + encode(Result(1, 1, 0, True)) + bad)
        await asyncio.wait_for(core.up.wait(), PATIENCE)
        assert core.results[1].ok and len(Process.made) == 2
        core.transport.close(0)
    asyncio.run(run())


@pytest.mark.parametrize("what", ["subprocess.Popen", "pathlib.Path.open"])
def test_a_start_that_fails_leaves_no_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """It is tried again every few seconds, and most likely when the machine is short of everything."""
    made, pipe = list[int](), os.pipe

    def noted() -> tuple[int, int]:
        ends = pipe()
        made.extend(ends)
        return ends

    def fail(*_: object, **__: object) -> None:
        raise BlockingIOError
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", noted)
        patch.setattr(what, fail)
        with pytest.raises(BlockingIOError):
            pipes._Process("vm", tmp_path, tmp_path / "log")
    assert len(made) == 4
    for fd in made:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)
