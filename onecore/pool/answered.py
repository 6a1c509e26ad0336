"""The record of a call that was answered under an idempotency key."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onecore.pool.record import Object, Record


@dataclass(frozen=True, slots=True)
class Answered(Record):
    """User `uid` called `method` under the key `word`: digest of its arguments, value (JSON), Unix seconds."""

    TABLE: ClassVar[str] = "answered"
    KEY: ClassVar[tuple[str, ...]] = ("uid", "method", "word")
    uid: int
    method: str
    word: str
    digest: str
    value: str
    time: int

    def touches(self) -> tuple[Object, ...]:
        """It shows nowhere."""
        return ()
