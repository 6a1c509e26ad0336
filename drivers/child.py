"""A program at work on this machine: a child process that speaks as one on a host does."""
from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress

from drivers.base import Program, Temporary
from drivers.hand import parcel
from drivers.hand.commands import child_environment
from drivers.hand.wire import BEAT, START, FrameError, Reader, pack
from onecore.wire.messages import Doc

_TICK = 1.0
_BEAT = 15
"""Ticks between signs of life."""
_GRACE = 2.0
_CHUNK = 256 * 1024


class Child:
    """The process, and the thread that reads what it says (drivers.base.Channel)."""

    def __init__(self, program: Program, argument: Doc, hear: Callable[[Doc | None], None],
                 environment: Mapping[str, str]) -> None:
        self._hear = hear
        self._reader = Reader(START)
        self._process = subprocess.Popen([sys.executable, "-I", "-c", parcel.BOOTSTRAP], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, start_new_session=True,
                                         env=child_environment(environment))
        self._sending = threading.Lock()
        self._write(parcel.sources(program.entry, program.modules) + pack(argument))
        os.set_blocking(self._stdin(), False)
        threading.Thread(target=self._listen, name="child", daemon=True).start()

    def send(self, document: Doc) -> None:
        """Send a document; Temporary when the program has ended or does not listen."""
        self._write(pack(document))

    def close(self) -> None:
        """End the program: it hears the end of its input, and is killed if it does not mind."""
        with self._sending:
            if not self._closed and self._process.stdin is not None:
                self._process.stdin.close()

    @property
    def _closed(self) -> bool:
        return self._process.stdin is None or self._process.stdin.closed

    def _stdin(self) -> int:
        if self._process.stdin is None or self._process.stdin.closed:
            raise Temporary("the program was ended")
        return self._process.stdin.fileno()

    def _write(self, frame: bytes) -> None:
        """A program that leaves a frame half unread is of no use any more."""
        with self._sending:
            rest = memoryview(frame)
            try:
                while rest:
                    rest = rest[os.write(self._stdin(), rest):]
            except BlockingIOError:
                if len(rest) < len(frame):
                    self._process.kill()
                raise Temporary("the program does not listen") from None
            except OSError as error:
                raise Temporary(f"the program has ended: {error.strerror}") from error

    def _listen(self) -> None:
        try:
            self._read()
        finally:
            self._end()
            self._tell(None)

    def _read(self) -> None:
        assert self._process.stdout is not None
        source = self._process.stdout.fileno()
        quiet = 0
        while True:
            if not select.select([source], [], [], _TICK)[0]:
                quiet += 1
                if self._closed and quiet > _GRACE:
                    return
                if quiet % _BEAT == 0:
                    self._beat()
                continue
            quiet = 0
            chunk = os.read(source, _CHUNK)
            if not chunk:
                return
            try:
                for document, _ in self._reader.feed(chunk):
                    self._tell(document)
            except FrameError:
                return

    def _beat(self) -> None:
        with suppress(Temporary):
            self._write(BEAT)

    def _tell(self, document: Doc | None) -> None:
        try:
            self._hear(document)
        except Exception:
            traceback.print_exc()

    def _end(self) -> None:
        self.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
