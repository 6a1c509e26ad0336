"""What dummy hosts hold, in small files that anybody may change behind our back.

`HOME/dummy/HOST/ID` is a guest: `GENERATION STATE`, for the samples the VM's CPU (cores) and memory (KB), and what the
guest has (JSON).
`HOME/dummy/HOST/dirs/DS-ID` (MB) is a directory that a VM left, `HOME/dummy/HOST/taps/NAME` a tap without a domain.
Directories of VMs and images: shelf.py.
"""
from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from drivers.base import Context
from drivers.dummy.files import Mark, Spares, host_directory, mark_of, numbers, overwrite, with_parent
from drivers.dummy.guest import Guest

_SIZE = 512
Change = tuple[int, Guest | None, Guest | None]
"""VM, what it was, what it is; None: gone."""


class World:
    """Reads and writes guests; for followed hosts it knows what it wrote and finds what others did."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._lock = threading.Lock()
        self._followed: dict[str, dict[int, tuple[Mark, Guest]]] = {}
        self._spares = Spares(f"{root}/%spare")

    def get(self, host: str, vm: int) -> Guest | None:
        """The guest, None when there is none."""
        seen = _read(f"{self._directory(host)}/{vm}")
        return seen[1] if seen else None

    def put(self, host: str, vm: int, guest: Guest) -> None:
        """Make or change a guest; not durable, as no guest survives its host."""
        with self._lock:
            mark = self._write(self._directory(host), vm, guest)
            if host in self._followed:
                self._followed[host][vm] = (mark, guest)

    def drop(self, host: str, vm: int) -> None:
        """End a guest; none there is fine."""
        with self._lock:
            self._followed.get(host, {}).pop(vm, None)
            self._spares.keep(f"{self._directory(host)}/{vm}")

    def move(self, vm: int, host: str, to: str) -> None:
        """A guest leaves HOST for another in one step; FileNotFoundError when it is not there."""
        source, target = f"{self._directory(host)}/{vm}", f"{self._directory(to)}/{vm}"
        with self._lock:
            with_parent(target, lambda: os.rename(source, target))
            self._followed.get(host, {}).pop(vm, None)
            seen = _read(target)
            if seen and to in self._followed:
                self._followed[to][vm] = seen

    def guests(self, host: str) -> dict[int, Guest]:
        """All guests of a host."""
        directory = self._directory(host)
        found = {vm: _read(f"{directory}/{vm}") for vm in numbers(directory)}
        return {vm: seen[1] for vm, seen in found.items() if seen}

    def dirs(self, host: str) -> list[tuple[int, int, int]]:
        """(datastore, VM, MB) of each directory that was left on a host."""
        found = []
        for name in _files(f"{self._directory(host)}/dirs"):
            datastore, _, vm = name.partition("-")
            if datastore.isdecimal() and vm.isdecimal():
                found.append((int(datastore), int(vm), _size(f"{self._directory(host)}/dirs/{name}")))
        return sorted(found)

    def taps(self, host: str) -> list[str]:
        """The taps on a host that no domain uses."""
        return _files(f"{self._directory(host)}/taps")

    def remove(self, host: str, kind: str, name: str) -> None:
        """Take away what was left, `dirs` or `taps`; none there is fine."""
        with suppress(FileNotFoundError):
            os.unlink(f"{self._directory(host)}/{kind}/{quote(name, safe='')}")

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

    def _write(self, directory: str, vm: int, guest: Guest) -> Mark:
        """Over what is there, or into a spare file that gets the name when it is complete."""
        path, text = f"{directory}/{vm}", guest.text().encode()
        text = text.ljust(-(-len(text) // _SIZE) * _SIZE)
        try:
            return overwrite(path, text)
        except FileNotFoundError:
            return self._spares.give(path, text)

    def _directory(self, host: str) -> str:
        return host_directory(self._root, host)


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


def _files(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def _size(path: str) -> int:
    """The MB that a file says; 0 when it says nothing."""
    try:
        with open(path) as file:
            return int(file.read() or 0)
    except (OSError, ValueError):
        return 0


def _listed(directory: str) -> dict[int, Mark]:
    """The VMs that have a file, with the file's mark."""
    marks: dict[int, Mark] = {}
    for vm in numbers(directory):
        try:
            marks[vm] = mark_of(os.stat(f"{directory}/{vm}"))
        except FileNotFoundError:
            continue
    return marks


def _read(path: str) -> tuple[Mark, Guest] | None:
    """The file's mark and guest; None when it is away or, for the moment, unreadable."""
    try:
        with open(path, "rb", buffering=0) as file:
            mark = mark_of(os.fstat(file.fileno()))
            guest = Guest.parse(file.read(max(mark[1], _SIZE)).decode(errors="replace"))
    except FileNotFoundError:
        return None
    return (mark, guest) if guest else None
