"""Private RSA keys as proofs of who logs in: their public part, and login tokens that they sign, made by openssl."""

from __future__ import annotations

import subprocess
import time
from base64 import b64encode
from pathlib import Path

from cli.errors import CliError

DEFAULT = "~/.ssh/id_rsa"


def public(path: str | None) -> str:
    """The public part of the private key in the file PATH, one line of base64, as the driver ssh keeps it."""
    text = _openssl("pkey", "-in", _file(path), "-pubout").decode()
    return "".join(line for line in text.splitlines() if not line.startswith("-----"))


def token(user: str, seconds: int, path: str | None) -> str:
    """A login token for USER that ends in SECONDS, signed by the private key in the file PATH."""
    if seconds < 1:
        raise CliError("a token that a key signs has an end: --time must be 1 or more seconds")
    claim = f"{user}:{int(time.time()) + seconds}"
    return b64encode(_openssl("pkeyutl", "-sign", "-inkey", _file(path), given=claim.encode())).decode()


def _file(path: str | None) -> str:
    file = Path(path or DEFAULT).expanduser()
    if not file.is_file():
        raise CliError(f"{file}: there is no such key; --key names another")
    return str(file)


def _openssl(*words: str, given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(["openssl", *words], input=given, capture_output=True, check=False, timeout=60)
    except FileNotFoundError:
        raise CliError("openssl is not installed") from None
    except subprocess.TimeoutExpired:
        raise CliError("openssl did not answer within 60 s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {done.returncode}"]
        raise CliError(
            f"openssl cannot use {words[2] if words[0] == 'pkey' else words[3]}, which must be an RSA key in "
            f"PEM: {said[0]}"
        )
    return done.stdout
