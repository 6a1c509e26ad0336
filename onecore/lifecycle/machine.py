"""A state machine that is data: rows in, one decision out.  Knows nothing of VMs or images."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from onecore.errors import WrongState

Effect = Callable[..., Any]
Guard = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Row:
    """In SOURCES, on EVENT, go to TARGET (None: stay), run EFFECTS in the transaction, SEND a command FAMILY.ACTION."""

    sources: frozenset[Any]
    event: str
    target: Any = None
    effects: tuple[Effect, ...] = ()
    send: str = ""
    when: Guard | None = None
    ignore: bool = False
    """Late or repeated news, dropped on purpose."""
    keeps_op: bool = False
    """The current operation goes on: this row is a mark or an observation."""
    why: str = ""
    """What a refusal says when `when` is false."""


def row(sources: Any, event: str, target: Any = None, *effects: Effect, send: str = "", when: Guard | None = None,
        ignore: bool = False, keeps_op: bool = False) -> Row:
    """One line of a table; SOURCES is a state or a set of them."""
    many = sources if isinstance(sources, (set, frozenset)) else {sources}
    return Row(frozenset(many), event, target, effects, send, when, ignore, keeps_op)


def split(line: Row, state: Any, when: Guard, why: str) -> list[Row]:
    """LINE, which holds in STATE only WHEN (unless WHY is empty, or LINE is not about it)."""
    if not why or state not in line.sources:
        return [line]
    given = line.when
    guard = when if given is None else lambda record: given(record) and when(record)
    rest = line.sources - {state}
    return ([replace(line, sources=rest)] if rest else []) + [
        replace(line, sources=frozenset((state,)), when=guard, why=why)]


class Machine:
    """The rows of one kind.  NOUN is what error texts call the object."""

    def __init__(self, noun: str, rows: Iterable[Row]) -> None:
        self.noun, self.rows = noun, tuple(rows)
        self._cells: dict[tuple[Any, str], list[Row]] = {}
        for line in self.rows:
            for state in line.sources:
                self._cells.setdefault((state, line.event), []).append(line)
        for cell, lines in self._cells.items():
            if len(lines) > 1 and not all(line.when for line in lines[:-1]):
                raise ValueError(f"ambiguous cell {cell}")

    def knows(self, state: Any, event: str) -> bool:
        """Whether there is a row at all."""
        return (state, event) in self._cells

    def decide(self, state: Any, record: Any, event: str) -> Row:
        """Pick the row.  Pure: changes nothing, raises WrongState."""
        for line in self._cells.get((state, event), ()):
            if line.when is None or line.when(record):
                return line
        raise WrongState(self._refusal(state, record, event), record.oid)

    def _refusal(self, state: Any, record: Any, event: str) -> str:
        possible = sorted({s.name for line in self.rows if line.event == event for s in line.sources})
        where = f"; it is possible in {', '.join(possible[:12])}" if possible and len(possible) <= 12 else ""
        why = next((line.why for line in self._cells.get((state, event), ()) if line.why), "")
        if why:
            where = f": {why}"
        action = event.replace("_", "-")
        return f'Action "{action}" is not available for {self.noun} {record.oid} in state {state.name}{where}'

    def events(self) -> set[str]:
        """All events of the table."""
        return {line.event for line in self.rows}
