"""Calendars: calls at the times of a crontab line, whatever the wall clock does."""
from __future__ import annotations

import pytest

from onecore import app
from onecore.config import ConfigError, parse
from onecore.lifecycle.calendar import LOOK_AGAIN, Calendar, trigger
from onecore.lifecycle.clock import SimClock

NOON = 1_800_014_400.0 - 1_800_014_400.0 % 86_400 + 43_200


class Stepped(SimClock):
    """A simulated clock whose wall time can be set."""

    step = 0.0

    def time(self) -> float:
        """Unix time, with the step."""
        return super().time() + self.step


def test_each_time_once() -> None:
    """Every five minutes from noon on."""
    clock, calls = SimClock(NOON + 1), list[float]()
    Calendar(clock, "*/5 * * * *", lambda: calls.append(clock.time() - NOON))
    clock.advance(3600)
    assert calls == [300.0 * n for n in range(1, 13)]


def test_a_step_of_the_wall_clock() -> None:
    """Back: the next call is at the next time of the new hour, not an hour later.  On: what was passed is done once."""
    clock, calls = Stepped(NOON + 1), list[float]()
    calendar = Calendar(clock, "0 * * * *", lambda: calls.append(clock.monotonic()))
    clock.step = -7200.0
    clock.advance(3600)
    assert calls == [3599.0]  # 11:00 by the clock as it was set; 13:00 was waited for before
    clock.step = 3 * 3600.0
    clock.advance(LOOK_AGAIN)
    assert len(calls) == 2
    calendar.cancel()
    clock.advance(86_400)
    assert len(calls) == 2


def test_a_bad_line_names_its_key() -> None:
    """At the start, in words."""
    with pytest.raises(ValueError):
        trigger("sometimes")
    with pytest.raises(ConfigError, match=r"retention\.schedule"):
        app.check(parse({"retention": {"schedule": "61 * * * *"}}))
