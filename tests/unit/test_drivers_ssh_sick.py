"""Hosts that are sick: each command costs at most the time for a connection, one attempt at a time, no thread stays."""
from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ssh_ground import Sshd, children, ends, error_of, executor, missing, soon

from drivers.base import Cancelled, DriverError, Temporary
from drivers.ssh.hosts import Hosts
from drivers.token import Token

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
PATIENCE = 2.0
SLACK = 10.0
"""A look at the silence every second, and a busy machine."""


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path)
    yield server
    if server.process is not None:
        server.signal(signal.SIGCONT)
    server.stop()


@pytest.fixture
def hosts(sshd: Sshd) -> Iterator[Hosts]:
    made = sshd.hosts(connect_timeout=PATIENCE)
    yield made
    made.close()


class Silent:
    """A server at PORT that takes connections (or, with `full`, not even those) and never says a word."""

    def __init__(self, port: int, full: bool = False) -> None:
        self.taken: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", port), backlog=0 if full else 16)
        self._fillers = [self._filler(port) for _ in range(2 if full else 0)]
        if not full:
            threading.Thread(target=self._take, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        for each in (self._socket, *self.taken, *self._fillers):
            each.close()

    def _take(self) -> None:
        try:
            while True:
                self.taken.append(self._socket.accept()[0])
        except OSError:
            return

    def _filler(self, port: int) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        return sock


def connected(hosts: Hosts) -> None:
    """A busy machine may need more than the patience for a connection."""
    soon(lambda: error_of(lambda: executor(hosts).exists("/"))[0] is None)


def at_once(hosts: Hosts, number: int) -> list[tuple[DriverError | None, float]]:
    """How so many calls ended that began together."""
    results: list[tuple[DriverError | None, float]] = []
    threads = [threading.Thread(target=lambda: results.append(error_of(lambda: executor(hosts).exists("/"))))
               for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == number
    return results


@pytest.mark.parametrize("full", [False, True])
def test_a_silent_server_costs_the_patience_once(sshd: Sshd, full: bool) -> None:
    """The clock by which the next try is put off stands still until there is to be one."""
    clock = [100.0]
    hosts = sshd.hosts(now=lambda: clock[0], connect_timeout=PATIENCE)
    sshd.stop()
    silent = Silent(sshd.port, full)
    for error, seconds in at_once(hosts, 10):
        assert isinstance(error, Temporary) and "no answer from its SSH server within 2 s" in str(error)
        assert seconds < PATIENCE + SLACK
    error, seconds = error_of(lambda: executor(hosts).exists("/"))
    assert "next try in" in str(error) and seconds < PATIENCE
    assert full or len(silent.taken) == 1
    silent.close()
    sshd.start()

    def again() -> bool:
        clock[0] += 60
        return error_of(lambda: executor(hosts).exists("/"))[0] is None
    soon(again)
    hosts.close()


def test_no_server_is_told(sshd: Sshd) -> None:
    hosts = sshd.hosts(now=lambda: 100.0, connect_timeout=PATIENCE)
    sshd.stop()
    assert "Connection refused" in str(error_of(lambda: executor(hosts).exists("/"))[0])
    assert sshd.said == ["127.0.0.1: SSH: Connection refused"]
    assert "next try in 1 s" in str(error_of(lambda: executor(hosts).exists("/"))[0])
    hosts.close()


def test_who_insists_does_not_wait(sshd: Sshd) -> None:
    """Somebody mended the host and asks now."""
    hosts = sshd.hosts(now=lambda: 100.0, connect_timeout=40)
    sshd.stop()
    for _ in range(4):
        executor(hosts).insist()
        assert "Connection refused" in str(error_of(lambda: executor(hosts).exists("/"))[0])
    sshd.start()
    assert "next try in" in str(error_of(lambda: executor(hosts).exists("/"))[0])
    made = executor(hosts)
    made.insist()
    assert made.exists("/")
    hosts.close()


def test_a_server_that_stops_in_the_middle(sshd: Sshd, hosts: Hosts, tmp_path: Path) -> None:
    connected(hosts)
    hand = int(executor(hosts).run(["sh", "-c", "echo $PPID"]))
    sshd.signal(signal.SIGSTOP)
    for error, seconds in at_once(hosts, 5):
        assert isinstance(error, Temporary) and "nothing was heard for 2 s" in str(error)
        assert seconds < PATIENCE + SLACK
    error, seconds = error_of(lambda: executor(hosts).exists("/"))
    assert isinstance(error, Temporary) and seconds < PATIENCE + SLACK
    sshd.signal(signal.SIGCONT)
    soon(lambda: error_of(lambda: executor(hosts).exists("/"))[0] is None)
    soon(lambda: ends(hand))


def test_a_copy_to_a_server_that_stops_in_the_middle(sshd: Sshd, hosts: Hosts, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(1, 256)) * 400_000)
    connected(hosts)
    began = threading.Event()
    results: list[tuple[DriverError | None, float]] = []

    def tell(done: int, total: int) -> None:
        began.set()
        time.sleep(0.1)

    thread = threading.Thread(target=lambda: results.append(error_of(
        lambda: executor(hosts, default=60.0).put(str(source), str(tmp_path / "target"), tell))))
    thread.start()
    assert began.wait(40)
    sshd.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    thread.join(60)
    assert time.monotonic() - stopped < PATIENCE + SLACK + 1
    assert isinstance(results[0][0], Temporary)


def test_a_cancel_ends_the_wait_for_a_connection(sshd: Sshd, tmp_path: Path) -> None:
    sshd.stop()
    silent, hosts, token = Silent(sshd.port), sshd.hosts(connect_timeout=90), Token()
    threading.Timer(0.2, token.cancel).start()
    error, seconds = error_of(lambda: executor(hosts, token=token).exists("/"))
    assert isinstance(error, Cancelled) and seconds < 40
    error, seconds = error_of(lambda: executor(hosts, left=lambda: 0.3).exists("/"))
    assert isinstance(error, Temporary) and seconds < 40
    silent.close()
    hosts.close()


def test_no_thread_stays(sshd: Sshd, hosts: Hosts) -> None:
    """One that looks after all hosts, and two a connection."""
    others = set(threading.enumerate())  # what the tests before left may end at any moment

    def ours() -> int:
        return len(set(threading.enumerate()) - others)

    connected(hosts)
    soon(lambda: ours() == 3)
    for _ in range(3):
        sshd.cut()
        connected(hosts)
    soon(lambda: ours() == 3)
    sshd.stop()
    for _ in range(20):
        error_of(lambda: executor(hosts).exists("/"))
    soon(lambda: ours() == 1)
    hosts.close()
    soon(lambda: ours() == 0)


def test_one_connection_carries_all(sshd: Sshd) -> None:
    hosts = sshd.hosts(connect_timeout=40)
    assert [error for error, _ in at_once(hosts, 20)] == [None] * 20
    listed = [each for each in sshd.sessions() if "sshd" in Path(f"/proc/{each}/comm").read_text()]
    assert sshd.process is not None and len([each for each in listed if not set(listed) & set(children(each))]) == 1
    hosts.close()
