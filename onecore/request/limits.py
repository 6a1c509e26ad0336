"""How much one user may ask at once: calls a second, calls in progress, large answers.

Administrators have no limits.
"""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from onecore.auth.caller import Caller
from onecore.config import Limits as Config
from onecore.errors import TooMuch

BURST = 2.0
"""Seconds' worth of calls that may come at once."""
KEPT = 10_000
"""Users whose calls are remembered."""


@dataclass(slots=True)
class _Use:
    tokens: float
    since: float
    in_progress: int = 0


class Limits:
    """What each user has used."""

    def __init__(self, config: Config, large_answers: int, now: Callable[[], float]) -> None:
        self._config, self._now, self._large = config, now, large_answers
        self._users: dict[int, _Use] = {}
        self._all = asyncio.Semaphore(large_answers)
        self._answers: dict[int, tuple[asyncio.Semaphore, int]] = {}

    @contextmanager
    def call(self, caller: Caller) -> Iterator[None]:
        """Around one call of a user; TooMuch when that is more than the user may have."""
        if caller.admin:
            yield
            return
        use = self._use(caller.uid)
        self._count(caller.uid, use)
        most = self._config.calls_in_progress
        if most and use.in_progress >= most:
            raise TooMuch(f"user {caller.uid} has {most} calls in progress, as many as one user may have "
                          "(limits.calls_in_progress); wait for one of them")
        use.in_progress += 1
        try:
            yield
        finally:
            use.in_progress -= 1

    def _use(self, uid: int) -> _Use:
        found = self._users.get(uid)
        if found is None:
            if len(self._users) >= KEPT:
                self._users = {u: use for u, use in self._users.items() if use.in_progress}
            found = self._users[uid] = _Use(self._config.calls_a_second * BURST, self._now())
        return found

    def _count(self, uid: int, use: _Use) -> None:
        rate, now = self._config.calls_a_second, self._now()
        if not rate:
            return
        use.tokens, use.since = min(rate * BURST, use.tokens + (now - use.since) * rate), now
        if use.tokens < 1:
            raise TooMuch(f"user {uid} makes more than {rate} calls a second, as many as one user may make "
                          f"(limits.calls_a_second); try again in {(1 - use.tokens) / rate:.2f} s")
        use.tokens -= 1

    @asynccontextmanager
    async def large(self, caller: Caller | None) -> AsyncIterator[None]:
        """Around the sending of a large answer: waits for its turn.  An administrator's waits for nobody's."""
        if caller is not None and caller.admin:
            yield
            return
        uid = caller.uid if caller else -1
        own, users = self._answers.get(uid) or (asyncio.Semaphore(self._config.large_answers or self._large), 0)
        self._answers[uid] = own, users + 1
        try:
            async with own, self._all:
                yield
        finally:
            own, users = self._answers[uid]
            self._answers[uid] = own, users - 1
            if users == 1:
                del self._answers[uid]
