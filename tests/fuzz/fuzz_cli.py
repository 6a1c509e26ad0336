"""The command line of the fuzzer: how long, with which inputs, and what is told of them."""
from __future__ import annotations

import argparse
import os
import time
import warnings

from chaos_pool import scratch
from fuzz_grammars import GRAMMARS
from fuzz_run import Tally, megabytes, tried
from fuzz_world import World, batches, dummies_only

METHODS = "methods"
"""The target that is no grammar: whole clouds."""
AT_ONCE = {METHODS: 100}
"""Inputs of a target before the next one has its turn; 1000 of others."""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="other seeds, other inputs (default: %(default)s)")
    parser.add_argument("--target", action="append", choices=[*GRAMMARS, METHODS],
                        help="only this one; may be repeated")
    parser.add_argument("--batches", type=lambda text: [int(n) for n in text.split(",")], default=[],
                        help="calls once more, as a finding names them; nothing else")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Fuzz; 1 when something was found."""
    asked = arguments(argv)
    names = asked.target or [*GRAMMARS, METHODS]
    tallies = {name: Tally(name) for name in names}
    end, start = time.monotonic() + asked.minutes * 60, asked.seed * 1_000_000
    warnings.simplefilter("ignore")
    with scratch() as base, dummies_only():
        os.environ["HOME"] = str(base / "user")
        world = World(base, tallies[METHODS], _told) if METHODS in tallies else None
        for batch in asked.batches if world else ():
            world.check(batch)
        while not asked.batches and time.monotonic() < end:
            for name in names:
                if len(tallies[name].findings) < 20 and time.monotonic() < end:
                    _turn(tallies[name], world if name == METHODS else None, start)
                start += 1
        if world is not None:
            world.end()
    for tally in tallies.values():
        print(tally.line())
    print(f"at most {megabytes():.0f} MB of memory")
    return int(any(tally.findings for tally in tallies.values()))


def _turn(tally: Tally, world: World | None, start: int) -> None:
    before = len(tally.findings)
    inputs, check = (batches, world.check) if world else (GRAMMARS[tally.name].inputs, GRAMMARS[tally.name].check)
    tried(tally, inputs, check, AT_ONCE.get(tally.name, 1000), start)
    if world is None:
        for found in tally.findings[before:]:
            _told(f"{tally.name}: {found}")


def _told(text: str) -> None:
    print(text, flush=True)



