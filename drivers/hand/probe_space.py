"""Room in the datastores of a host; a file system that hangs keeps one thread and no sample."""
from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from drivers.hand.wire import Doc


class Spaces:
    """The capacity of some datastores, looked at in a thread of its own."""

    def __init__(self, datastores: Sequence[Doc]) -> None:
        self._datastores = datastores
        self._look: _Look | None = None

    def take(self, seconds: float) -> list[Doc]:
        """Capacity of those that answer within SECONDS; nobody looks again while a look hangs."""
        if not self._datastores:
            return []
        if self._look is None or self._look.done.is_set():
            self._look = _Look(self._datastores)
        self._look.done.wait(seconds)
        return list(self._look.found)


class _Look:
    def __init__(self, datastores: Sequence[Doc]) -> None:
        self.done = threading.Event()
        self.found: list[Doc] = []
        threading.Thread(target=self._run, args=(datastores,), daemon=True).start()

    def _run(self, datastores: Sequence[Doc]) -> None:
        for datastore in datastores:
            try:
                self.found.append({"id": datastore["id"], **capacity(nearest(datastore["base_path"]))})
            except OSError:
                continue
        self.done.set()


def nearest(path: str) -> str:
    """PATH, or where it will be: the nearest directory above that is there."""
    while path not in ("", "/") and not os.path.isdir(path):
        path = os.path.dirname(path.rstrip("/"))
    return path or "/"


def capacity(path: str) -> Doc:
    """MB of the file system at PATH: all, used, free for everybody."""
    found = os.statvfs(path)
    return {"total_mb": found.f_blocks * found.f_frsize >> 20,
            "used_mb": (found.f_blocks - found.f_bfree) * found.f_frsize >> 20,
            "free_mb": found.f_bavail * found.f_frsize >> 20}
