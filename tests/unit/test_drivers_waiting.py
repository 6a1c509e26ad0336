"""What waits in a lane for long: the core hears of it, so that its deadline does not end what never began."""
from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.bounds import Bounds
from drivers.im.starts import Starts
from drivers.lanes import Limits
from drivers.pool import Pool
from drivers.ssh.lane import Lane
from drivers.ssh.settings import Target
from drivers.token import Token
from drivers.vm.strand import Strand
from onecore.wire.messages import Command, FrameError, Message, Progress, Result


class Ground:
    """A pool of one lane, one command at a time; `now` stands still."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[Message] = []
        self.go, self.began = threading.Semaphore(0), threading.Semaphore(0)
        self.pool = Pool(self._carry, self.told.append, lambda command, text: None, lambda: self.now, Limits(1))

    def _carry(self, command: Command, token: Token) -> Result:
        self.began.release()
        self.go.acquire(timeout=60)
        return Result(command.op, command.attempt, command.epoch, True)

    def submit(self, op: int) -> None:
        """A command that may take 100 s."""
        self.pool.submit(Command(op, 1, 1, 1, "node1", "dummy", "deploy", ("vm", op), 100.0))

    def progress(self) -> list[tuple[int, str]]:
        """What was told of those at work and waiting."""
        return [(m.op, m.step) for m in self.told if isinstance(m, Progress)]

    def wait(self, results: int) -> None:
        """Until so many commands have ended."""
        end = time.monotonic() + 60
        while sum(isinstance(m, Result) for m in self.told) < results and time.monotonic() < end:
            time.sleep(0.005)


def test_waiting_is_told_now_and_then() -> None:
    """Once a quarter of the timeout; not of the one that is at work."""
    ground = Ground()
    ground.submit(1)
    assert ground.began.acquire(timeout=60)
    ground.submit(2)
    ground.pool.sweep()
    assert ground.progress() == []
    ground.now = 30.0
    ground.pool.sweep()
    ground.pool.sweep()
    assert ground.progress() == [(2, "waiting")]
    ground.now = 60.0
    ground.pool.sweep()
    assert ground.progress() == [(2, "waiting")] * 2
    ground.now = 70.0
    ground.go.release(2)
    ground.wait(2)
    assert ground.progress()[2:] == [(2, "started")], "its time counts from here"
    ground.pool.close(1)


def test_a_quick_one_is_not_worth_a_word() -> None:
    """Commands that hardly wait cost no message."""
    ground = Ground()
    for op in range(1, 5):
        ground.submit(op)
    ground.go.release(4)
    ground.wait(4)
    assert [m for m in ground.told if not isinstance(m, Result)] == []
    ground.pool.close(1)


def test_a_result_that_no_frame_takes_is_told_as_a_failure_and_the_lane_goes_on() -> None:
    ground = Ground()

    def emit(message: Message) -> None:
        if isinstance(message, Result) and message.data:
            raise FrameError("17 MB")
        ground.told.append(message)
    ground.pool = Pool(lambda command, token: Result(command.op, 1, 1, True, data={"much": 1}), emit,
                       lambda command, text: None, lambda: 0.0, Limits(1))
    for op in (1, 2):
        ground.submit(op)
    ground.wait(2)
    assert [(m.op, m.ok, m.error) for m in ground.told if isinstance(m, Result)] == [
        (op, False, "what came of it cannot be told: 17 MB") for op in (1, 2)]


@pytest.fixture
def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next thread cannot be started, those after it can."""
    refused, start = [RuntimeError("can't start new thread")], threading.Thread.start

    def late(thread: threading.Thread) -> None:
        if refused:
            raise refused.pop()
        start(thread)
    monkeypatch.setattr(threading.Thread, "start", late)


@pytest.mark.usefixtures("no_thread")
def test_a_connection_is_tried_again_when_no_thread_could_be_started() -> None:
    made: Any = SimpleNamespace(alive=True)
    lane = Lane(Target("node1", "root", 22), lambda lane: made, 10.0, time.monotonic, lambda level, text: None)
    with pytest.raises(RuntimeError):
        lane.connection(Bounds())
    assert lane.connection(Bounds()) is made


@pytest.mark.usefixtures("no_thread")
def test_work_waits_for_the_next_when_no_thread_could_be_started() -> None:
    done = threading.Event()
    strand = Strand(lambda error: None)
    with pytest.raises(RuntimeError):
        strand.start(lambda: None)
    strand.put(done.set)
    assert done.wait(40)


@pytest.mark.usefixtures("no_thread")
def test_a_start_keeps_its_place_when_no_thread_could_be_started() -> None:
    done = threading.Semaphore(0)
    starts = Starts(1)
    with pytest.raises(RuntimeError):
        starts.put(0, done.release)
    starts.put(0, done.release)
    assert done.acquire(timeout=40) and done.acquire(timeout=40)
