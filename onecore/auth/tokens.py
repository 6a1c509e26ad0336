"""Secrets that are proofs and not passwords: what a server encrypted for a user, what an SSH key signed.  Pure.

Formats as OpenNebula's clients make them (its server_cipher and ssh drivers).
"""
from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import padding as blocks
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_ssh_public_key

LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Proof:
    """Whom it names, and the Unix second at which it ends."""

    user: str
    target: str
    expires: int


def server_secret(password: str) -> str:
    """What is stored of a server_cipher user's password: the cipher's key is in it."""
    return hashlib.sha256(password.encode()).hexdigest()


def read_server_proof(stored: str, text: str) -> Proof | None:
    """What a server encrypted (AES-256-CBC, base64: server:target:expiry); None when it did not."""
    key = stored[:32].encode()
    try:
        data = base64.b64decode(text[:LONGEST], validate=True)
        cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
        unpadder = blocks.PKCS7(128).unpadder()
        plain = unpadder.update(cipher.update(data) + cipher.finalize()) + unpadder.finalize()
        user, *target, expires = plain.decode().split(":")
        return Proof(user, ":".join(target), int(expires))
    except (ValueError, binascii.Error):
        return None


def make_server_proof(stored: str, user: str, target: str, expires: int) -> str:
    """The reverse: what a server sends for TARGET."""
    key, padder = stored[:32].encode(), blocks.PKCS7(128).padder()
    plain = padder.update(f"{user}:{target}:{expires}".encode()) + padder.finalize()
    cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(cipher.update(plain) + cipher.finalize()).decode()


def public_key(text: str) -> RSAPublicKey:
    """A public key, as one line of base64 (DER) or as SSH writes it; ValueError when it is no RSA key."""
    try:
        key = (load_ssh_public_key(text.encode()) if text.startswith("ssh-") or " " in text
               else load_der_public_key(base64.b64decode(text, validate=True)))
    except (ValueError, binascii.Error):
        raise ValueError("it is no public key") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("it is no RSA key, and others cannot make login tokens")
    return key


def read_ssh_proof(stored: str, text: str) -> Proof | None:
    """What a user's key signed (PKCS#1 v1.5 without a digest, base64: user:expiry); None when it did not."""
    try:
        plain = public_key(stored).recover_data_from_signature(
            base64.b64decode(text[:LONGEST], validate=True), padding.PKCS1v15(), None)
        user, expires = plain.decode().split(":")
        return Proof(user, user, int(expires))
    except (ValueError, binascii.Error, InvalidSignature):
        return None


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())
