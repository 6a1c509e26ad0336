"""The points at which a simulated cloud can be struck, by name, and what strikes where.

A point that nothing strikes costs a look into a dictionary, and is counted.
"""
from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

LONG = bool(os.environ.get("ONECORE_LONG"))
"""Whether to run what a default run leaves out: more of the same kind, or what takes long."""

CORE, DRIVER, BOTH = "core", "driver", "both"
DEATHS = (CORE, DRIVER, BOTH)
"""kill -9 of oned, of the driver process that the point is about (all of them, where it is about none), of both."""
PIPE = ("delay", "duplicate", "reorder")
"""A message is held up by some seconds, comes twice, or comes after the one behind it."""
STUCK = ("hang", "deaf", "late")
"""A step waits until it is cancelled; hears no cancel and never ends; hears none and goes on all the same, seconds
later."""
ENDS = ("fail", "refuse")
"""A step fails for good, or for now."""


@dataclass(frozen=True, slots=True)
class Point:
    """A moment.  `detail` of a hit names the command (FAMILY.ACTION) or the message that it is about."""

    name: str
    what: str
    faults: tuple[str, ...]


POINTS = {point.name: point for point in (
    Point("commit.before", "a transaction is in memory, SQL has it not", (*DEATHS, "fail", "delay")),
    Point("commit.after", "SQL has it, nobody was told", DEATHS),
    Point("answer.before", "the answer to a call is ready, its caller has it not", DEATHS),
    Point("send.before", "a command is to go into the pipe", (*DEATHS, *PIPE)),
    Point("send.after", "it is in the pipe, unread", DEATHS),
    Point("cancel.before", "a cancel is to go into the pipe", (*DEATHS, *PIPE)),
    Point("cancel.after", "the driver took it", DEATHS),
    Point("step.before", "the driver took a command, and did nothing yet", (*DEATHS, *STUCK, *ENDS, "delay")),
    Point("step.middle", "before or after one of the things that it does", (*DEATHS, *STUCK, *ENDS, "delay")),
    Point("step.after", "all is done, the result is not in the pipe", (*DEATHS, *STUCK, "delay")),
    Point("result.before", "a result arrives", (*DEATHS, *PIPE)),
    Point("result.after", "the core took it, in memory", DEATHS),
    Point("word.before", "progress, news or a sample arrives", (*DEATHS, *PIPE)),
    Point("driver.start", "a driver process is up", (*DEATHS, "delay")),
)}
"""Every point."""

_STRIKE = re.compile(r"([a-z.]+)(?::([a-z_.]+))?#(\d+)=([a-z]+)(?:~([\d.]+))?\Z")


@dataclass(frozen=True, slots=True)
class Strike:
    """At the NTH hit of POINT (of those with DETAIL, if that is given) comes FAULT; AMOUNT is its seconds."""

    point: str
    nth: int
    fault: str
    detail: str = ""
    amount: float = 1.0

    def __str__(self) -> str:
        about = f":{self.detail}" if self.detail else ""
        return f"{self.point}{about}#{self.nth}={self.fault}~{self.amount:g}"

    @staticmethod
    def parse(text: str) -> Strike:
        """The reverse of str(); ValueError when it is no strike."""
        match = _STRIKE.match(text)
        point = POINTS.get(match[1]) if match else None
        if match is None or point is None or match[4] not in point.faults:
            raise ValueError(f"{text!r} is no POINT[:DETAIL]#N=FAULT[~SECONDS]")
        return Strike(match[1], int(match[3]), match[4], match[2] or "", float(match[5] or 1.0))


class Crash(BaseException):
    """The core is gone between one instruction and the next (kill -9)."""


class Points:
    """Counts hits once it is armed, and gives the strike that is due."""

    def __init__(self) -> None:
        self.armed = False
        self.strikes: tuple[Strike, ...] = ()
        self.hits: Counter[tuple[str, str]] = Counter()
        """How often each (point, detail) was reached."""
        self.struck: list[Strike] = []
        self.on_hit: Callable[[], None] = lambda: None
        """Called at each."""
        self._all: Counter[str] = Counter()

    def arm(self, strikes: Iterable[Strike] = ()) -> None:
        """Begin to count, and to strike."""
        self.strikes, self.armed = tuple(strikes), True
        self.hits.clear()
        self.struck.clear()
        self._all.clear()

    def hit(self, name: str, detail: str = "") -> Strike | None:
        """A point is reached; what happens there, None: nothing."""
        if not self.armed:
            return None
        self.hits[name, detail] += 1
        self._all[name] += 1
        self.on_hit()
        for strike in self.strikes:
            if strike.point == name and strike.detail in ("", detail) and strike not in self.struck and strike.nth == (
                    self.hits[name, detail] if strike.detail else self._all[name]):
                self.struck.append(strike)
                return strike
        return None
