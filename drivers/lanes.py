"""Which command may start next: a bounded queue for each lane, a few of each at once, lanes in turn.  No threads."""
from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.token import Token
from onecore.wire.messages import Command


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once; each field is a key of the settings that the core sends."""

    lane_width: int = 4
    """Commands of one lane at work at once; as many stuck ones are borne."""
    lane_queue: int = 1000
    """Commands of one lane that wait for those at work; one more is refused for now."""
    threads: int = 64
    """Commands of all lanes at work at once."""
    stuck_after: float = 10.0
    """Seconds after its deadline or cancel when a command that did not end loses its place in lane and pool."""

    @staticmethod
    def of(settings: Mapping[str, Any]) -> Limits:
        """The limits that SETTINGS give; what they do not name stays as it is here."""
        default = Limits()
        return Limits(**{name: type(getattr(default, name))(settings.get(name, getattr(default, name)))
                         for name in Limits.__slots__})


@dataclass(slots=True, eq=False)
class Job:
    """A command on its way, and the one that waits for its end (the same operation's newer attempt)."""

    command: Command
    token: Token = field(default_factory=Token)
    successor: Job | None = None
    started: bool = False
    ticks: int = 0
    """For how many ticks it has been at work; from the second on, others should not wait for its thread."""
    stuck: bool = False
    told: float = 0.0
    """When the core last heard, or could assume, that it waits."""


@dataclass(slots=True, eq=False)
class _Lane:
    waiting: deque[Job] = field(default_factory=deque)
    running: int = 0
    stuck: int = 0
    listed: bool = False


class Lanes:
    """The queues.  Not safe for threads: drivers/pool.py holds its lock around every call."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lanes: dict[str, _Lane] = {}
        self._ready: deque[_Lane] = deque()

    @property
    def ready(self) -> bool:
        """Whether take() may give something."""
        return bool(self._ready)

    def add(self, job: Job) -> str:
        """Queue JOB; not empty: why it is refused for now."""
        lane = self._lanes.setdefault(job.command.lane, _Lane())
        if lane.stuck >= self._limits.lane_width:
            return f"{lane.stuck} commands of lane {job.command.lane} do not end"
        if len(lane.waiting) + lane.running >= self._limits.lane_queue + self._limits.lane_width:
            return f"{len(lane.waiting)} commands of lane {job.command.lane} wait already"
        lane.waiting.append(job)
        self._list(lane)
        return ""

    def take(self) -> Job | None:
        """The next job to start, of the lane whose turn it is."""
        while self._ready:
            lane = self._ready.popleft()
            lane.listed = False
            if lane.waiting and lane.running < self._limits.lane_width:
                job = lane.waiting.popleft()
                job.started = True
                lane.running += 1
                self._list(lane)
                return job
        return None

    def remove(self, job: Job) -> None:
        """Take a waiting JOB out."""
        self._lanes[job.command.lane].waiting.remove(job)
        self._drop_empty(job.command.lane)

    def give_up(self, job: Job) -> None:
        """A started JOB does not end: its place is free for another."""
        lane = self._lanes[job.command.lane]
        job.stuck = True
        lane.running -= 1
        lane.stuck += 1
        self._list(lane)

    def end(self, job: Job) -> None:
        """A started JOB ended."""
        lane = self._lanes[job.command.lane]
        if job.stuck:
            lane.stuck -= 1
        else:
            lane.running -= 1
        self._list(lane)
        self._drop_empty(job.command.lane)

    def _list(self, lane: _Lane) -> None:
        if lane.waiting and not lane.listed and lane.running < self._limits.lane_width:
            lane.listed = True
            self._ready.append(lane)

    def _drop_empty(self, name: str) -> None:
        lane = self._lanes[name]
        if not (lane.waiting or lane.running or lane.stuck or lane.listed):
            del self._lanes[name]
