"""The change log as callers see it: what happened since (onecore.events), and who did what (onecore.audit)."""
from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from onecore.api import Request, method
from onecore.auth.caller import Caller
from onecore.errors import BadArgument
from onecore.kinds.kind import KINDS, allowed, lookup, user_name, whole
from onecore.lifecycle.core import Core
from onecore.pool.store import Event
from onecore.wire.messages import Doc

MAX_WAIT, MOST_ROWS = 60, 1000
SECONDS = 10.0
"""How long SQL may look for rows of an audit."""


def visible(core: Core, caller: Caller, event: Event) -> bool:
    """Whether CALLER may hear of it: administrators of all, others of what they did and of what they may use."""
    if caller.admin or event.uid == caller.uid:
        return True
    kind = KINDS.get(event.kind)
    if kind is None or event.what == "refused":
        return False
    found = core.store.get(kind.record, event.oid) or lookup(core, event.kind).gone.get(event.oid)
    return found is not None and allowed(core, caller, "USE", event.kind, found)


def document(e: Event) -> Doc:
    """An event as JSON."""
    return {"seq": e.seq, "time": e.time, "kind": e.kind, "id": e.oid, "what": e.what, "old": e.old, "new": e.new,
            "keys": e.keys.split(",") if e.keys else [], "uid": e.uid, "method": e.method, "rid": e.rid}


async def wait(core: Core, seconds: float) -> None:
    """Return at the next event, or after SECONDS."""
    woken = asyncio.Event()
    forget = core.changelog.wait(woken.set)
    try:
        await asyncio.wait_for(woken.wait(), seconds)
    except TimeoutError:
        pass
    finally:
        forget()


async def _events(req: Request, since: int, timeout: int = 0) -> Any:
    log = req.core.changelog
    if since < 0 or log.too_old(since):
        return [], log.last, since >= 0
    end = req.core.clock.monotonic() + min(max(timeout, 0), MAX_WAIT)
    while True:
        last = log.last
        found = log.after(since) if log.in_memory(since) else await asyncio.to_thread(log.read, since)
        shown = [e for e in found if visible(req.core, req.caller, e)]
        left = end - req.core.clock.monotonic()
        if shown or left <= 0 or log.closing:
            return shown, found[-1].seq if found else log.last, False
        since = found[-1].seq if found else max(since, last)
        if since >= log.last:  # else some came while older ones were read
            await wait(req.core, left)


@method("onecore.events", reads=True, prepare=_events)
def events(req: Request, since: int, timeout: int = 0) -> str:
    """Durable rows of the change log after SINCE, as JSON; waits up to TIMEOUT seconds (60 at most) for one."""
    if timeout < 0:
        raise BadArgument(f"timeout must be seconds from 0 to {MAX_WAIT}, not {timeout}")
    found, last, reset = req.prepared
    return json.dumps({"last": last, "reset": reset, "events": [document(e) for e in found]}, separators=(",", ":"))


# -- audit

_NUMBERS = {"user": "uid = :user", "id": "oid = :id", "since": "time >= :since", "until": "time <= :until"}
_TEXTS = {"kind": "kind = :kind", "what": "what = :what", "rid": "rid = :rid", "client": "client = :client"}
FILTERS = (*_NUMBERS, *_TEXTS, "method", "outcome")


def where(query: str) -> tuple[str, dict[str, Any]]:
    """The condition of a query KEY=VALUE&… and its parameters; raises BadArgument naming the key."""
    conditions, values = ["uid >= -1"], dict[str, Any]()
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if key in _NUMBERS:
            number = whole(value, 0, 2**62)
            if number is None:
                raise BadArgument(f"query: {key} must be a number, not {value[:40]!r}")
            conditions.append(_NUMBERS[key])
            values[key] = number
        elif key in _TEXTS:
            conditions.append(_TEXTS[key])
            values[key] = value
        elif key == "method":
            conditions.append("method LIKE :method ESCAPE '!'")
            values[key] = value.replace("!", "!!").replace("%", "!%").replace("_", "!_").replace("*", "%")
        elif key == "outcome" and value in ("allowed", "refused"):
            conditions.append("what = 'refused'" if value == "refused" else "what <> 'refused'")
        else:
            raise BadArgument("query: outcome must be allowed or refused" if key == "outcome" else
                              f"query must be of {', '.join(FILTERS)} with = and & between, not {part[:40]!r}")
    return " AND ".join(conditions), values


async def _rows(req: Request, query: str = "", before: int = 0, limit: int = 100) -> list[Event]:
    if not 0 < limit <= MOST_ROWS:
        raise BadArgument(f"limit must be from 1 to {MOST_ROWS}, not {limit}")
    condition, values = where(query)
    log, out = req.core.changelog, list[Event]()
    before = min(before, log.last + 1) if before > 0 else log.last + 1
    end = req.core.clock.monotonic() + SECONDS
    while len(out) < limit and req.core.clock.monotonic() < end:
        found = await asyncio.to_thread(log.find, condition, values, before)
        out += [e for e in found if visible(req.core, req.caller, e)]
        if not found:
            break
        before = found[-1].seq
    return out[:limit] + [e for e in out[limit:] if e.seq == out[limit - 1].seq]


@method("onecore.audit", reads=True, prepare=_rows)
def audit(req: Request, query: str = "", before: int = 0, limit: int = 100) -> str:
    """Who did what, when, from where, allowed or refused by which rule, as JSON, the latest first.

    QUERY: user, kind, id, method (with *), what, outcome (allowed, refused), rid, client, since, until (Unix seconds),
    as KEY=VALUE with & between.  BEFORE: rows older than that sequence number (0: from the present).  LIMIT rows, and
    what else the last one's transaction has.
    """
    return json.dumps(list(_audited(req.core, req.prepared)), separators=(",", ":"))


def _audited(core: Core, found: Iterable[Event]) -> Iterable[Doc]:
    for e in found:
        refused = e.what == "refused"
        yield {"seq": e.seq, "time": e.time, "user": e.uid, "name": user_name(core, e.uid) if e.uid >= 0 else "",
               "method": e.method, "kind": e.kind, "id": e.oid, "what": e.what, "old": e.old,
               "new": "" if refused else e.new, "keys": [] if refused or not e.keys else e.keys.split(","),
               "outcome": "refused" if refused else "allowed", "code": int(e.new, 16) if refused else 0,
               "rule": e.keys if refused else e.why, "client": e.client, "rid": e.rid}
