"""A real sshd on this machine's loopback, as the present user, with keys of its own; hosts that are reached there."""
from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ports import free_port

from drivers.base import DriverError
from drivers.ssh.executor import SshExecutor
from drivers.ssh.hosts import Hosts

SSHD = "/usr/sbin/sshd"
HOST = {"name": "127.0.0.1"}
CONFIG = """
HostKey {dir}/host_key
PidFile none
AuthorizedKeysFile {dir}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
"""


class Sshd:
    """The server; its files lie in DIRECTORY, the front-end's home is `home`."""

    def __init__(self, directory: Path, addresses: int = 1) -> None:
        self.home = directory / "home"
        self._directory = directory
        self._addresses = [f"127.0.0.{number}" for number in range(1, addresses + 1)]
        self.port = 0
        (self.home / "ssh").mkdir(parents=True)
        make_key(directory / "host_key")
        make_key(self.home / "ssh" / "id_ed25519")
        (directory / "authorized_keys").write_bytes((self.home / "ssh" / "id_ed25519.pub").read_bytes())
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self, more: str = "") -> None:
        """Start (again), with MORE lines of configuration.

        A port that somebody took before the first start is not the server's: it gets another.
        """
        first = not self.port
        while not self._starts(more, free_port() if first else self.port):
            assert first, (self._directory / "sshd.log").read_text()

    def _starts(self, more: str, port: int) -> bool:
        self.port = port
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        listen = "".join(f"ListenAddress {address}:{self.port}\n" for address in self._addresses)
        path = self._directory / "sshd_config"
        path.write_text(more + CONFIG.format(dir=self._directory) + listen)
        said = self._directory / "sshd.log"
        with said.open("ab") as log:
            before = log.tell()
            process = self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(path)], stderr=log)
        soon(lambda: process.poll() is not None
             or said.read_bytes()[before:].count(b"Server listening on ") == len(self._addresses))
        return process.poll() is None

    def sessions(self) -> list[int]:
        """The processes of the server's connections."""
        assert self.process is not None
        return children(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and its connections."""
        assert self.process is not None
        for pid in [self.process.pid, *self.sessions()]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def cut(self) -> None:
        """Kill the connections, not the server."""
        for pid in self.sessions():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it with its connections."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            soon(lambda: not self._listens())  # one that it just forked has its socket for a moment

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._addresses[0], self.port))
            except OSError:
                return True
        return False

    @property
    def known(self) -> str:
        """Its line of known_hosts."""
        kind, blob = (self._directory / "host_key.pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {blob}\n"

    def hosts(self, now: Callable[[], float] = time.monotonic, **settings: Any) -> Hosts:
        """A process's hosts, all reached here."""
        self.said: list[str] = []
        return Hosts(self.home, self.section(**settings), now, lambda level, text: self.said.append(text))

    def section(self, **settings: Any) -> dict[str, Any]:
        """The settings `[drivers.ssh]` that lead here."""
        usual = {"port": self.port, "user": getpass.getuser(), "trust_first_use": True, "connect_timeout": 10}
        return {**usual, **settings}


def missing() -> str:
    """Why there can be no sshd here; empty when there can."""
    return "" if os.access(SSHD, os.X_OK) else f"{SSHD} is not installed"


def make_key(path: Path) -> None:
    """A new pair of keys at PATH and PATH.pub."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def executor(hosts: Hosts, **more: Any) -> SshExecutor:
    """An executor for HOST with forty seconds a call."""
    return SshExecutor(hosts, **{"host": HOST, "default": 40.0, **more})


def answers(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def children(pid: int) -> list[int]:
    """The children of PID and theirs."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(each) for each in (task / "children").read_text().split()]
    return [*found, *(below for each in found for below in children(each))]


def soon(true: Callable[[], object], seconds: float = 40.0) -> None:
    """Wait until TRUE is; fails after SECONDS."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.02)


def ends(pid: int) -> bool:
    """Whether a process is gone (or a zombie)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def error_of(call: Callable[[], object]) -> tuple[DriverError | None, float]:
    """What CALL raised, and the seconds that it took."""
    began = time.monotonic()
    try:
        call()
    except DriverError as error:
        return error, time.monotonic() - began
    return None, time.monotonic() - began
