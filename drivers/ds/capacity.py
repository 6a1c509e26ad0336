"""How full a datastore is: its file system, and its own limit (LIMIT_MB)."""
from __future__ import annotations

import os
from dataclasses import dataclass

from drivers.base import Permanent
from drivers.ds.paths import base, name_of
from onecore.wire.messages import Doc

MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of a datastore."""

    total: int
    used: int
    free: int


def room(datastore: Doc) -> Room:
    """The datastore's room; with LIMIT_MB no more than that, its own files counted.  Raises Permanent."""
    path = base(datastore)
    found = os.statvfs(path)
    there = Room(found.f_blocks * found.f_frsize, (found.f_blocks - found.f_bfree) * found.f_frsize,
                 found.f_bavail * found.f_frsize)
    limit = _limit(datastore)
    if not limit:
        return there
    used = written(path)
    return Room(min(limit, used + there.free), used, max(0, min(limit - used, there.free)))


def written(directory: str) -> int:
    """Bytes on disk of all files below DIRECTORY."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def need(datastore: Doc, size: int, what: str) -> None:
    """Raise Permanent when SIZE bytes for WHAT do not fit."""
    free = room(datastore).free
    if size > free:
        raise Permanent(f"{name_of(datastore)} is full: {what} needs {-(-size // MB)} MB, {free // MB} MB are free in "
                        f"{datastore['base_path']}")


def _limit(datastore: Doc) -> int:
    text = str(datastore["attrs"].get("LIMIT_MB", "")).strip() or "0"
    if not (text.isascii() and text.isdigit()):
        raise Permanent(f"{name_of(datastore)}: LIMIT_MB {text!r} is not a number of MB")
    return int(text) * MB
