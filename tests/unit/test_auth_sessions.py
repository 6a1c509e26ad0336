"""Sessions that were checked: remembered for a while, bounded, forgotten when the user changes; passwords."""
from __future__ import annotations

import asyncio
import hashlib

import argon2
import pytest

from onecore.auth.caller import Caller
from onecore.auth.password import Passwords
from onecore.auth.sessions import Sessions


class Clock:
    """Time in a test's hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def _caller(uid: int) -> Caller:
    return Caller(uid, 1, f"user{uid}", frozenset({1}))


def test_only_the_very_session_is_found() -> None:
    """Not another password, not another user; strange text is no error."""
    sessions = Sessions(b"key", Clock(), 900)
    sessions.keep("ann:secret", _caller(2))
    assert sessions.find("ann:secret") == _caller(2)
    assert [sessions.find(s) for s in ("ann:secreT", "bob:secret", "", "ann:\ud800")] == [None] * 4


def test_they_expire() -> None:
    """After the lifetime, or with the token if that is sooner; keeping again begins anew."""
    clock = Clock()
    sessions = Sessions(b"key", clock, 900)
    sessions.keep("ann:secret", _caller(2))
    sessions.keep("ann:token", _caller(2), until=150.0)
    sessions.keep("ann:long", _caller(2), until=5000.0)
    clock.now = 151.0
    assert sessions.find("ann:token") is None and sessions.find("ann:secret")
    sessions.keep("ann:secret", _caller(2))
    clock.now = 1001.0
    assert sessions.find("ann:secret") and sessions.find("ann:long") is None


def test_they_are_bounded() -> None:
    """The oldest go; a flood of users does not fill memory."""
    sessions = Sessions(b"key", Clock(), 900, limit=3)
    for uid in range(10):
        sessions.keep(f"user{uid}:x", _caller(uid))
    assert [uid for uid in range(10) if sessions.find(f"user{uid}:x")] == [7, 8, 9]
    assert len(sessions._known) == 3


def test_all_of_a_user_are_dropped() -> None:
    """Whatever the secret; nobody else's."""
    sessions = Sessions(b"key", Clock(), 900)
    for secret in ("a", "b"):
        for uid in (2, 3):
            sessions.keep(f"user{uid}:{secret}", _caller(uid))
    sessions.drop(2)
    assert not sessions.find("user2:a") and not sessions.find("user2:b") and sessions.find("user3:b")
    sessions.clear()
    assert not sessions.find("user3:b")


def test_no_secret_is_kept() -> None:
    """Only keyed hashes: the same session has another one in the next process."""
    one, other = Sessions(b"key", Clock(), 900), Sessions(b"yek", Clock(), 900)
    for sessions in (one, other):
        sessions.keep("ann:secret", _caller(2))
    assert "secret" not in repr(one._known) and not set(one._known) & set(other._known)


def test_passwords() -> None:
    """Each hash differs; SHA-256 of an import is understood; an unknown user costs a check, and fails."""
    passwords = Passwords(1, 64)
    stored = passwords.hash_now("pässword")
    assert stored.startswith("$argon2id$") and stored != passwords.hash_now("pässword")
    assert passwords.check_now(stored, "pässword") and not passwords.check_now(stored, "password")
    assert passwords.check_now(hashlib.sha256(b"old").hexdigest(), "old")
    assert not passwords.check_now("", "") and not passwords.check_now("$argon2-broken", "x")

    async def asked() -> list[bool]:
        return [await passwords.check(await passwords.hash("x"), "x"), await passwords.check(None, "nobody")]
    assert asyncio.run(asked()) == [True, False]
    passwords.close()


@pytest.mark.parametrize(("passes", "memory", "lanes"), [(1, 64, 1), (2, 40_000, 2), (1, 200_000, 4)])
def test_an_unknown_user_costs_what_a_known_one_does(passes: int, memory: int, lanes: int) -> None:
    """What is checked in place of a hash is one, with the same costs; threads are for memory that is worth them."""
    passwords = Passwords(passes, memory)
    costs = argon2.extract_parameters(passwords.hash_now("x"))
    assert (costs.time_cost, costs.memory_cost, costs.parallelism) == (passes, memory, lanes)
    assert argon2.extract_parameters(passwords._nobody) == costs
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        passwords._hasher.verify(passwords._nobody, "nobody")
    passwords.close()
