"""Drivers without a process: commands run in the calling thread on a given clock, for simulations of a whole cloud."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from drivers.context import Surroundings
from drivers.execute import execute
from drivers.journal import Journal
from drivers.timers import Timers
from drivers.token import Token
from onecore.wire.messages import Command, Message, Result, Sample


class Inline:
    """One family's drivers in the calling thread: the same finding, arguments and errors as in the process.

    `sleep` must make `now` pass.  What repeats (watches) has its turns in `tick`, samples carry the simulated time.
    """

    def __init__(self, family: str, home: Path, settings: Mapping[str, Any], now: Callable[[], float],
                 sleep: Callable[[float], None], emit: Callable[[Message], None], log: TextIO | None = None) -> None:
        self._family = family
        self._now = now
        self._emit = emit
        journal = Journal(log)
        self._timers = Timers(now, journal)
        self._around = Surroundings(home, settings, now, lambda token, seconds: sleep(seconds), self._send, journal)
        self._around.kept.get("timers", lambda: self._timers)

    def run(self, command: Command, token: Token | None = None) -> Result:
        """Carry COMMAND out; a hang ends at its timeout, or at once with a cancelled TOKEN."""
        return execute(self._around, self._family, command, token or Token())

    def tick(self) -> float | None:
        """Take the turns of watches that are due; when the next one is, None when nothing repeats."""
        return self._timers.run_due()

    def keep(self, key: str, kept: object) -> None:
        """Have the drivers use KEPT where they would make their own object under KEY."""
        self._around.kept.get(key, lambda: kept)

    def close(self) -> None:
        """Close what the drivers keep."""
        self._around.kept.close()

    def _send(self, message: Message) -> None:
        self._emit(replace(message, time=int(self._now())) if isinstance(message, Sample) else message)
