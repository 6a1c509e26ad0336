"""Idempotency keys: a call that was made already, by this user with this key, is answered as it was then.

The key is in the HTTP header `Idempotency-Key`, or IDEMPOTENCY_KEY in a template argument (which loses it).  What was
answered is stored in the call's own transaction and kept for a day.
"""
from __future__ import annotations

import hashlib
import json
from typing import Any

from onecore.api import Method
from onecore.errors import BadArgument
from onecore.kinds.hook.call import SECRET, SECRET_ANSWERS
from onecore.kinds.kind import parse_template
from onecore.lifecycle.core import Core
from onecore.pool.answered import Answered
from onecore.pool.store import Tx
from onecore.wire.template import to_xml

ATTRIBUTE, HEADER = "IDEMPOTENCY_KEY", b"idempotency-key"
LONGEST = 255
KEPT = 24 * 3600
"""Seconds that an answer is kept."""


def take_key(method: Method, arguments: list[Any], header: str) -> str:
    """The call's key, "" for none; a template among ARGUMENTS loses it.  Raises BadArgument for two, or a bad one."""
    if method.reads or method.name in SECRET_ANSWERS:
        return ""
    found = {header} if header else set()
    for place, value in enumerate(arguments):
        if isinstance(value, str) and ATTRIBUTE in value.upper():
            key, rest = _split(value)
            if key:
                found.add(key)
                arguments[place] = rest
    if len(found) > 1:
        raise BadArgument(f"{ATTRIBUTE} must be given once, not as {' and '.join(sorted(map(repr, found)))}")
    key = next(iter(found), "")
    if len(key) > LONGEST or not key.isprintable():
        raise BadArgument(f"{ATTRIBUTE} must be 1 to {LONGEST} printable characters, not {key[:40]!r}")
    return key


def _split(text: str) -> tuple[str, str]:
    """The key in a template's text, and the text without it; a text that is no template has none."""
    try:
        tree = parse_template(text)
    except Exception:  # not a template, or a bad one: the method says so
        return "", text
    key = tree.get(ATTRIBUTE)
    return key, to_xml(tree.without([ATTRIBUTE]), "TEMPLATE") if key else text


def digest(method: Method, arguments: list[Any]) -> str:
    """What a call's arguments are compared by; passwords are left out, for guesses could be tried on it."""
    shown = ["" if parameter.name in SECRET else value
             for parameter, value in zip(method.parameters, arguments, strict=True)]
    return hashlib.sha256(json.dumps(shown, separators=(",", ":")).encode()).hexdigest()


def earlier(core: Core, uid: int, method: str, key: str, wanted: str) -> int | str | None:
    """What the call was answered with before; None when it was not made.  Raises BadArgument for other arguments."""
    found = core.store.get(Answered, (uid, method, key))
    if found is None or found.time + KEPT <= core.now():
        return None
    if found.digest != wanted:
        raise BadArgument(f"{ATTRIBUTE} {key!r} was used for {method} with other arguments within the last day")
    value: int | str = json.loads(found.value)
    return value


def keep(tx: Tx, core: Core, uid: int, method: str, key: str, wanted: str, value: int | str) -> None:
    """Store the answer with the call's own changes."""
    tx.put(Answered(uid, method, key, wanted, json.dumps(value), core.now()))


def forget_old(core: Core) -> None:
    """Drop what was kept for a day."""
    old = [one for one in core.store.all(Answered) if one.time + KEPT <= core.now()]
    if old and not core.store.refuses:
        with core.store.tx() as tx:
            for one in old[:1000]:
                tx.delete(one)
