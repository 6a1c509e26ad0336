"""Sessions that were checked, remembered under a keyed hash, bounded, dropped when a user changes."""
from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from onecore.auth.caller import Caller


class Sessions:
    """session string -> Caller, for LIFETIME seconds."""

    def __init__(self, key: bytes, now: Callable[[], float], lifetime: float, limit: int = 10_000) -> None:
        self._key, self._now, self._lifetime, self._limit = key, now, lifetime, limit
        self._known: OrderedDict[bytes, tuple[float, Caller, int]] = OrderedDict()

    def _hash(self, session: str) -> bytes:
        return hashlib.blake2b(session.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()

    def find(self, session: str) -> Caller | None:
        """The caller, if this very session was checked lately."""
        found = self._known.get(self._hash(session))
        if found is None or found[0] < self._now():
            return None
        return found[1]

    def keep(self, session: str, caller: Caller, until: float | None = None, via: int = -1) -> None:
        """Remember, at most until UNTIL (the expiry of a token); VIA: the server user that spoke for the caller."""
        end = self._now() + self._lifetime
        self._known[self._hash(session)] = (min(end, until) if until is not None else end, caller, via)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)

    def drop(self, uid: int) -> None:
        """Forget all sessions of a user, and those of others that it spoke for."""
        for key in [k for k, (_, caller, via) in self._known.items() if uid in (caller.uid, via)]:
            del self._known[key]

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
