"""Scheduled actions by the calendar: when each is due, against days counted by hand; a year on a simulated clock."""
from __future__ import annotations

import time
from dataclasses import replace

import pytest
from effort import calls
from hypothesis import given, settings
from hypothesis import strategies as st

from onecore.api import TABLE
from onecore.errors import NotAllocated
from onecore.kinds.vm import scheduled
from onecore.kinds.vm.record import Scheduled
from onecore.lifecycle import calendar
from onecore.lifecycle.calendar import Alarms, next_time
from onecore.lifecycle.clock import SimClock

DAY = 86_400
NEW_YEAR = 1_798_761_600
"""2027-01-01 00:00 UTC, a Friday."""
FIRST = NEW_YEAR + 9 * 3600 + 30 * 60 + 15
LIMITS = {"week": (0, 6), "month": (1, 31), "year": (0, 365)}
FIELD = {"week": lambda t: (t.tm_wday + 1) % 7, "month": lambda t: t.tm_mday, "year": lambda t: t.tm_yday - 1}
"""The number of a day by the series, of a struct_time: found by the C library, not by what is tested."""


def by_hand(every: str, days: set[int], first: int, after: int) -> int:
    """Day by day from FIRST on."""
    moment = first
    while moment < after or FIELD[every](time.gmtime(moment)) not in days:
        moment += DAY
    return moment


@st.composite
def series(draw: st.DrawFn) -> tuple[str, set[int]]:
    """A series and its days."""
    every = draw(st.sampled_from(sorted(LIMITS)))
    return every, draw(st.sets(st.integers(*LIMITS[every]), min_size=1, max_size=5))


MOMENTS = st.integers(1, 4 * 10**9)


@settings(deadline=None, max_examples=300)
@given(series(), MOMENTS, st.integers(-400 * DAY, 400 * DAY))
def test_the_next_time_is_the_first_day_that_fits(what: tuple[str, set[int]], first: int, ahead: int) -> None:
    """For any series, begin and present; a 366th day waits for a leap year."""
    every, days = what
    after = max(0, first + ahead)
    assert next_time(every, days, first, after) == by_hand(every, days, first, after)


@given(st.integers(1, 168), MOMENTS, st.integers(-400 * DAY, 400 * DAY))
def test_hours_are_counted_from_the_first(hours: int, first: int, ahead: int) -> None:
    """Not from the present, nor from midnight."""
    found, after = next_time("hours", [hours], first, max(0, first + ahead)), max(first, first + ahead)
    assert found >= after > found - hours * 3600 and (found - first) % (hours * 3600) == 0


@settings(deadline=None)
@given(series(), MOMENTS, st.integers(0, 50))
def test_runs_follow_each_other(what: tuple[str, set[int]], first: int, number: int) -> None:
    """Each later than the last, at the same time of the day, none left out."""
    every, days = what
    moment = next_time(every, days, first, first)
    for _ in range(number % 8):
        following = next_time(every, days, first, moment + 1)
        assert following > moment and following % DAY == first % DAY
        assert following == by_hand(every, days, first, moment + 1)
        moment = following


def test_days_that_a_month_or_year_has_not() -> None:
    """Are left out; 2096 is followed by 2104, as 2100 is no leap year."""
    def days(every: str, wanted: set[int], first: int, number: int) -> list[str]:
        out, moment = [], first - 1
        for _ in range(number):
            moment = next_time(every, wanted, first, moment + 1)
            out.append(time.strftime("%F", time.gmtime(moment)))
        return out
    assert days("month", {31}, NEW_YEAR, 4) == ["2027-01-31", "2027-03-31", "2027-05-31", "2027-07-31"]
    assert days("year", {365, 0}, NEW_YEAR, 4) == ["2027-01-01", "2028-01-01", "2028-12-31", "2029-01-01"]
    assert days("year", {365}, 3_944_678_400, 3) == ["2096-12-31", "2104-12-31", "2108-12-31"]
    assert days("year", {59}, NEW_YEAR, 2) == ["2027-03-01", "2028-02-29"]


# -- a year


def row(**given: object) -> Scheduled:
    """A scheduled action of a VM that was made at New Year."""
    return scheduled.read({"ACTION": "poweroff", "TIME": str(FIRST), **{k: str(v) for k, v in given.items()}})


def a_year(monkeypatch: pytest.MonkeyPatch, **given: object) -> list[str]:
    """When one is done in 2027, by alarms on a simulated clock."""
    monkeypatch.setattr(calendar, "LOOK_AGAIN", 3600.0)
    clock, done = SimClock(NEW_YEAR), list[str]()
    kept = [scheduled.plan(row(**given), NEW_YEAR, NEW_YEAR)]

    def ring(key: int) -> None:
        done.append(time.strftime("%m-%d %T", time.gmtime(clock.time())))
        kept[0] = scheduled.after(kept[0], NEW_YEAR, int(clock.time()))
        alarms.set(key, kept[0].due) if kept[0].due else alarms.drop(key)
    alarms = Alarms(clock, ring)
    alarms.set(7, kept[0].due)
    clock.advance(365 * DAY)
    return done


def test_a_year_of_weeks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sundays and Wednesdays, at the same time by UTC in summer and winter."""
    done = a_year(monkeypatch, REPEAT=0, DAYS="0,3")
    assert len(done) == 104 and done[:3] == ["01-03 09:30:15", "01-06 09:30:15", "01-10 09:30:15"]
    assert {moment[6:] for moment in done} == {"09:30:15"}


def test_a_year_of_months_and_of_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven months have 31 days; the first is the day itself."""
    assert [m[:5] for m in a_year(monkeypatch, REPEAT=1, DAYS="31")] == [
        "01-31", "03-31", "05-31", "07-31", "08-31", "10-31", "12-31"]
    assert [m[:5] for m in a_year(monkeypatch, REPEAT=2, DAYS="0,100,365")] == ["01-01", "04-11"]


def test_a_year_of_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each 100 hours from the first on."""
    done = a_year(monkeypatch, REPEAT=3, DAYS=100)
    assert len(done) == 88 and done[:2] == ["01-01 09:30:15", "01-05 13:30:15"]


def test_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a time, or so many seconds after the VM was made."""
    assert a_year(monkeypatch) == ["01-01 09:30:15"]
    assert a_year(monkeypatch, TIME=f"+{40 * DAY}") == ["02-10 00:00:00"]


def test_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many times, or no later than a date, which may be that of a run."""
    assert len(a_year(monkeypatch, REPEAT=0, DAYS=5, END_TYPE=1, END_VALUE=3)) == 3
    assert len(a_year(monkeypatch, REPEAT=0, DAYS=5, END_TYPE=2, END_VALUE=FIRST + 14 * DAY)) == 3
    assert len(a_year(monkeypatch, REPEAT=0, DAYS=5, END_TYPE=2, END_VALUE=FIRST + 14 * DAY - 1)) == 2
    assert len(a_year(monkeypatch, REPEAT=0, DAYS=5, END_TYPE=0, END_VALUE=1)) == 53


@given(st.integers(1, 9), st.lists(st.integers(1, 20 * DAY), max_size=20))
def test_an_end_is_never_passed(times: int, pauses: list[int]) -> None:
    """However late the runs are, there are END_VALUE of them and no more."""
    kept, now = scheduled.plan(row(REPEAT=3, DAYS=7, END_TYPE=1, END_VALUE=times), NEW_YEAR, NEW_YEAR), NEW_YEAR
    runs = 0
    for pause in pauses:
        now += pause
        if 0 < kept.due <= now:
            kept, runs = scheduled.after(kept, NEW_YEAR, now), runs + 1
            assert not kept.due or kept.due > now
    assert runs == kept.runs <= times and (kept.due == 0) == (runs == times)


# -- alarms


class Stepped(SimClock):
    """A simulated clock whose wall time can be set."""

    step = 0.0

    def time(self) -> float:
        """Unix time, with the step."""
        return super().time() + self.step


def test_alarms_when_the_wall_clock_is_set() -> None:
    """Back: each rings at its time by the clock as it is.  On: within a minute.  Never twice for one time."""
    clock, rung = Stepped(NEW_YEAR), list[int]()

    def ring(key: int) -> None:
        rung.append(int(clock.time()) - NEW_YEAR)
        alarms.drop(key)
    alarms = Alarms(clock, ring)
    alarms.set(1, NEW_YEAR + 3600)
    clock.step = -7200
    clock.advance(3600 + 7199)
    assert rung == []
    clock.advance(1)
    assert rung == [3600]
    alarms.set(2, NEW_YEAR + 5 * DAY)
    clock.step += 10 * DAY
    clock.advance(calendar.LOOK_AGAIN)
    assert len(rung) == 2
    clock.step -= 10 * DAY
    clock.advance(11 * DAY)
    assert len(rung) == 2 and len(alarms) == 0


def test_an_alarm_that_raises_keeps_no_other_from_ringing() -> None:
    """It rings again after a rest; the others ring at once, some in each turn."""
    clock, rung = SimClock(NEW_YEAR), list[int]()

    def ring(key: int) -> None:
        rung.append(key)
        if key == 0:
            raise RuntimeError("a bug")
        alarms.drop(key)
    alarms = Alarms(clock, ring)
    for key in range(100):
        alarms.set(key, NEW_YEAR + 10)
    for _ in range(20):
        try:
            clock.advance(11 - clock.monotonic())
            break
        except RuntimeError:
            continue
    assert sorted(rung) == list(range(100))
    with pytest.raises(RuntimeError):
        clock.advance(calendar.REST)
    assert rung.count(0) == 2 and len(rung) == 101


def test_many_at_once_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few in each turn of the loop, in the order of their times."""
    clock, rung, turns = SimClock(NEW_YEAR), list[int](), list[int]()
    look = Alarms._look

    def counted(self: Alarms) -> None:
        before = len(rung)
        look(self)
        turns.append(len(rung) - before)
    monkeypatch.setattr(Alarms, "_look", counted)

    def ring(key: int) -> None:
        rung.append(key)
        alarms.drop(key)
    alarms = Alarms(clock, ring)
    for key in range(95):
        alarms.set(key, NEW_YEAR + 200 - key)
    clock.advance(60)
    assert rung == []
    alarms.set(1000, NEW_YEAR + 300)
    clock._start += 500  # the clock is set on: all of them are due
    clock.advance(60)
    assert rung == [*range(94, -1, -1), 1000]
    assert max(turns) == calendar.AT_ONCE and sum(turns) == 96


def test_ten_thousand_alarms_cost_nothing_until_one_is_due() -> None:
    """A look a minute, whatever their number."""
    clock = SimClock(NEW_YEAR)
    alarms = Alarms(clock, lambda key: None)
    for key in range(10_000):
        alarms.set(key, NEW_YEAR + DAY + key)
    looks, call_later = [0], clock.call_later

    def counted(seconds: float, call: object) -> object:
        looks[0] += 1
        return call_later(seconds, call)  # type: ignore[arg-type]
    clock.call_later = counted  # type: ignore[method-assign, assignment]
    work = calls(lambda: clock.advance(3600))
    assert looks[0] <= 61 and work < 100 * looks[0]


# -- what may be said

BAD = [
    ({"ACTION": "explode"}, "ACTION"), ({"ACTION": ""}, "ACTION"), ({"ACTION": "backup"}, "not there yet"),
    ({"ACTION": "migrate"}, "ACTION"), ({"ACTION": "resched"}, "ACTION"),
    *(({"TIME": t}, "TIME") for t in ("", "now", "-5", "1e9", "++5", "²", "9" * 30, "2027-01-01")),
    *(({"REPEAT": r, "DAYS": "1"}, "REPEAT") for r in ("4", "-2", "x", "weekly")),
    *(({"REPEAT": r, "DAYS": d}, "DAYS") for r, d in (
        ("0", "7"), ("0", ""), ("0", "1,,2"), ("1", "0"), ("1", "32"), ("2", "366"), ("3", "0"), ("3", "169"),
        ("3", "1,2"), ("1", "²"))),
    ({"DAYS": "1"}, "REPEAT"), ({"END_TYPE": "1", "END_VALUE": "5"}, "REPEAT"),
    *(({"REPEAT": "0", "DAYS": "1", "END_TYPE": t, "END_VALUE": v}, n) for t, v, n in (
        ("3", "1", "END_TYPE"), ("x", "1", "END_TYPE"), ("1", "", "END_VALUE"), ("1", "0", "END_VALUE"),
        ("2", "tomorrow", "END_VALUE"))),
    ({"WARNING": "soon"}, "WARNING"), ({"MISFIRE": "twice"}, "MISFIRE"), ({"WHEN": "5"}, "WHEN"),
    ({"ARGS": "1"}, "ARGS"), ({"ACTION": "snapshot-create"}, "ARGS"),
    ({"ACTION": "snapshot-revert", "ARGS": "last"}, "ARGS"), ({"ACTION": "disk-snapshot-create", "ARGS": "0"}, "ARGS"),
    ({"ACTION": "disk-snapshot-delete", "ARGS": "0,1,2"}, "ARGS"),
]


@pytest.mark.parametrize(("change", "name"), BAD, ids=str)
def test_what_is_refused_is_named(change: dict[str, str], name: str) -> None:
    """Each attribute by its name."""
    with pytest.raises(NotAllocated, match=rf"SCHED_ACTION.*{name}"):
        scheduled.read({"ACTION": "poweroff", "TIME": "+60", **change})


def test_times_that_are_past() -> None:
    """A moment ago is now, since clocks differ; longer ago is refused; what comes again comes next."""
    assert scheduled.plan(row(TIME=FIRST), 0, FIRST + 59).due == FIRST
    with pytest.raises(NotAllocated, match="TIME"):
        scheduled.plan(row(TIME=FIRST), 0, FIRST + 61)
    with pytest.raises(NotAllocated, match="TIME"):
        scheduled.plan(row(TIME="+60"), FIRST - 200, FIRST)
    assert scheduled.plan(row(REPEAT=3, DAYS=2), 0, FIRST + 30).due == FIRST
    assert scheduled.plan(row(REPEAT=3, DAYS=2), 0, FIRST + 7300).due == FIRST + 14400
    with pytest.raises(NotAllocated, match="END_VALUE"):
        scheduled.plan(row(REPEAT=3, DAYS=2, END_TYPE=2, END_VALUE=FIRST + 7200), 0, FIRST + 7300)


def test_what_bodies_show_is_taken_back() -> None:
    """All of it, as clients that edit a body send it."""
    given = row(REPEAT=0, DAYS="1,5", END_TYPE=1, END_VALUE=4, WARNING=-60, MISFIRE="skip")
    assert scheduled.read({"ID": "1", "DONE": "-1", "MESSAGE": "", **scheduled.vector(given)}) == given
    once = row(ACTION="disk-snapshot-create", ARGS="0, a, b")
    assert scheduled.read(scheduled.vector(once)) == once
    assert scheduled.arguments(once.action, once.args) == ["0", "a, b"]
    planned = replace(given, due=5 * FIRST)
    assert scheduled.vector(planned)["TIME"] == str(5 * FIRST)


def test_no_action_needs_a_slow_answer() -> None:
    """What is scheduled is decided in one step: none of the methods prepares anything."""
    import onecore.kinds  # noqa: F401 (fills the table)

    found = {action.method for action in scheduled.ACTIONS.values()} & set(TABLE)
    assert "one.vm.action" in found
    assert [name for name in found if TABLE[name].prepare is not None] == []
