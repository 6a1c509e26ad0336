"""A private directory for this process's sockets; what processes left that were killed is removed."""
from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "onecore-relay-"
_LOCK = "lock"


class Place:
    """The directory, made when this is, gone with close(); its path is short enough for a socket's."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        made = self.path / f"{_LOCK}.new"
        self._lock = os.open(made, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(self._lock, 0o1600)  # sticky: systemd-tmpfiles leaves it, and so the directory, however old they are
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        made.rename(self.path / _LOCK)  # nobody sees it before it is held
        _sweep(self.path)

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sweep(mine: Path) -> None:
    """Remove the directories that nobody holds any more; one without a lock is just being made."""
    for other in mine.parent.glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            fd = os.open(other, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(other.parent, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(fd)
