"""A slice of the crash matrix, the same each time: every action once alone, then struck once at some point.

The whole of it is `python -m tests.chaos` (docs/chaos.md).
"""
from __future__ import annotations

import os
from collections import Counter
from random import Random

import chaos_matrix as matrix
import pytest
from chaos_actions import ACTIONS
from chaos_pool import Worker
from chaos_roads import ROADS
from chaos_run import Plan
from sim_points import POINTS

SEED = int(os.environ.get("CHAOS_SEED", "1"))
SEEN: set[tuple[str, str]] = set()
"""(state, event) that the table was asked for."""
REACHED: Counter[str] = Counter()
"""Points that were reached."""
STARTS = sorted(ROADS)


def _store(name: str) -> str:
    """Each action has its turn with either, by its name."""
    stores = ACTIONS[name].stores
    return stores[sum(name.encode()) % len(stores)]


@pytest.mark.parametrize("start", STARTS)
def test_actions(worker: Worker, start: str) -> None:
    """Every action of a starting place: alone it comes to where it should, struck to where it may."""
    for name in [name for name, action in ACTIONS.items() if action.start == start]:
        alone = worker.run(Plan(name, _store(name), SEED))
        assert not alone.violations, f"{alone.plan.command()}: {alone.violations[0]}"
        dice = Random(f"{SEED} {name}")
        place = dice.choice(matrix.places(alone.hits))
        struck = worker.run(Plan(name, _store(name), SEED, (matrix.strike(dice, place),)))
        assert not struck.violations, f"python -m tests.chaos {struck.plan.command()}: {struck.violations[0]}"
        SEEN.update(alone.cells | struck.cells)
        REACHED.update({point: number for report in (alone, struck) for (point, _), number in report.hits.items()})


def test_every_point_was_reached() -> None:
    """At least once, in what ran before this."""
    _needs_all()
    assert [name for name in POINTS if not REACHED[name]] == []


def test_every_event_of_the_table_was_asked_for() -> None:
    """In each of its states, by some action."""
    _needs_all()
    assert matrix.unasked(SEEN) == []


def _needs_all() -> None:
    if not REACHED:
        pytest.skip("the actions did not run before this")
