"""The small files that dummies keep things in: written whole, used again, found by number."""
from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from typing import TypeVar
from urllib.parse import quote

T = TypeVar("T")
Mark = tuple[int, int, int]
"""By which a file that was changed is known."""


class Spares:
    """Files of what is gone, for what is to come: ext4 is slow to make files soon after it removed many."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._free = [f"{directory}/{number}" for number in numbers(directory)]
        self._serial = count(max(numbers(directory), default=0) + 1)

    def give(self, path: str, text: bytes) -> Mark:
        """A file with TEXT at PATH, in place of what was there."""
        try:
            spare = self._free.pop()
        except IndexError:
            spare = self._another()
        mark = with_parent(spare, lambda: overwrite(spare, text, os.O_CREAT))
        with_parent(path, lambda: os.rename(spare, path))
        return mark

    def keep(self, path: str) -> None:
        """Take the file at PATH away; none there is fine."""
        spare = self._another()
        try:
            os.stat(path)
            with_parent(spare, lambda: os.rename(path, spare))
        except FileNotFoundError:
            return
        self._free.append(spare)

    def _another(self) -> str:
        return f"{self._directory}/{next(self._serial)}"


def host_directory(root: str, host: str) -> str:
    """Where what is on HOST lies below ROOT."""
    name = quote(host, safe="") or "%"
    return f"{root}/{name.replace('.', '%2E') if not name.strip('.') else name}"


def numbers(directory: str) -> list[int]:
    """The names in DIRECTORY that are numbers."""
    try:
        return [int(name) for name in os.listdir(directory) if name.isdecimal()]
    except FileNotFoundError:
        return []


def read_text(path: str) -> str | None:
    """A small file's content, None when there is none."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return None


def mark_of(stat: os.stat_result) -> Mark:
    """The mark of a file that is so."""
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def overwrite(path: str, text: bytes, flags: int = 0) -> Mark:
    """One write over what was there: a reader who heeds the first line only sees the old or the new."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o644)
    try:
        os.pwrite(fd, text, 0)
        if os.fstat(fd).st_size > len(text):
            os.ftruncate(fd, len(text))
        return mark_of(os.fstat(fd))
    finally:
        os.close(fd)


def with_parent(path: str, make: Callable[[], T]) -> T:
    """MAKE something at PATH; its directory is made when it is missing."""
    try:
        return make()
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return make()
