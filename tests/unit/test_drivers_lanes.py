"""Lanes as a plain data structure: width, turns, bounds, stuck commands."""
from __future__ import annotations

from drivers.lanes import Job, Lanes, Limits
from onecore.wire.messages import Command


def job(op: int, lane: str = "a") -> Job:
    return Job(Command(op, 1, 1, 1, lane, "dummy", "deploy", ("vm", op), 60))


def taken(lanes: Lanes) -> list[int]:
    made = []
    while (each := lanes.take()) is not None:
        made.append(each.command.op)
    return made


def test_a_lane_starts_only_so_many_at_once() -> None:
    lanes = Lanes(Limits(lane_width=2))
    jobs = [job(op) for op in range(4)]
    for each in jobs:
        lanes.add(each)
    assert taken(lanes) == [0, 1]
    lanes.end(jobs[0])
    assert taken(lanes) == [2]


def test_lanes_take_turns() -> None:
    lanes = Lanes(Limits())
    for op, lane in enumerate("aaabbbc"):
        lanes.add(job(op, lane))
    assert taken(lanes) == [0, 3, 6, 1, 4, 2, 5]


def test_a_full_lane_refuses_and_others_do_not() -> None:
    lanes = Lanes(Limits(lane_queue=2, lane_width=1))
    assert [bool(lanes.add(job(op))) for op in range(4)] == [False, False, False, True]
    assert not lanes.add(job(9, "b"))


def test_a_waiting_one_can_be_taken_out() -> None:
    lanes = Lanes(Limits())
    first, second = job(1), job(2)
    lanes.add(first)
    lanes.add(second)
    lanes.remove(first)
    assert taken(lanes) == [2]


def test_stuck_commands_give_their_place_until_there_are_too_many() -> None:
    lanes = Lanes(Limits(lane_width=1))
    stuck, later = job(1), job(2)
    lanes.add(stuck)
    lanes.add(later)
    assert taken(lanes) == [1]
    lanes.give_up(stuck)
    assert taken(lanes) == [2]
    assert "do not end" in lanes.add(job(3))
    lanes.end(stuck)
    assert not lanes.add(job(3))


def test_limits_come_from_settings_with_their_types() -> None:
    assert Limits.of({"lane_width": "2", "threads": 8, "other": 1}) == Limits(lane_width=2, threads=8)
