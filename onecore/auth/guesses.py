"""Guesses at secrets are slowed down: after some that were wrong, more from there are refused unseen for a while."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE, LONGEST = 5, 60.0
"""Wrong secrets for one name from one address before a pause; then it is 1, 2, 4 … seconds, at most so many."""
FREE_OF_ADDRESS = 50
"""The same for all names together that are tried from one address."""
FORGET, KEPT = 900.0, 10_000
"""Seconds without a wrong secret after which nothing is held against anybody; how many are remembered."""


@dataclass(slots=True)
class _Record:
    wrong: int = 0
    last: float = 0.0


class Guesses:
    """What was tried from where.  Sessions that are remembered, and tokens, do not come here."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._records: OrderedDict[tuple[str, str], _Record] = OrderedDict()

    def pause(self, client: str, name: str) -> float:
        """Seconds for which a secret for NAME from CLIENT is not looked at; 0: it is."""
        return max(self._left((client, name), FREE), self._left((client, ""), FREE_OF_ADDRESS))

    def wrong(self, client: str, name: str) -> None:
        """A wrong secret."""
        for key in ((client, name), (client, "")):
            record = self._records.pop(key, None) or _Record()
            if self._now() - record.last > FORGET:
                record = _Record()
            record.wrong, record.last = record.wrong + 1, self._now()
            self._records[key] = record
        while len(self._records) > KEPT:
            self._records.popitem(last=False)

    def right(self, client: str, name: str) -> None:
        """A right one: nothing is held against NAME there any more."""
        self._records.pop((client, name), None)

    def _left(self, key: tuple[str, str], free: int) -> float:
        record = self._records.get(key)
        if record is None or record.wrong < free:
            return 0.0
        pause = min(2.0 ** min(record.wrong - free, 10), LONGEST)
        return max(0.0, record.last + pause - self._now())
