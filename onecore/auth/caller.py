"""The identity behind a call."""
from __future__ import annotations

from dataclasses import dataclass

ADMINS = 0
"""Group 0: its members may do everything."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A user as one call sees it: primary group and all groups."""

    uid: int
    gid: int
    name: str
    gids: frozenset[int]

    @property
    def admin(self) -> bool:
        """Whether it is user 0 or in group 0."""
        return self.uid == 0 or ADMINS in self.gids


CORE = Caller(0, 0, "oneadmin", frozenset((0,)))
"""What the core itself acts as."""
