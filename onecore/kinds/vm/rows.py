"""What the parts of the state table are written with: guards, and the rows that every step of an operation has."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onecore.kinds.vm import effects as do
from onecore.kinds.vm.public import FAILED, S
from onecore.lifecycle.machine import Guard, Row, row
from onecore.wire.states import VmState

GO = (do.clear_error, do.clear_resched)
"""What every action that users ask for does."""
_TM = frozenset(("prolog", "epilog", "epilog_stop", "prolog_resume"))


def of_kind(*kinds: str) -> Guard:
    """A guard: the operation is one of KINDS."""
    return lambda vm: vm.op_kind in kinds


def was_off(vm: Any) -> bool:
    """A guard: the operation began in POWEROFF."""
    return bool(vm.prev_state == VmState.POWEROFF)


def all_of(*guards: Callable[[Any], bool] | None) -> Guard:
    """A guard of several; None is none."""
    given = [guard for guard in guards if guard]
    return lambda vm: all(guard(vm) for guard in given)


def step(source: S, action: str, target: S, failure: S | None, *effects: Any, send: str = "",
         back: tuple[Any, ...] = (), begin: tuple[Any, ...] = (), family: str = "") -> list[Row]:
    """What every driver action has: success, failure, the operator's word for either, and another try.

    FAILURE is a *_FAILURE state, or the state to go back to (BACK: effects then).  BEGIN: effects of another try.
    """
    command = f"{family or ('tm' if action in _TM else 'vm')}.{action}"
    rows = [row(source, f"{action}.ok", target, *effects, send=send),
            row(source, "recover_success", target, *effects, send=send),
            row(source, "recover_retry", None, do.again, *begin, send=command)]
    if failure is not None:
        rows += [row(source, f"{action}.fail", failure, do.note_error, *back),
                 row(source, "recover_failure", failure, do.note_error, *back)]
    if failure in FAILED:
        rows += [row(failure, "recover_retry", source, do.clear_error, *begin, send=command),
                 row(failure, "recover_success", target, do.clear_error, *effects, send=send),
                 row(failure, "recover_failure", ignore=True)]
    return rows
