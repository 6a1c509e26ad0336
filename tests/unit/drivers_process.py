"""A driver process at the end of real pipes, for tests: starts it, sends messages, keeps what comes back."""
from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onecore.wire.messages import Cancel, Command, Doc, Frames, Hello, Message, Result, encode


class Driver:
    """`python -m drivers FAMILY`, greeted with SETTINGS."""

    def __init__(self, family: str, home: Path, settings: Doc | None = None, *, hello: Message | None = None,
                 path: Path | None = None) -> None:
        inward, self._out = os.pipe()
        self._in, outward = os.pipe()
        self.log = home / "driver.log"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, [path] if path else []), os.getcwd()])}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "drivers", family, "--read", str(inward), "--write", str(outward),
                 "--home", str(home)], pass_fds=(inward, outward), stderr=log, env=environment)
        os.close(inward)
        os.close(outward)
        self._frames = Frames()
        self.messages: list[Message] = []
        self.send(hello or Hello(epoch=1, settings=settings or {}))

    def send(self, *messages: Message) -> None:
        """Write messages, reading meanwhile so that nobody waits for the other."""
        data = memoryview(b"".join(map(encode, messages)))
        while data:
            _, writable, _ = select.select([], [self._out], [], 0.01)
            data = data[os.write(self._out, data[:4096]) if writable else 0:]
            self.read(0)

    def do(self, action: str, op: int = 1, *, attempt: int = 1, lane: str = "node1", timeout: float = 20,
           driver: str = "dummy", **args: Any) -> None:
        """Send a command about VM number OP on the lane's host."""
        vm = {"id": op, "name": "x", "generation": 1, "cpu": 1, "memory_mb": 64, "user": {}} | args.pop("vm", {})
        host = {"id": 0, "name": lane, "attrs": {}}
        self.send(Command(op, attempt, 1, 1, lane, driver, action, ("vm", op), timeout, f"r{op}",
                          {"host": host, "vm": vm, **args}))

    def cancel(self, op: int, attempt: int = 1) -> None:
        """Send a cancel."""
        self.send(Cancel(op, attempt))

    def read(self, seconds: float) -> bool:
        """Take what comes within SECONDS; false at the end of the pipe."""
        readable, _, _ = select.select([self._in], [], [], seconds)
        data = os.read(self._in, 1 << 20) if readable else None
        self.messages += self._frames.feed(data or b"")
        return data != b""

    def until(self, true: Callable[[], object], seconds: float = 40) -> None:
        """Read until something is true."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"not within {seconds} s; got {self.messages[-5:]}; {self.log.read_text()}"
            assert self.read(0.05), f"the driver ended: {self.log.read_text()}"

    def results(self) -> dict[tuple[int, int], Result]:
        """Results by operation and attempt."""
        return {(each.op, each.attempt): each for each in self.messages if isinstance(each, Result)}

    def result(self, op: int, attempt: int = 1, seconds: float = 40) -> Result:
        """The result of a command, waited for."""
        self.until(lambda: (op, attempt) in self.results(), seconds)
        return self.results()[op, attempt]

    def close(self) -> float:
        """Close the pipe to it; the seconds that it took to end."""
        began = time.monotonic()
        if self._out >= 0:
            os.close(self._out)
            self._out = -1
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        return time.monotonic() - began
