"""Inputs without end: how long each may take, how much memory it may want, what is told of those that break."""
from __future__ import annotations

import faulthandler
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy

SECONDS = 2
"""Of the processor, for one input."""
MEGABYTES = 64
"""By which one input may raise the most memory that the process ever had."""
HANGS = 120
"""Real seconds after which the process says where it is and dies: even a signal did not get it out."""


class Hang(BaseException):
    """An input takes too long."""


@dataclass
class Tally:
    """What came of one target."""

    name: str
    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    findings: list[str] = field(default_factory=list)

    def line(self) -> str:
        """In one line."""
        return (f"{self.name:20} {self.inputs:9} inputs in {self.seconds:6.1f} s, the slowest "
                f"{self.slowest * 1000:6.0f} ms, {len(self.findings)} findings")


def megabytes() -> float:
    """The most memory that the process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _stop(_number: int, _frame: Any) -> None:
    raise Hang("it takes too long")


@contextmanager
def bounded(tally: Tally, seconds: float = SECONDS) -> Iterator[None]:
    """One input: counted, timed, stopped when it takes too long; AssertionError when it took too much memory."""
    before, began = megabytes(), time.process_time()
    signal.signal(signal.SIGVTALRM, _stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    faulthandler.dump_traceback_later(HANGS, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        faulthandler.cancel_dump_traceback_later()
        tally.inputs += 1
        tally.slowest = max(tally.slowest, time.process_time() - began)
    grown = megabytes() - before
    assert grown < MEGABYTES, f"{grown:.0f} MB for one input"


def tried(tally: Tally, inputs: SearchStrategy[Any], check: Callable[[Any], None], number: int,
          start: int | None) -> None:
    """CHECK on NUMBER inputs, other ones for each START; None: the same ones each time.  What breaks is made small."""
    @settings(max_examples=number, database=None, deadline=None, derandomize=start is None,
              suppress_health_check=list(HealthCheck))
    @given(inputs)
    def one(value: Any) -> None:
        with bounded(tally):
            check(value)
    began = time.monotonic()
    try:
        (one if start is None else seed(start)(one))()
    except (Exception, Hang) as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        tally.findings.append(f"{type(error).__name__}: {error}\n{notes}")
    tally.seconds += time.monotonic() - began
