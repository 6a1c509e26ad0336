"""Files of a host: written whole, read, looked at."""
from __future__ import annotations

import os
import secrets
from itertools import islice

from drivers.hand.failure import Failure, os_failures

MOST = 64 * 1024 * 1024
"""Bytes of the largest file that is read at once."""
_CHUNK = 64 * 1024
"""The kernel's files in /proc/sys refuse a read for much more."""


def write(path: str, data: bytes, mode: int) -> None:
    """Write a file whole and durable: temporary name, fsync, rename."""
    temporary = f"{path}.{secrets.token_hex(6)}.tmp"
    with os_failures(path):
        try:
            _write_new(temporary, data, mode)
            os.rename(temporary, path)
        except BaseException:
            _unlink(temporary)
            raise


def read(path: str) -> bytes:
    """The file's content; a Failure when it is larger than MOST."""
    with os_failures(path), open(path, "rb") as file:
        data = b"".join(islice(iter(lambda: file.read(_CHUNK), b""), MOST // _CHUNK + 1))
    if len(data) > MOST:
        raise Failure(f"{path}: larger than {MOST >> 20} MB")
    return data


def exists(path: str) -> bool:
    """Whether PATH is there (a dangling link is not)."""
    return os.path.exists(path)


def _write_new(path: str, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(fd, mode)
        os.fsync(fd)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
