"""From a session string to a caller: remembered sessions, login tokens, then the password."""
from __future__ import annotations

import hmac
import json

from onecore.auth.caller import Caller
from onecore.errors import AuthenticationFailed
from onecore.kinds.kind import named
from onecore.kinds.user import PASSWORD_DRIVERS, USER, User, caller, token_hash
from onecore.lifecycle.core import Core

MAX_WAITING = 64
"""Passwords that may wait to be checked; more are refused."""


async def authenticate(core: Core, session: object) -> Caller:
    """The caller of a session string user:secret that is not remembered; raises AuthenticationFailed."""
    if not isinstance(session, str) or ":" not in session:
        raise AuthenticationFailed("User couldn't be authenticated, aborting call: the first argument is user:secret.")
    name, secret = session.split(":", 1)
    user: User | None = named(core, USER, name)
    if user is not None:
        found = _by_token(core, user, secret)
        if found is not None:
            core.sessions.keep(session, found[0], found[1])
            return found[0]
    stored = user.password if user is not None and user.enabled and user.driver in PASSWORD_DRIVERS else None
    waiting = core.kinds.setdefault("auth.waiting", [0])
    if waiting[0] >= MAX_WAITING:
        raise AuthenticationFailed("User couldn't be authenticated, aborting call: too many passwords wait to be "
                                   "checked, try again.")
    waiting[0] += 1
    try:
        good = await core.passwords.check(stored, secret)
    finally:
        waiting[0] -= 1
    now: User | None = named(core, USER, name)  # it may have changed meanwhile
    if not good or now is None or now.password != stored or not now.enabled:
        raise AuthenticationFailed("User couldn't be authenticated, aborting call.")
    made = caller(now)
    core.sessions.keep(session, made)
    return made


def _by_token(core: Core, user: User, secret: str) -> tuple[Caller, float | None] | None:
    wanted = token_hash(secret)
    for token, end, egid in json.loads(user.tokens):
        if hmac.compare_digest(token, wanted):
            if not user.enabled or (end != -1 and end <= core.now()):
                raise AuthenticationFailed("User couldn't be authenticated, aborting call: the login token has "
                                           "expired.")
            return caller(user, egid), None if end == -1 else core.clock.monotonic() + end - core.now()
    return None
