"""No call may take more than quotas allow: each transaction of a user's is asked before its end, whatever it did.

What drivers and monitoring tell is a fact, and is not asked.
"""
from __future__ import annotations

from onecore.errors import Forbidden
from onecore.kinds.quota import limits
from onecore.kinds.quota.limits import WHOLE_CLOUD, Limits
from onecore.kinds.quota.record import DEFAULTS, Quota
from onecore.kinds.quota.sums import Key, Owner, Sums
from onecore.lifecycle.core import Core
from onecore.pool.store import Store, Tx

_ORDER = {"user": 0, "group": 1}


def used(core: Core) -> Sums:
    """What is used in CORE."""
    made: Sums = core.kinds["quota.used"]
    return made


def limits_of(store: Store, owner: str, oid: int) -> Limits:
    """The limits of a user or group, with DEFAULTS of all."""
    found = store.get(Quota, (owner, oid))
    return limits.load(found.limits if found else "")


class Guard:
    """Asked by the store at the begin and the end of each transaction."""

    def __init__(self, store: Store, used: Sums) -> None:
        self._store, self._used = store, used

    def begin(self) -> None:
        """What changes from now on is the transaction's."""
        self._used.rises.clear()

    def check(self, tx: Tx) -> None:
        """Raise Forbidden when a user's transaction takes more than a limit of the user, or group, who owns it."""
        if tx.actor.uid < 0 or not self._store.tables[Quota]:
            return
        more: dict[Owner, dict[Key, int]] = {}
        for (owner, key), value in self._used.rises.items():
            if value > 0 and owner[1] > 0:  # user 0 and group 0 have no limits
                more.setdefault(owner, {})[key] = value
        for owner in sorted(more, key=lambda o: (_ORDER[o[0]], o[1])):
            self.check_more(owner, more[owner], {})

    def check_more(self, owner: Owner, rises: dict[Key, int], extra: dict[Key, int]) -> None:
        """Raise Forbidden if RISES, which is in the sums, or EXTRA, which is not yet, is more than OWNER may take."""
        own, defaults = (limits_of(self._store, owner[0], oid) for oid in (owner[1], DEFAULTS))
        sums = self._used.of(owner)
        for key in {**rises, **extra}:
            for ident, places in _scopes(own, key):
                metric = key[2]
                most = limits.limit(own, defaults, key[0], ident, metric)
                keys = [(key[0], place, metric) for place in places]
                wanted = sum(rises.get(k, 0) + extra.get(k, 0) for k in keys)
                taken = sum(sums.get(k, 0) + extra.get(k, 0) for k in keys)
                if most >= 0 and wanted > 0 and taken > most:
                    raise Forbidden(_refusal(owner, key[0], ident, metric, most, taken - wanted, wanted))


def _scopes(own: Limits, key: Key) -> list[tuple[str, list[int]]]:
    """The limits that a charge counts in, with the ids that count together."""
    section, place, _ = key
    if section != "VM":
        return [(str(place), [place])]
    if place == WHOLE_CLOUD:
        return [("", [WHOLE_CLOUD])]
    found = ((ident, [int(c) for c in ident.split(",")]) for ident in own.get("VM", {}) if ident)
    return [(ident, clusters) for ident, clusters in found if place in clusters]


def _refusal(owner: Owner, section: str, ident: str, metric: str, most: int, taken: int, wanted: int) -> str:
    where = "" if not ident else f" with {'CLUSTER_IDS' if section == 'VM' else 'ID'}: {ident}"
    numbers = [limits.shown(metric, value) for value in (most, taken, wanted)]
    return (f"{owner[0].capitalize()} [{owner[1]}] limit of {numbers[0]} reached for {metric} quota in "
            f"{section}{where}: {numbers[1]} used, {numbers[2]} more wanted")


def require(core: Core, uid: int, gid: int, extra: dict[Key, int]) -> None:
    """Raise Forbidden if EXTRA, which the records will show only later, is more than the owners may take."""
    guard: Guard = core.kinds["quota.guard"]
    for owner in (("user", uid), ("group", gid)):
        if owner[1] > 0:
            guard.check_more(owner, {}, extra)
