"""Driver processes behind pipes: started, fed without ever blocking the core, started again when they die."""
from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onecore.lifecycle.clock import Clock
from onecore.log import Log
from onecore.wire.messages import PROTOCOL, FrameError, Frames, Hello, Message, encode

FAMILIES = ("vm", "tm", "im")
MAX_BACKLOG = 64 * 1024 * 1024
"""Bytes that may wait for a driver that takes none for MAX_SILENCE seconds; then it is replaced."""
MAX_SILENCE = 10.0


class _Process:
    """One driver process and its two pipe ends."""

    def __init__(self, family: str, home: Path, log_path: Path) -> None:
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
            to_driver, self._send_fd = _pipe(theirs, undo)
            self.read_fd, from_driver = _pipe(undo, theirs)
            log = theirs.enter_context(log_path.open("ab"))
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "drivers", family, "--read", str(to_driver), "--write", str(from_driver),
                 "--home", str(home)],
                pass_fds=(to_driver, from_driver), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
            undo.pop_all()
        for fd in (self._send_fd, self.read_fd):
            os.set_blocking(fd, False)
        self.frames, self.buffer, self.up = Frames(), bytearray(), False
        self.reads = 0.0
        """When it last took something off its pipe, on the clock of the loop."""

    def write(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write what the pipe takes; the rest when it is writable again."""
        try:
            while self.buffer:
                del self.buffer[:os.write(self._send_fd, self.buffer)]
                self.reads = loop.time()
        except BlockingIOError:
            loop.add_writer(self._send_fd, self.write, loop)
            return
        except OSError:
            self.buffer.clear()
        loop.remove_writer(self._send_fd)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close both ends: the driver ends by itself within 5 s."""
        for fd in (self._send_fd, self.read_fd):
            loop.remove_reader(fd)
            loop.remove_writer(fd)
            with contextlib.suppress(OSError):
                os.close(fd)


def _pipe(reading: contextlib.ExitStack, writing: contextlib.ExitStack) -> tuple[int, int]:
    """A new pipe's ends, each closed with its stack."""
    ends = os.pipe()
    for stack, fd in zip((reading, writing), ends, strict=True):
        stack.callback(os.close, fd)
    return ends


class PipeTransport:
    """The real transport: one process a family."""

    def __init__(self, home: Path, epoch: Callable[[], int], settings: Mapping[str, Any], clock: Clock,
                 log: Log) -> None:
        self._home, self._epoch, self._settings, self._clock, self._log = home, epoch, settings, clock, log
        self._loop = asyncio.get_running_loop()
        self._processes: dict[str, _Process] = {}
        self._delay: dict[str, float] = {}
        self._closing = False

    def start(self, on_message: Callable[[str, Message], None], on_up: Callable[[str], None]) -> None:
        """Start all families."""
        self._on_message, self._on_up = on_message, on_up
        for family in FAMILIES:
            self._spawn(family)

    def _spawn(self, family: str) -> None:
        if self._closing:
            return
        try:
            process = _Process(family, self._home, self._home / "log" / f"driver-{family}.log")
        except OSError as error:
            self._log.error(f"driver {family} cannot be started, trying again in 5 s: {error}")
            self._clock.call_later(5.0, lambda: self._spawn(family))
            return
        self._processes[family] = process
        self._loop.add_reader(process.read_fd, self._readable, family, process)
        process.buffer += encode(Hello(epoch=self._epoch(), family=family, settings=dict(self._settings)))
        process.write(self._loop)

    def send(self, family: str, message: Message) -> bool:
        """Queue a message; False when the driver is not up.  Raises FrameError on one that is too large."""
        process = self._processes.get(family)
        if process is None or not process.up:
            return False
        idle = not process.buffer
        process.buffer += encode(message)
        if len(process.buffer) > MAX_BACKLOG and self._loop.time() - process.reads > MAX_SILENCE:
            self._log.error(f"driver {family} does not read its pipe, replacing it")
            self.replace(family)
            return False
        if idle:
            process.write(self._loop)
        return True

    def _readable(self, family: str, process: _Process) -> None:
        try:
            data = os.read(process.read_fd, 1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._down(family, process)
            return
        messages = process.frames.feed(data)
        while True:
            try:  # around what the driver sent alone: what is done about it is not its fault
                message = next(messages, None)
            except FrameError as error:
                self._log.error(f"driver {family}: {error}")
                return self._down(family, process)
            if message is None:
                return
            if isinstance(message, Hello):
                self._greet(family, process, message)
            else:
                self._on_message(family, message)

    def _greet(self, family: str, process: _Process, hello: Hello) -> None:
        if hello.protocol != PROTOCOL:
            self._log.error(f"driver {family} speaks protocol {hello.protocol}, not {PROTOCOL}")
            self._down(family, process)
            return
        process.up = True
        self._clock.call_later(10, lambda: self._settled(family, process))
        self._on_message(family, hello)
        self._on_up(family)

    def _settled(self, family: str, process: _Process) -> None:
        """It has run for a while: the next restart is quick again."""
        if process.up:
            self._delay.pop(family, None)

    def _down(self, family: str, process: _Process) -> None:
        if self._processes.get(family) is not process:
            return
        process.up = False
        process.close(self._loop)
        del self._processes[family]
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.popen.pid, 9)
        self._reap(process)
        if not self._closing:
            delay = self._delay.get(family, 0.05)
            self._delay[family] = min(delay * 2, 5.0)
            self._log.warning(f"driver {family} (pid {process.popen.pid}) ended, starting it again in {delay:g} s")
            self._clock.call_later(delay, lambda: self._spawn(family))

    def _reap(self, process: _Process) -> None:
        """See the process end without waiting for it: one that hangs in the kernel must not hold the core."""
        if process.popen.poll() is None:
            self._clock.call_later(0.5, lambda: self._reap(process))

    def reopen_logs(self) -> None:
        """Have the processes open their log files anew."""
        for process in self._processes.values():
            if process.up:
                process.popen.send_signal(signal.SIGHUP)

    def replace(self, family: str) -> None:
        """End the process now and start another."""
        process = self._processes.get(family)
        if process:
            self._down(family, process)

    def pids(self) -> dict[str, int]:
        """The processes, for status."""
        return {family: process.popen.pid for family, process in self._processes.items()}

    def close(self, patience: float = 5.5) -> None:
        """Close the pipes and see the processes end (blocks up to PATIENCE seconds)."""
        self._closing = True
        for process in self._processes.values():
            process.close(self._loop)
        for family, process in self._processes.items():
            try:
                process.popen.wait(patience)
            except subprocess.TimeoutExpired:
                self._log.warning(f"driver {family} does not end, killing it")
                os.killpg(process.popen.pid, 9)
        self._processes.clear()
