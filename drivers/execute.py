"""One command from its message to its result: finds the action, calls it, puts its errors in words."""
from __future__ import annotations

import traceback

from drivers.base import Cancelled, Context, DriverError
from drivers.context import Running, Surroundings
from drivers.registry import resolve
from drivers.token import Token
from onecore.wire.messages import Command, Doc, Result

_LONGEST = 4000


def execute(around: Surroundings, family: str, command: Command, token: Token) -> Result:
    """Carry COMMAND out in the calling thread; never raises."""
    began = around.now()
    result = _attempt(around, family, command, token)
    outcome = "ok" if result.ok else f"{'cancelled' if result.cancelled else 'failed'}: {result.error}"
    around.journal.line("info" if result.ok else "error", command.rid,
                        f"{describe(family, command)}: {outcome} ({(around.now() - began) * 1000:.1f} ms)")
    return result


def describe(family: str, command: Command) -> str:
    """The command in a few words, for the log."""
    kind, oid = command.object
    return (f"{family}/{command.driver}.{command.action} {kind} {oid} in {command.lane}, "
            f"operation {command.op}/{command.attempt}")


def refusal(command: Command, error: str, *, temporary: bool = False, cancelled: bool = False,
            data: Doc | None = None) -> Result:
    """The result of a command that did not succeed."""
    return Result(command.op, command.attempt, command.epoch, False, error[:_LONGEST], temporary, cancelled, data or {})


def _attempt(around: Surroundings, family: str, command: Command, token: Token) -> Result:
    try:
        context = Running(around, command, token)
        context.check()
        data = _call(context, family, command)
    except DriverError as error:
        cancelled = token.cancelled or isinstance(error, Cancelled)
        return refusal(command, str(error) or type(error).__name__, temporary=error.temporary, cancelled=cancelled,
                       data=error.data)
    except BaseException as error:
        around.journal.line("error", command.rid, traceback.format_exc())
        text = f"internal error in {command.driver}.{command.action}: {type(error).__name__}: {error}"
        return refusal(command, text, cancelled=token.cancelled)
    return Result(command.op, command.attempt, command.epoch, True, data=data)


def _call(context: Context, family: str, command: Command) -> Doc:
    """The action gets the command's args and, under `_`, what fences it (a question's number is below 0)."""
    stamp = {"op": abs(command.op), "attempt": command.attempt, "epoch": command.epoch,
             "generation": command.generation, "timeout": command.timeout}
    return resolve(family, command.driver, command.action)(context, {**command.args, "_": stamp})
