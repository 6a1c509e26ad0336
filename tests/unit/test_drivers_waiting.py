"""What waits in a lane for long: the core hears of it, so that its deadline does not end what never began."""
from __future__ import annotations

import threading
import time

from drivers.lanes import Limits
from drivers.pool import Pool
from drivers.token import Token
from onecore.wire.messages import Command, Message, Progress, Result


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
