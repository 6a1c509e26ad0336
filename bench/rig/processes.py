"""The processes of a run: started in sessions of their own, pinned to cores, ended by their id."""
from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from onecore.wire.client import Client, ClientError

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS, STOP_SECONDS = 30.0, 20.0
LOOK = 0.005
CONFIG = '[defaults]\nsystem_tm = "dummy"\n'


class Failed(Exception):
    """The run cannot go on; the text says why."""


def free_port() -> int:
    """A TCP port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cores() -> tuple[int, int]:
    """The core of the servers and the core of wrk; raises Failed when there is one only."""
    found = sorted(os.sched_getaffinity(0))
    if len(found) < 2:
        raise Failed("two cores are needed: one for the server, one for wrk")
    return found[0], found[1]


def pin(pid: int, to: Collection[int]) -> None:
    """Let all threads of a process run on these cores only."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), to)


class Process:
    """A program with its output in a file; Ctrl-C on the terminal does not reach it, `end` does."""

    def __init__(self, arguments: Sequence[str], out: Path, env: Mapping[str, str], cwd: Path = ROOT) -> None:
        self._name, self._out = " ".join(arguments), out
        with out.open("ab") as file:
            self._popen = subprocess.Popen(arguments, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=file,
                                           stderr=file, start_new_session=True)
        self.pid = self._popen.pid

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait until READY; raises Failed when the process ends before, or needs too long."""
        end = time.monotonic() + START_SECONDS
        while not ready():
            if self._popen.poll() is not None or time.monotonic() > end:
                raise Failed(f"{self._name} does not start:\n{self._out.read_text()[-2000:]}")
            time.sleep(LOOK)

    def end(self) -> None:
        """SIGTERM, and SIGKILL for one that does not obey."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._popen.poll() is None:
                self._popen.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_SECONDS)
                return


class Floor:
    """bench/floor.py on uvicorn, pinned to the servers' core, with answers of SIZE bytes."""

    def __init__(self, directory: Path, size: int) -> None:
        self._port, self._out, self.size = free_port(), directory / "floor.out", size
        self.url = f"http://127.0.0.1:{self._port}/RPC2"
        self._process: Process | None = None

    def start(self) -> None:
        """Start it; returns when it listens."""
        self._process = Process(
            ["taskset", "-c", str(cores()[0]), sys.executable, "-m", "uvicorn", "floor:app", "--loop", "uvloop",
             "--http", "httptools", "--port", str(self._port), "--log-level", "error"],
            self._out, {**os.environ, "SIZE": str(self.size)}, ROOT / "bench")
        self._process.until(lambda: _listens(self._port))

    def end(self) -> None:
        """Stop it."""
        if self._process:
            self._process.end()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Cloud:
    """One oned on dummy drivers, and onesched when asked for, in a home below DIRECTORY."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.home = directory, directory / "home"
        self.home.mkdir(parents=True)
        (directory / "user").mkdir()
        (self.home / "oned.conf").write_text(CONFIG)
        self._port = free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}/RPC2"
        self._environment = {**os.environ, "HOME": str(directory / "user"), "PYTHONPATH": str(ROOT)}
        self._oned: Process | None = None
        self._scheduler: Process | None = None

    @property
    def auth(self) -> str:
        """The administrator's session string."""
        return (self.home / "one_auth").read_text().strip()

    @property
    def pid(self) -> int:
        """The process id of oned."""
        assert self._oned, "oned does not run"
        return self._oned.pid

    def client(self, timeout: float = 60.0) -> Client:
        """A client of the administrator."""
        return Client(self.endpoint, self.auth, timeout)

    def start(self) -> float:
        """Start oned; seconds until it answers a first call."""
        begun = time.monotonic()
        self._oned = self._spawn("onecore", "--port", str(self._port))
        self._oned.until(self._answers)
        return time.monotonic() - begun

    def start_scheduler(self) -> None:
        """Start onesched."""
        self._scheduler = self._spawn("scheduler", "--endpoint", self.endpoint)

    def end(self) -> None:
        """Stop onesched and oned; the drivers follow oned."""
        for process in filter(None, (self._scheduler, self._oned)):
            process.end()
        self._scheduler = self._oned = None

    def _spawn(self, module: str, *arguments: str) -> Process:
        return Process([sys.executable, "-m", module, "--home", str(self.home), *arguments],
                       self.directory / f"{module}.out", self._environment)

    def _answers(self) -> bool:
        if not _listens(self._port):
            return False
        client = None
        with contextlib.suppress(OSError, ClientError):
            client = self.client(5.0)
            client.text("one.vmpool.info", -2, 0, -1, -1)
            return True
        return False
