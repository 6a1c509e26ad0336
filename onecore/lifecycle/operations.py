"""Operations that ended lately, as their users ask for them: how they ended, and a way to wait for it.

What is under way is in the outbox; this is memory, and forgets with the process.
"""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

KEPT = 2000
"""How many ended operations are known."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an operation of an object ended, at Unix second `time`."""

    op: int
    kind: str
    oid: int
    what: str
    since: int
    time: int
    ok: bool
    error: str = ""
    rid: str = ""


class Operations:
    """The newest KEPT of them."""

    def __init__(self) -> None:
        self._ended: dict[int, Ended] = {}
        self._waiting: dict[int, set[Callable[[], None]]] = {}

    def note(self, ended: Ended) -> None:
        """An operation ended; wakes who waits for it."""
        self._ended[ended.op] = ended
        if len(self._ended) > KEPT:
            del self._ended[next(iter(self._ended))]
        for wake in self._waiting.pop(ended.op, ()):
            wake()

    def find(self, op: int) -> Ended | None:
        """How it ended; None when it did not, or that is forgotten."""
        return self._ended.get(op)

    async def wait(self, op: int, seconds: float) -> None:
        """Return when the operation ends, or after SECONDS."""
        woken = asyncio.Event()
        self._waiting.setdefault(op, set()).add(woken.set)
        try:
            await asyncio.wait_for(woken.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            waiting = self._waiting.get(op)
            if waiting is not None:
                waiting.discard(woken.set)
                if not waiting:
                    del self._waiting[op]
