"""The guests of dummy hosts: one small file each, `HOME/dummy/HOST/ID`, which anybody may change behind our back.

A file holds `GENERATION STATE` and, for the samples, the VM's CPU (cores) and memory (KB).
"""
from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from drivers.base import Context

_SIZE = 64
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
Mark = tuple[int, int, int]
Change = tuple[int, "Guest | None", "Guest | None"]
"""VM, what it was, what it is; None: gone."""


@dataclass(frozen=True, slots=True)
class Guest:
    """What runs; `state` as in a News (running, poweroff, crashed, suspended)."""

    generation: int
    state: str = "running"
    cpu: float = 1.0
    memory_kb: int = 0

    def text(self) -> str:
        """The content of its file."""
        return f"{self.generation} {self.state} {self.cpu:g} {self.memory_kb}\n"

    @staticmethod
    def parse(text: str) -> Guest | None:
        """What a file says; None when it says nothing that can be understood."""
        words = text.partition("\n")[0].split()
        try:
            rest = (float(words[2]), int(words[3])) if len(words) > 3 else ()
            return Guest(int(words[0]), words[1], *rest)
        except (ValueError, IndexError):
            return None


class World:
    """Reads and writes guests; for followed hosts it knows what it wrote and finds what others did."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._lock = threading.Lock()
        self._followed: dict[str, dict[int, tuple[Mark, Guest]]] = {}

    def get(self, host: str, vm: int) -> Guest | None:
        """The guest, None when there is none."""
        seen = _read(f"{self._directory(host)}/{vm}")
        return seen[1] if seen else None

    def put(self, host: str, vm: int, guest: Guest) -> None:
        """Make or change a guest; not durable, as no guest survives its host."""
        directory = self._directory(host)
        with self._lock:
            mark = _write(directory, vm, guest)
            if host in self._followed:
                self._followed[host][vm] = (mark, guest)

    def drop(self, host: str, vm: int) -> None:
        """End a guest; none there is fine."""
        with self._lock:
            self._followed.get(host, {}).pop(vm, None)
            try:
                os.unlink(f"{self._directory(host)}/{vm}")
            except FileNotFoundError:
                return

    def guests(self, host: str) -> dict[int, Guest]:
        """All guests of a host."""
        directory = self._directory(host)
        found = {vm: _read(f"{directory}/{vm}") for vm in _names(directory)}
        return {vm: seen[1] for vm, seen in found.items() if seen}

    def follow(self, host: str) -> dict[int, Guest]:
        """From now on changes() tells what others do on HOST; its guests now."""
        with self._lock:
            self._followed[host] = {}
        return {vm: now for vm, _, now in self.changes(host) if now}

    def leave(self, host: str) -> None:
        """Follow HOST no more."""
        with self._lock:
            self._followed.pop(host, None)

    def inhabited(self) -> list[str]:
        """The followed hosts that have guests."""
        return [host for host, guests in list(self._followed.items()) if guests]

    def changes(self, host: str) -> list[Change]:
        """What others changed on a followed host since the last time."""
        with self._lock:
            known = self._followed.get(host)
            return [] if known is None else _differences(known, self._directory(host))

    def _directory(self, host: str) -> str:
        name = quote(host, safe="") or "%"
        return f"{self._root}/{name.replace('.', '%2E') if not name.strip('.') else name}"


def world(ctx: Context) -> World:
    """The world of this process."""
    return ctx.keep("dummy.world", lambda: World(ctx.home / "dummy"))


def _differences(known: dict[int, tuple[Mark, Guest]], directory: str) -> list[Change]:
    """Bring KNOWN up to date with the files; what was different."""
    found = _listed(directory)
    changed: list[Change] = [(vm, known.pop(vm)[1], None) for vm in [vm for vm in known if vm not in found]]
    for vm, mark in found.items():
        old = known.get(vm)
        seen = _read(f"{directory}/{vm}") if old is None or old[0] != mark else None
        if seen is not None:
            known[vm] = seen
            if old is None or old[1] != seen[1]:
                changed.append((vm, old[1] if old else None, seen[1]))
    return changed


def _names(directory: str) -> list[int]:
    """The VMs that have a file."""
    try:
        return [int(name) for name in os.listdir(directory) if name.isdecimal()]
    except FileNotFoundError:
        return []


def _listed(directory: str) -> dict[int, Mark]:
    """The VMs that have a file, with the file's mark."""
    marks: dict[int, Mark] = {}
    for vm in _names(directory):
        try:
            marks[vm] = _mark(os.stat(f"{directory}/{vm}"))
        except FileNotFoundError:
            continue
    return marks


def _mark(stat: os.stat_result) -> Mark:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read(path: str) -> tuple[Mark, Guest] | None:
    """The file's mark and guest; None when it is away or, for the moment, unreadable."""
    try:
        with open(path, "rb", buffering=0) as file:
            mark, guest = _mark(os.fstat(file.fileno())), Guest.parse(file.read(_SIZE).decode(errors="replace"))
    except FileNotFoundError:
        return None
    return (mark, guest) if guest else None


def _write(directory: str, vm: int, guest: Guest) -> Mark:
    """One write of one size over what was there: a reader sees the old or the new."""
    path = f"{directory}/{vm}"
    try:
        fd = os.open(path, _FLAGS, 0o644)
    except FileNotFoundError:
        os.makedirs(directory, exist_ok=True)
        fd = os.open(path, _FLAGS, 0o644)
    try:
        os.pwrite(fd, guest.text().encode().ljust(_SIZE), 0)
        return _mark(os.fstat(fd))
    finally:
        os.close(fd)
