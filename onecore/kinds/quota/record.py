"""The limits of a user or group, or those of all that have none of their own."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onecore.pool.record import Object, Record

DEFAULTS = -1
"""In place of an id: the limits of all users, or groups."""


@dataclass(frozen=True, slots=True)
class Quota(Record):
    """`owner` is "user" or "group"; `limits` are JSON (kinds/quota/limits.py)."""

    TABLE: ClassVar[str] = "quota"
    KEY: ClassVar[tuple[str, ...]] = ("owner", "oid")
    owner: str
    oid: int
    limits: str

    def touches(self) -> tuple[Object, ...]:
        """The user or group."""
        return ((self.owner, self.oid),)
