"""Which runs there are: each action alone, then struck once at each of its points, then as the dice say."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from random import Random

from chaos_actions import ACTIONS
from chaos_run import Plan
from sim_points import POINTS, Strike

from onecore.kinds.vm.states import VM

Hits = Mapping[tuple[str, str], int]
"""How often an action, left alone, reaches each (point, detail)."""
ANSWERS = (".ok", ".fail", ".lost")
UNSTRUCK = {
    "seen_found": "a restored cloud takes a guest over: tests/functional/test_backup_restore.py",
    "UNKNOWN/seen_saved": "as of a RUNNING one, when its host was silent besides",
    "stranded": "an observation that changes no state: tests/functional/test_ha_sim.py",
}
"""Events that no row begins with, and where they are tested instead."""
AMOUNTS = {"delay": (0.3, 3.0, 20.0), "duplicate": (0.0, 1.0, 20.0), "reorder": (1.0, 5.0), "late": (5.0, 30.0, 90.0)}
"""Seconds, by fault."""
OFTEN = {"sample": 2, "news": 2}
"""Words that come again and again: how many of them are struck."""
START = Strike("driver.start", 1, "driver")


def alone(names: Iterable[str]) -> list[Plan]:
    """Every action in each of its stores, and nothing strikes."""
    return [Plan(name, store, 1) for name in names for store in ACTIONS[name].stores]


def places(hits: Hits) -> list[tuple[str, str, int]]:
    """Each (point, detail, number of its hit) at which an action can be struck."""
    return [(point, detail, nth) for (point, detail), number in sorted(hits.items())
            for nth in range(1, min(number, OFTEN.get(detail, number)) + 1)]


def pairs(found: Mapping[tuple[str, str], Hits], seed: int) -> Iterator[Plan]:
    """One run for each (action, point): one of its hits, one of its faults."""
    for (name, store), hits in sorted(found.items()):
        dice = Random(f"{seed} {name} {store}")
        by_point: dict[str, list[tuple[str, str, int]]] = {}
        for place in places(hits):
            by_point.setdefault(place[0], []).append(place)
        for choices in by_point.values():
            yield Plan(name, store, seed, (strike(dice, dice.choice(choices)),))


def each(found: Mapping[tuple[str, str], Hits], seed: int) -> Iterator[Plan]:
    """One run for each hit of each action, another fault with each seed."""
    for (name, store), hits in sorted(found.items()):
        dice = Random(f"{seed} {name} {store}")
        for place in places(hits):
            yield Plan(name, store, seed, (strike(dice, place),))


def at_random(found: Mapping[tuple[str, str], Hits], seed: int) -> Iterator[Plan]:
    """Any action, struck one to four times, for ever."""
    dice, names = Random(seed), sorted(found)
    for number in range(1 << 40):
        name, store = dice.choice(names)
        choices = places(found[name, store])
        strikes = dict.fromkeys(strike(dice, dice.choice(choices)) for _ in range(dice.choice((1, 2, 2, 3, 4))))
        if dice.random() < 0.2:
            strikes[START] = None
        yield Plan(name, store, seed + number, tuple(strikes))


def plans(found: Mapping[tuple[str, str], Hits], seed: int, number: int) -> list[Plan]:
    """NUMBER runs: first each pair of action and point, in either store; then what the dice say, in turn with the same
    pairs in the other store and with each single hit."""
    both = list(pairs(found, seed))
    Random(seed).shuffle(both)
    once = {(plan.action, plan.strikes[0].point): plan for plan in both}
    first, rest = list(once.values()), set(both) - set(once.values())
    second = [*(plan for plan in both if plan in rest), *each(found, seed + 1)]
    Random(seed).shuffle(second)
    dice = at_random(found, seed)
    mixed = chain.from_iterable((next(dice), one) for one in second)
    return list(islice(chain(first, mixed, dice), number))


def reachable(found: Mapping[tuple[str, str], Hits]) -> set[tuple[str, str]]:
    """Every pair of action and point that there is."""
    return {(name, point) for (name, _), hits in found.items() for point, _ in hits}


def strike(dice: Random, place: tuple[str, str, int]) -> Strike:
    """A fault of a point, as the dice say."""
    point, detail, nth = place
    fault = dice.choice(POINTS[point].faults)
    amount = dice.choice(AMOUNTS.get(fault, (1.0,)))
    at_once = point == "send.before" and fault == "duplicate"  # in a pipe no command comes again after its end
    return Strike(point, nth, fault, detail, 0.0 if at_once else amount)


def unasked(cells: set[tuple[str, str]]) -> list[str]:
    """STATE/EVENT of the state table, but for the answers of drivers, that are not among CELLS."""
    wanted = {(s.name, line.event) for line in VM.rows if not line.ignore for s in line.sources
              if not line.event.endswith(ANSWERS) and line.event not in UNSTRUCK}
    return sorted({f"{state}/{event}" for state, event in wanted - cells} - set(UNSTRUCK))
