"""Proofs of servers and of SSH keys, and how guesses are slowed down."""
from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from onecore.auth import tokens
from onecore.auth.guesses import FORGET, FREE, FREE_OF_ADDRESS, LONGEST, Guesses

SECRET = tokens.server_secret("password")


def test_a_servers_proof_is_what_openssl_makes_of_it() -> None:
    """AES-256-CBC, key and IV from the digest of the password, as OpenNebula's services do it."""
    key = hashlib.sha256(b"password").hexdigest()[:32]
    assert SECRET[:32] == key
    made = subprocess.run(["openssl", "enc", "-aes-256-cbc", "-K", key.encode().hex(), "-iv", key[:16].encode().hex(),
                           "-a", "-A"], input=b"serveradmin:vera:1900000000", capture_output=True, check=True).stdout
    assert tokens.read_server_proof(SECRET, made.decode()) == tokens.Proof("serveradmin", "vera", 1900000000)
    assert tokens.make_server_proof(SECRET, "serveradmin", "vera", 1900000000) == made.decode().strip()


@pytest.mark.parametrize("text", ["", "x", "AAAA", base64.b64encode(bytes(32)).decode(), "é" * 9, "A" * 100_000])
def test_what_is_no_proof(text: str) -> None:
    """Whatever was sent: no, and no exception."""
    assert tokens.read_server_proof(SECRET, text) is None
    assert tokens.read_ssh_proof(SECRET, text) is None and tokens.read_server_proof("", text) is None


def test_another_password_reads_nothing() -> None:
    made = tokens.make_server_proof(SECRET, "serveradmin", "vera", 1900000000)
    other = tokens.read_server_proof(tokens.server_secret("other"), made)
    assert other is None or other.user != "serveradmin"


def test_a_proof_of_an_ssh_key(tmp_path: Path) -> None:
    """What `openssl pkeyutl -sign` makes with the private key, read with either form of the public one."""
    key = tmp_path / "id_rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", str(key)], check=True)
    signed = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", str(key)], input=b"vera:1900000000",
                            capture_output=True, check=True).stdout
    token = base64.b64encode(signed).decode()
    line = key.with_suffix(".pub").read_text().strip()
    der = tokens.public_key(line).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for public in (line, base64.b64encode(der).decode()):
        assert tokens.read_ssh_proof(public, token) == tokens.Proof("vera", "vera", 1900000000)
    other = rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert tokens.read_ssh_proof(other.decode(), token) is None


def test_keys_that_cannot_be_used_are_named() -> None:
    ed = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    for text, said in ((ed.decode(), "no RSA key"), ("nonsense", "no public key"), ("ssh-rsa AAAA", "no public key")):
        with pytest.raises(ValueError, match=said):
            tokens.public_key(text)


class Clock:
    """Seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_pauses_grow_and_end() -> None:
    """Some tries are free, then 1, 2, 4 … seconds; for this name from this address."""
    clock = Clock()
    guesses = Guesses(clock)
    for _ in range(FREE - 1):
        guesses.wrong("a", "vera")
    assert guesses.pause("a", "vera") == 0
    for pause in (1, 2, 4, 8, 16, 32, LONGEST, LONGEST):
        guesses.wrong("a", "vera")
        assert guesses.pause("a", "vera") == pause and guesses.pause("b", "vera") == 0 == guesses.pause("a", "otto")
        clock.now += pause
        assert guesses.pause("a", "vera") == 0
    guesses.right("a", "vera")
    assert guesses.pause("a", "vera") == 0
    clock.now += FORGET + 1
    guesses.wrong("a", "vera")
    assert guesses.pause("a", "vera") == 0


def test_a_program_that_goes_on_waits_as_long_as_ever() -> None:
    guesses = Guesses(Clock())
    for _ in range(2000):
        guesses.wrong("a", "vera")
    assert guesses.pause("a", "vera") == LONGEST


def test_many_names_from_one_address_are_slowed_down_too() -> None:
    guesses = Guesses(Clock())
    for number in range(FREE_OF_ADDRESS + 1):
        guesses.wrong("a", f"user{number}")
    assert guesses.pause("a", "anybody") > 0 == guesses.pause("b", "anybody")


def test_memory_is_bounded() -> None:
    guesses = Guesses(Clock())
    for number in range(15_000):
        guesses.wrong(f"10.{number}", "x")
    assert len(guesses._records) <= 10_000
