"""Secrets that are kept so that they can be read again: sealed with AES-256-GCM under a key of the cloud's own.

A sealed value is bound to where it stands; copied elsewhere it opens no more.
"""
from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MARK = "sealed:"
"""How a sealed value begins."""
FILE = "encryption_key"
_NONCE = 12


class Vault:
    """Seals and opens texts; RANDOM(n) gives n bytes that nobody can guess."""

    def __init__(self, key: bytes, random: Callable[[int], bytes]) -> None:
        self._cipher, self._random = AESGCM(key), random
        self.number = int.from_bytes(hashlib.sha256(b"onecore vault" + key).digest()[:7], "big")
        """What tells keys apart; it tells nothing of them."""

    def seal(self, text: str, place: str) -> str:
        """TEXT, which will stand at PLACE, as something that only this vault reads."""
        nonce = self._random(_NONCE)
        return MARK + base64.b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), place.encode())).decode()

    def open(self, text: str, place: str) -> str | None:
        """What was sealed as TEXT for PLACE; None when it was not, or under another key."""
        if not text.startswith(MARK):
            return None
        try:
            data = base64.b64decode(text[len(MARK):], validate=True)
            return self._cipher.decrypt(data[:_NONCE], data[_NONCE:], place.encode()).decode()
        except (binascii.Error, InvalidTag, ValueError):
            return None


NEW = b"new"
"""In place of a key: make another one, and give up what is sealed under the old one."""


def make_key(path: Path, random: Callable[[int], bytes]) -> None:
    """Write a key to the file PATH, for its owner alone."""
    partial = path.with_name(path.name + ".part")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(base64.b64encode(random(32)) + b"\n")
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)


def read_key(path: Path) -> bytes:
    """The 32 bytes in the file PATH; raises ValueError when it holds something else."""
    try:
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise ValueError(f"{path} must hold 32 bytes as base64; nothing that is encrypted is read with another key")
    return key
