"""Block jobs that are followed: what grows has time, what stands still ends with its deadline."""
from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.base import Temporary
from drivers.context import Running, Surroundings
from drivers.journal import Journal
from drivers.token import Token
from drivers.vm import disk_merge, jobs
from onecore.wire.messages import Command, Message, Progress

LONG = 1000.0
"""Seconds after which nobody waits any more."""


class Ground:
    """A command of 60 s on a clock of its own, and a job that copies one byte a second up to LAST."""

    def __init__(self, last: float) -> None:
        self.now, self.told = 0.0, list[Message]()
        self.last = last
        around = Surroundings(Path("/"), {}, lambda: self.now, self._pause, self.told.append, Journal(io.StringIO()))
        command = Command(1, 1, 1, 1, "node1", "kvm", "copy_disk", ("vm", 1), 60.0, "", {})
        self.ctx = Running(around, command, Token())

    def _pause(self, _: Token, seconds: float) -> None:
        self.now += seconds
        assert self.now < LONG, "its deadline was renewed again and again"

    def info(self) -> dict[str, int]:
        """What libvirt says of the job."""
        return {"cur": int(min(self.now, self.last)), "end": 5000}


def _follow(ground: Ground, patch: pytest.MonkeyPatch) -> None:
    disk = SimpleNamespace(job="copy", is_ready=False)
    patch.setattr(jobs, "read", lambda *_: SimpleNamespace(at=lambda _: disk))
    patch.setattr(jobs, "ask", lambda *_: ground.info())
    jobs._follow(ground.ctx, {"vm": {"id": 1}}, SimpleNamespace(), "vda", "copying")  # type: ignore[arg-type]


def _merge(ground: Ground, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(disk_merge, "ask", lambda *_: ground.info())
    live = SimpleNamespace(layers=[("a", 0), ("b", 1)], target="vda", chain=["a", "b"])
    disk_merge._merge(ground.ctx, SimpleNamespace(args={}), live, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("follow", [_follow, _merge])
def test_a_job_that_stands_still_ends_with_its_deadline(follow: Callable[[Ground, Any], None],
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is that of its last growth, long after it began."""
    ground = Ground(300.0)
    with pytest.raises(Temporary, match="no end after 60 s"):
        follow(ground, monkeypatch)
    assert 355 < ground.now < 365
    done = [message.done for message in ground.told if isinstance(message, Progress)]
    assert done == sorted(set(done)) and done[-1] == 300
