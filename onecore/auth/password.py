"""Passwords: argon2id, in a thread, two at a time."""
from __future__ import annotations

import asyncio
import hashlib
import hmac
from concurrent.futures import Executor, ThreadPoolExecutor

import argon2

LANE_KB = 16384
"""Memory that is worth a thread of its own, in KB; so many of them work on a hash, and four at most."""


class Passwords:
    """Hashes and checks.  `check` accepts the SHA-256 hex digests that an import may bring."""

    def __init__(self, time_cost: int = 3, memory_kb: int = 65536, threads: Executor | None = None) -> None:
        lanes = max(1, min(4, memory_kb // LANE_KB))
        self._hasher = argon2.PasswordHasher(time_cost=time_cost, memory_cost=memory_kb, parallelism=lanes)
        self._threads = threads or ThreadPoolExecutor(2, thread_name_prefix="hash")
        self._nobody = _of_nothing(time_cost, memory_kb, lanes)

    def hash_now(self, password: str) -> str:
        """The hash to store (blocks)."""
        return self._hasher.hash(password)

    def check_now(self, stored: str, password: str) -> bool:
        """Whether PASSWORD is the one of STORED (blocks)."""
        if not stored.startswith("$argon2"):
            return hmac.compare_digest(stored, hashlib.sha256(password.encode()).hexdigest())
        try:
            return self._hasher.verify(stored, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def hash(self, password: str) -> str:
        """As hash_now, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.hash_now, password)

    async def check(self, stored: str | None, password: str) -> bool:
        """As check_now, in a thread; an unknown user (None) costs the same time."""
        good = await asyncio.get_running_loop().run_in_executor(
            self._threads, self.check_now, stored or self._nobody, password)
        return good and stored is not None

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False)


def _of_nothing(time_cost: int, memory_kb: int, lanes: int) -> str:
    """What no password is known for, and takes as long to check as a hash with these costs; making it takes no time."""
    salt, digest = "A" * 22, "A" * 43  # 16 and 32 bytes of zeros in base64
    return f"$argon2id$v=19$m={memory_kb},t={time_cost},p={lanes}${salt}${digest}"
