"""From a session string to a caller: remembered sessions, login tokens, then what the user's driver takes as proof."""
from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from onecore.auth import tokens
from onecore.auth.caller import Caller
from onecore.auth.people import Person, Unavailable
from onecore.errors import AuthenticationFailed, NotAllocated
from onecore.kinds.kind import named
from onecore.kinds.user import PASSWORD_DRIVERS, USER, User, caller, register, token_hash
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor

MAX_WAITING = 64
"""Passwords that may wait to be checked; more are refused."""
_REFUSED = "User couldn't be authenticated, aborting call"


@dataclass(frozen=True, slots=True)
class Yes:
    """A proof that holds: whose calls these are, until when (Unix seconds, -1: no end), who spoke for the caller."""

    caller: Caller
    expires: int = -1
    via: int = -1


Check = Callable[[Core, User, str], Awaitable[Yes | None]]


async def authenticate(core: Core, session: object, client: str = "") -> Caller:
    """The caller of a session string user:secret that is not remembered; raises AuthenticationFailed."""
    if not isinstance(session, str) or ":" not in session:
        raise AuthenticationFailed(f"{_REFUSED}: the first argument is user:secret.")
    name, secret = session.split(":", 1)
    user: User | None = named(core, USER, name)
    found = _by_token(core, user, secret) if user is not None else None
    if found is None:
        _check_pause(core, client, name, user)
        found = await _bounded(core, user, name, secret)
        if found is None:
            core.guesses.wrong(client, name)
            raise AuthenticationFailed(f"{_REFUSED}.")
        core.guesses.right(client, name)
    until = None if found.expires == -1 else core.clock.monotonic() + found.expires - core.now()
    core.sessions.keep(session, found.caller, until, found.via)
    return found.caller


def _check_pause(core: Core, client: str, name: str, user: User | None) -> None:
    """Raise AuthenticationFailed while guesses are slowed down; user 0 on this machine is never kept out."""
    pause = core.guesses.pause(client, name)
    if pause and not (user is not None and user.oid == 0 and client in ("", "127.0.0.1", "::1")):
        raise AuthenticationFailed(f"{_REFUSED}: too many wrong passwords, try again in {pause:.0f} s.")


async def _bounded(core: Core, user: User | None, name: str, secret: str) -> Yes | None:
    waiting = core.kinds.setdefault("auth.waiting", [0])
    if waiting[0] >= MAX_WAITING:
        raise AuthenticationFailed(f"{_REFUSED}: too many passwords wait to be checked, try again.")
    waiting[0] += 1
    try:
        return await _by_driver(core, user, name, secret)
    finally:
        waiting[0] -= 1


async def _by_driver(core: Core, user: User | None, name: str, secret: str) -> Yes | None:
    if user is None and core.config.auth.default_driver == "ldap":
        return await _newcomer(core, name, secret)
    check = _CHECKS.get(user.driver) if user is not None and user.enabled else None
    if user is None or check is None:
        await core.passwords.check(None, secret)  # it takes as long as for a user
        return None
    return await check(core, user, secret)


def _now(core: Core, user: User) -> User | None:
    """The user as it is after something slow, if what was checked still holds."""
    now: User | None = core.store.get(User, user.oid)
    same = now is not None and (now.name, now.password, now.driver) == (user.name, user.password, user.driver)
    return now if same and now is not None and now.enabled else None


async def _by_password(core: Core, user: User, secret: str) -> Yes | None:
    good = await core.passwords.check(user.password, secret)
    now = _now(core, user)
    return Yes(caller(now)) if good and now is not None else None


async def _by_ssh_key(core: Core, user: User, secret: str) -> Yes | None:
    proof = tokens.read_ssh_proof(user.password, secret)
    good = proof is not None and tokens.same(proof.user, user.name) and proof.expires > core.now()
    return Yes(caller(user), proof.expires) if good and proof is not None else None


async def _by_server(core: Core, user: User, secret: str) -> Yes | None:
    """A server speaks for another user: target:proof, or target:egid:proof."""
    if ":" not in secret:
        return None
    target, *egid, text = secret.split(":")
    proof = tokens.read_server_proof(user.password, text)
    if proof is None or not tokens.same(proof.user, user.name) or proof.expires <= core.now():
        return None
    if not tokens.same(proof.target, target):
        return None
    other: User | None = named(core, USER, target)
    if other is None or not other.enabled or len(egid) > 1:
        return None
    if egid and not (egid[0].isdecimal() and int(egid[0]) in other.gids):
        return None
    return Yes(caller(other, int(egid[0]) if egid else -1), proof.expires, user.oid)


async def _ask(core: Core, name: str, secret: str) -> Person | None:
    if not core.config.ldap.url:
        return None
    from onecore.auth import directory  # its library takes its time, and few need it
    try:
        return await asyncio.to_thread(directory.check, core.config.ldap, name, secret)
    except Unavailable as error:
        core.log.error(f"the LDAP directory {core.config.ldap.url} cannot be asked: {error}")
        raise AuthenticationFailed(f"{_REFUSED}: the directory cannot be asked, try again.") from None


async def _by_directory(core: Core, user: User, secret: str) -> Yes | None:
    person = await _ask(core, user.name, secret)
    now = _now(core, user)
    return Yes(caller(now)) if person is not None and now is not None else None


async def _newcomer(core: Core, name: str, secret: str) -> Yes | None:
    """Who is not known here and known in the directory is a user from now on."""
    person = await _ask(core, name, secret)
    if person is None:
        return None
    known: User | None = named(core, USER, name)  # the same may have come twice
    if known is None:
        try:
            with core.store.tx(Actor(method="auth.ldap")) as tx:
                known = register(tx, core, name, person.dn, "ldap", list(person.gids) or [1])
        except NotAllocated as error:
            raise AuthenticationFailed(f"{_REFUSED}: {error.text}") from None
    return Yes(caller(known)) if known.enabled and known.driver == "ldap" else None


_CHECKS: dict[str, Check] = {**dict.fromkeys(PASSWORD_DRIVERS, _by_password), "ssh": _by_ssh_key,
                             "server_cipher": _by_server, "ldap": _by_directory}
"""What each driver takes as proof; users of others (public, x509 …) come with login tokens only."""


def _by_token(core: Core, user: User, secret: str) -> Yes | None:
    wanted = token_hash(secret)
    for token, end, egid in json.loads(user.tokens):
        if hmac.compare_digest(token, wanted):
            if not user.enabled or (end != -1 and end <= core.now()):
                raise AuthenticationFailed(f"{_REFUSED}: the login token has expired.")
            return Yes(caller(user, egid), end)
    return None
