"""A bench's commands that are cut off at one of their steps (cut.py)."""
from __future__ import annotations

from typing import Any

from cut import Cut, Dead
from kvm_bench import Bench

from onecore.wire.messages import Doc, Result


def cut_off(bench: Bench, token: Cut, action: str, vm: Doc, **args: Any) -> Result | None:
    """What came of the action; None where its process was killed: another one is there now."""
    try:
        with token.at_work():
            return bench.do(action, vm, token=token, **args)
    except Dead:
        bench.restart()
        return None
