"""The change log as its readers see it: durable events after a cursor, from memory or from SQL, with a way to wait."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from onecore.pool.database import Database
from onecore.pool.schema import LOG_COLUMNS
from onecore.pool.store import Event

PAGE = 5000
"""Most events in one answer."""
_LARGEST = 2**31 - 1


class ChangeLog:
    """Keeps the newest events in memory; older ones are read from SQL as long as retention leaves them."""

    def __init__(self, database: Database, keep: int = 50_000) -> None:
        self._database = database
        self._tail: deque[Event] = deque(maxlen=keep)
        self._waiting: set[Callable[[], None]] = set()
        self.last = 0
        self.closing = False
        """Nobody should wait any more: the core ends."""
        self.first_kept = 0
        """Sequence numbers up to this one may be gone."""

    def load(self, last: int) -> None:
        """Take in the newest rows; LAST is the last durable sequence."""
        self._tail.clear()
        self.last = last
        newest = self._select("seq <= :last", {"last": last}, "seq DESC, n DESC", self._tail.maxlen or 1)
        self._tail.extend(reversed(newest))
        oldest = self._select("seq <= :last", {"last": last}, "seq, n", 1)
        self.first_kept = oldest[0].seq - (oldest[0].n == 0) if oldest else last

    def publish(self, events: list[Event]) -> None:
        """Durable events of one transaction; wakes who waits."""
        if not events:
            return
        self._tail.extend(events)
        self.last = events[-1].seq
        self.wake_all()

    def close(self) -> None:
        """The core ends: who waits gets an answer now."""
        self.closing = True
        self.wake_all()

    def wake_all(self) -> None:
        """Wake who waits."""
        waiting, self._waiting = self._waiting, set()
        for wake in waiting:
            wake()

    def wait(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call WAKE at the next event; returns what takes that back."""
        self._waiting.add(wake)
        return lambda: self._waiting.discard(wake)

    def in_memory(self, since: int) -> bool:
        """Whether `after(since)` needs no SQL."""
        return since >= self.last or (bool(self._tail) and (self._tail[0].seq, self._tail[0].n) <= (since + 1, 0))

    def too_old(self, since: int) -> bool:
        """Whether rows after SINCE may be gone, or SINCE is in the future."""
        return since < self.first_kept or since > self.last

    def after(self, since: int) -> list[Event]:
        """At most a PAGE of events after SINCE, oldest first, whole transactions; from memory."""
        count = 0
        for event in reversed(self._tail):
            if event.seq <= since:
                break
            count += 1
        page = list(islice(self._tail, len(self._tail) - count, len(self._tail) - count + PAGE + 1))
        return _whole(page, lambda seq: [e for e in self._tail if e.seq == seq])

    def read(self, since: int) -> list[Event]:
        """As `after`, from SQL (call it in a thread)."""
        bounds = {"since": since, "last": self.last}
        page = self._select("seq > :since AND seq <= :last", bounds, "seq, n", PAGE + 1)
        return _whole(page, lambda seq: self._select("seq = :seq", {"seq": seq}, "n", _LARGEST))

    def find(self, where: str, values: dict[str, Any], before: int, limit: int = 1000) -> list[Event]:
        """At most LIMIT rows that meet a condition, of whole transactions before a number, the latest first (SQL)."""
        found = self._select(f"seq < :before AND {where}", values | {"before": before}, "seq DESC, n DESC", limit)
        if len(found) == limit:  # the last transaction may be cut; one larger than that is given whole
            cut = found[-1].seq
            found = [e for e in found if e.seq != cut] or self._select(
                f"seq = :seq AND {where}", values | {"seq": cut}, "n DESC", _LARGEST)
        return found

    def _select(self, where: str, parameters: dict[str, Any], order: str, limit: int) -> list[Event]:
        names = ", ".join(f'"{n}"' for n in LOG_COLUMNS)
        rows = self._database.rows(f"SELECT {names} FROM log WHERE {where} ORDER BY {order} LIMIT {int(limit)}",
                                   parameters)
        return [Event(*row) for row in rows]


def _whole(events: list[Event], of: Callable[[int], list[Event]]) -> list[Event]:
    """Cut a page where a transaction ends; one larger than a page is given whole, by OF."""
    if len(events) <= PAGE:
        return events
    cut = events[PAGE].seq
    kept = [e for e in events[:PAGE] if e.seq != cut]
    return kept or of(cut)
