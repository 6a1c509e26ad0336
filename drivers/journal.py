"""The driver process's own log: lines on standard error, which the core sends to a file."""
from __future__ import annotations

import sys
import threading
import time
from typing import TextIO


class Journal:
    """Writes one line a time: local time, level, request id, text."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()

    def line(self, level: str, rid: str, text: str) -> None:
        """Write TEXT; its further lines are indented.  A log that cannot be written stops nobody."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        body = text.replace("\n", "\n    ")
        try:
            with self._lock:
                self._stream.write(f"{stamp} {level:<7} {rid or '-'} {body}\n")
                self._stream.flush()
        except (OSError, ValueError):
            return
