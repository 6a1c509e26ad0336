"""The long poll on oned's change log, in a thread of its own: each answer goes to the inbox."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from onecore.wire.client import Client, ClientError
from scheduler.changes import Batch, decode

PACE = 0.02
"""Seconds from one answer to the next call while events come thick: they arrive together then."""
GRACE = 15.0


@dataclass(frozen=True, slots=True)
class News:
    """An answer of onecore.events."""

    feed: Feed
    batch: Batch


@dataclass(frozen=True, slots=True)
class Lost:
    """The feed ended: oned cannot be asked any more."""

    feed: Feed
    error: Exception


class Feed(threading.Thread):
    """Follows the change log from SINCE on until it is stopped, an answer says reset, or a call fails."""

    def __init__(self, client: Client, since: int, poll: int, tell: Callable[[News | Lost], None]) -> None:
        super().__init__(name="feed", daemon=True)
        self._client, self._since, self._poll, self._tell = client, since, poll, tell
        self._ended = threading.Event()

    def stop(self) -> None:
        """Ask it to end; it does when the present call is answered."""
        self._ended.set()

    def run(self) -> None:
        """Poll until the end."""
        try:
            while not self._ended.is_set() and self._turn():
                pass
        except (ClientError, ValueError) as error:
            self._tell(Lost(self, error))
        finally:
            self._client.close()

    def _turn(self) -> bool:
        begun = time.monotonic()
        batch = decode(self._client.text("onecore.events", self._since, self._poll, timeout=self._poll + GRACE))
        self._since = batch.last
        if batch.events or batch.reset:
            self._tell(News(self, batch))
        self._ended.wait(max(0.0, PACE - (time.monotonic() - begun)))
        return not batch.reset
