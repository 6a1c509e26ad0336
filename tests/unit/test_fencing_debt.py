"""Ending what a host owes: where a newer operation stands that is enough of a fence; other refusals still count."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Permanent, Temporary
from drivers.context import Surroundings
from drivers.execute import execute
from drivers.fence import fenced, fenced_for_debt
from drivers.journal import Journal
from drivers.registry import BUILT_IN, find
from drivers.token import Token
from onecore.wire.messages import Command

ARGS = {"vm": {"dir": "/x/0/1"}, "_": {"op": 5, "attempt": 1, "epoch": 1, "generation": 1, "timeout": 5}}


class Refusing:
    """An executor whose fence says no."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    @contextmanager
    def fence(self, vm_dir: str, order: tuple[int, int, int], wait: Callable[[float], None]) -> Iterator[None]:
        raise self.error
        yield


class Sleeper:
    """A context that only sleeps."""

    def sleep(self, seconds: float) -> None:
        """At once."""


def _enter(how: Callable[..., AbstractContextManager[None]], error: Exception) -> bool:
    with how(Sleeper(), Refusing(error), ARGS):
        return True


def test_a_newer_operation_is_fence_enough() -> None:
    """It keeps older ones from the VM itself; for any other work it is a refusal."""
    newer = Permanent("superseded by operation 9 (epoch 1, generation 2)")
    assert _enter(fenced_for_debt, newer)
    with pytest.raises(Temporary, match="superseded"):
        _enter(fenced_for_debt, Permanent("superseded by operation 9 (epoch 1, generation 1)"))
    with pytest.raises(Permanent, match="superseded"):
        _enter(fenced, newer)


@pytest.mark.parametrize("error", [Permanent("read-only file system"), Temporary("an older one is still at work")])
def test_another_refusal_is_one(error: Exception) -> None:
    """A fence that could not be taken, or is held."""
    with pytest.raises(type(error), match=str(error)):
        _enter(fenced_for_debt, error)


def test_a_question_is_ordered_among_operations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatcher tells questions by a number below 0; fences compare its size."""
    seen: list[dict[str, Any]] = []
    monkeypatch.setitem(find("im", "dummy"), "probe", lambda ctx, args: seen.append(args["_"]) or {})
    assert "im/dummy" in BUILT_IN
    around = Surroundings(tmp_path, {}, lambda: 0.0, Token.wait, lambda message: None, Journal())
    command = Command(-7_000_000_003, 1, 7, 4, "lane", "dummy", "probe", ("host", 0), 5.0)
    assert execute(around, "im", command, Token()).ok
    assert seen == [{"op": 7_000_000_003, "attempt": 1, "epoch": 7, "generation": 4, "timeout": 5.0}]
