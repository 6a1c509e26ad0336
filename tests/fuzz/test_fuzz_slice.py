"""A slice of the fuzzer, the same inputs each time; the whole of it is `python -m tests.fuzz` (docs/fuzzing.md)."""
from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import fuzz_world
import pytest
from fuzz_grammars import GRAMMARS
from fuzz_run import MEGABYTES, Hang, Tally, bounded, megabytes, tried
from fuzz_world import AT_ONCE, World, dummies_only
from hypothesis import strategies as st
from sim_points import LONG

from onecore.api import TABLE

pytestmark = pytest.mark.surface
INPUTS, BATCHES = (1500, 160) if LONG else (150, 16)
REGRESSIONS: dict[str, list[Any]] = json.loads((Path(__file__).parent / "found.json").read_text())
"""Inputs that were found to break a grammar; calls that were are in tests/functional/bad_cases.py."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a cloud may be."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    return tmp_path


@pytest.mark.parametrize("name", GRAMMARS)
def test_a_grammar(name: str) -> None:
    """Every input is understood or refused with a word, soon; those that were found first."""
    tally = Tally(name)
    for found in REGRESSIONS.get(name, []):
        GRAMMARS[name].check(found.encode("latin-1") if name == "calls" else found)
    tried(tally, GRAMMARS[name].inputs, GRAMMARS[name].check, INPUTS, None)
    assert tally.findings == [] and tally.inputs >= INPUTS / 2


def test_methods(home: Path) -> None:
    """Calls of every method: none ends in INTERNAL or a traceback, all bodies are what their schemas say."""
    tally = Tally("methods")
    world = World(home, tally)
    with dummies_only():
        for batch in range(BATCHES):
            world.check(batch)
        world.end()
    assert tally.findings == [] and tally.inputs == BATCHES * AT_ONCE


def test_a_bug_would_be_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in a method, with the calls that lead there, and one in a grammar, made small."""
    def broken(*_: object) -> int:
        raise KeyError("planted")
    monkeypatch.setitem(TABLE, "one.zone.info", replace(TABLE["one.zone.info"], call=broken))
    monkeypatch.setattr(fuzz_world, "call", lambda rng: ("oneadmin", "one.zone.info", [0]))
    tally = Tally("methods")
    world = World(home, tally)
    world.check(7)
    world.end()
    assert "planted" in tally.findings[0] and "one.zone.info(0,)" in tally.findings[0]
    assert "--batches 7\n" in tally.findings[0] and "Internal error" in tally.findings[1] and len(tally.findings) == 2
    tally = Tally("integers")
    tried(tally, st.integers(0, 50), lambda number: 1 // max(0, 20 - number), 200, None)
    assert "ZeroDivisionError" in tally.findings[0] and "value=20" in tally.findings[0]


def test_what_hangs_is_stopped() -> None:
    """And the next input has its turn.  The timer counts whole ticks of the processor, the tally what was used."""
    tally = Tally("hangs")
    with pytest.raises(Hang), bounded(tally, 0.1):
        while True:
            os.getpid()
    with bounded(tally):
        pass
    assert tally.inputs == 2 and tally.slowest >= 0.05


def test_what_takes_memory_is_found() -> None:
    """Beyond what one input may."""
    with pytest.raises(AssertionError, match="MB for one input"), bounded(Tally("memory")):
        assert len(bytearray(int(megabytes() + 2 * MEGABYTES) << 20)) > 0
