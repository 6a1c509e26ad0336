"""A slice of the crash matrix, the same each time: every action once alone, every eighth struck once at some point.

Some of them with a second VM beside.  ONECORE_LONG=1 takes each of them; the whole of it is `python -m tests.chaos`
(docs/chaos.md).
"""
from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from random import Random

import chaos_bodies
import chaos_matrix as matrix
import pytest
from chaos_actions import ACTIONS
from chaos_beside import BESIDE
from chaos_pool import Worker
from chaos_roads import ROADS
from chaos_run import Plan, Report
from sim_points import LONG, POINTS

from onecore.kinds.vm.public import S

SEED = int(os.environ.get("CHAOS_SEED", "1"))
SEEN: set[tuple[str, str]] = set()
"""(state, event) that the table was asked for."""
REACHED: Counter[str] = Counter()
"""Points that were reached."""
RAN: set[str] = set()
"""Starting places whose actions all ran, and held."""
STARTS = sorted(ROADS)
STRUCK = set(sorted(ACTIONS)[::1 if LONG else 8])
"""The actions that are struck."""


def _store(name: str) -> str:
    """Each action has its turn with either, by its name."""
    stores = ACTIONS[name].stores
    return stores[sum(name.encode()) % len(stores)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("start", STARTS)
def test_actions(worker: Worker, start: str) -> None:
    """Every action of a starting place: alone it comes to where it should, struck to where it may."""
    for name in [name for name, action in ACTIONS.items() if action.start == start]:
        _run(worker, Plan(name, _store(name), SEED), name in STRUCK)
    RAN.add(start)


@pytest.mark.parametrize("beside", BESIDE)
def test_two_vms(worker: Worker, beside: str) -> None:
    """With a second VM that does something at the same time: some of the actions, alone and struck."""
    first = list(BESIDE).index(beside)
    for name in sorted(ACTIONS)[first::len(BESIDE) * (1 if LONG else 32)]:
        _run(worker, Plan(name, _store(name), SEED, beside=beside), True)


def _run(worker: Worker, plan: Plan, struck: bool) -> None:
    """The plan with no strikes, and with one if it is to be STRUCK."""
    alone = _holds(worker, plan)
    if struck:
        dice = Random(f"{SEED} {plan.action}")
        place = dice.choice(matrix.places(alone.hits))
        _holds(worker, replace(plan, strikes=(matrix.strike(dice, place),)))


def _holds(worker: Worker, plan: Plan) -> Report:
    report = worker.run(plan)
    assert not report.violations, f"python -m tests.chaos {plan.command()}: {report.violations[0]}"
    if not plan.strikes and not plan.beside:  # what only a strike leads to is no row's merit
        SEEN.update(report.cells)
    REACHED.update({point: number for (point, _), number in report.hits.items()})
    return report


@pytest.mark.timeout(600)
def test_every_point_was_reached(worker: Worker) -> None:
    """At least once."""
    _needs_all(worker)
    assert [name for name in POINTS if not REACHED[name]] == []


@pytest.mark.timeout(600)
def test_every_event_of_the_table_was_asked_for(worker: Worker) -> None:
    """In each of its states, by some action."""
    _needs_all(worker)
    assert matrix.unasked(SEEN) == []


@pytest.mark.timeout(600)
def test_every_state_was_looked_at(worker: Worker) -> None:
    """In each, the VM's bodies and those of what it is on were what their schemas say, else a run had told."""
    _needs_all(worker)
    assert sorted({state.name for state in S} - {state for state, _ in chaos_bodies.SEEN}) == []


def _needs_all(worker: Worker) -> None:
    """What another of xdist's workers ran, or nobody, is run here too."""
    for start in STARTS:
        if start not in RAN:
            test_actions(worker, start)
