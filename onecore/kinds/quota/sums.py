"""Sums by owner, and how they changed in the transaction under way; usage.py says what is booked."""
from __future__ import annotations

Owner = tuple[str, int]
"""("user" or "group", id)."""
Key = tuple[str, int, str]
"""(section, id or of VMs the cluster, metric)."""


class Sums:
    """What the objects of each owner take.  `rises` is what changed since it was cleared, by owner and key."""

    def __init__(self, generic: tuple[str, ...]) -> None:
        self.generic = generic
        self.rises: dict[tuple[Owner, Key], int] = {}
        self._sums: dict[Owner, dict[Key, int]] = {}

    def of(self, owner: Owner) -> dict[Key, int]:
        """What an owner's objects take (not to be changed); nothing is left out but zeroes."""
        return self._sums.get(owner, {})

    def book(self, uid: int, gid: int, charges: dict[Key, int], sign: int) -> None:
        """CHARGES more (1) or less (-1) for a user and a group."""
        for owner in (("user", uid), ("group", gid)):
            sums = self._sums.setdefault(owner, {})
            for key, value in charges.items():
                if value:
                    sums[key] = sums.get(key, 0) + sign * value
                    self.rises[owner, key] = self.rises.get((owner, key), 0) + sign * value
                    if not sums[key]:
                        del sums[key]
            if not sums:
                del self._sums[owner]
