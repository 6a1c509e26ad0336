"""Programs and relays: documents and bytes go both ways, and whoever waits hears the end."""
from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from ssh_ground import Sshd, ends, error_of, executor, missing, soon

from drivers.base import Executor, Program, Temporary
from drivers.hand.serve import MODULES
from drivers.local import LocalExecutor
from drivers.ssh.hosts import Hosts
from drivers.ssh.place import Place
from drivers.ssh.relay import Relays
from onecore.wire.messages import Doc

HAND = Program("drivers.hand.serve:serve", MODULES)
"""The command hand as any other program: it greets, and answers."""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if missing():
        pytest.skip(missing())
    server = Sshd(tmp_path_factory.mktemp("ssh"))
    yield server
    server.stop()


@pytest.fixture
def hosts(sshd: Sshd) -> Iterator[Hosts]:
    made = sshd.hosts()
    yield made
    made.close()


@pytest.fixture(params=["local", "ssh"])
def ours(request: pytest.FixtureRequest) -> Executor:
    """Either executor."""
    return LocalExecutor() if request.param == "local" else executor(request.getfixturevalue("hosts"))


class Echo:
    """A UNIX server that says back what it hears; `deaf`: it takes connections and reads nothing."""

    def __init__(self, path: Path, deaf: bool = False) -> None:
        self.taken: list[socket.socket] = []
        self._deaf = deaf
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(16)
        threading.Thread(target=self._take, daemon=True).start()

    def close(self) -> None:
        for each in (self._server, *self.taken):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _take(self) -> None:
        try:
            while True:
                self.taken.append(self._server.accept()[0])
                if not self._deaf:
                    threading.Thread(target=self._echo, args=(self.taken[-1],), daemon=True).start()
        except OSError:
            return

    def _echo(self, sock: socket.socket) -> None:
        while data := sock.recv(65536):
            sock.sendall(data)
        sock.close()


def joined(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(40)
    sock.connect(path)
    return sock


def exchange(sock: socket.socket, data: bytes) -> bytes:
    """What comes back for DATA."""
    thread = threading.Thread(target=sock.sendall, args=(data,))
    thread.start()
    got = b""
    while len(got) < len(data):
        more = sock.recv(65536)
        assert more, "closed early"
        got += more
    thread.join()
    return got


def test_documents_go_both_ways_and_the_end_is_heard_once(ours: Executor) -> None:
    heard: list[Doc | None] = []
    channel = ours.start(HAND, {}, heard.append)
    soon(lambda: heard and heard[0])
    channel.send({"id": 5, "do": "exists", "path": "/"})
    soon(lambda: len(heard) == 2)
    assert heard[1] == {"id": 5, "ok": True}
    channel.close()
    soon(lambda: len(heard) == 3)
    assert heard[2] is None
    with pytest.raises(Temporary):
        channel.send({"id": 6})
    channel.close()


def test_a_program_ends_when_it_is_closed_or_killed(ours: Executor) -> None:
    for end in ("close", "kill"):
        heard: list[Doc | None] = []
        channel = ours.start(HAND, {}, heard.append)
        soon(lambda heard=heard: heard and heard[0])
        pid = (heard[0] or {})["hello"]["pid"]
        channel.close() if end == "close" else os.kill(pid, signal.SIGKILL)
        soon(lambda heard=heard, pid=pid: heard[-1] is None and ends(pid))


def test_a_listener_that_fails_does_not_matter(ours: Executor) -> None:
    heard: list[Doc | None] = []

    def hear(document: Doc | None) -> None:
        heard.append(document)
        raise ValueError("a bug of the listener")

    channel = ours.start(HAND, {}, hear)
    soon(lambda: heard)
    channel.send({"id": 1, "do": "exists", "path": "/"})
    soon(lambda: len(heard) == 2)
    channel.close()
    soon(lambda: len(heard) == 3)


def test_a_cut_connection_ends_programs(sshd: Sshd, hosts: Hosts) -> None:
    heard: list[Doc | None] = []
    executor(hosts).start(HAND, {}, heard.append)
    soon(lambda: heard)
    sshd.cut()
    soon(lambda: heard[-1] is None)


@pytest.mark.parametrize("size", [1, 65536, 5_000_000])
def test_a_relay_carries_all_both_ways(ours: Executor, tmp_path: Path, size: int) -> None:
    echo = Echo(tmp_path / "echo")
    path = ours.relay([str(tmp_path / "nothing"), str(tmp_path / "echo")])
    data = os.urandom(size)
    with joined(path) as sock:
        assert exchange(sock, data) == data
    echo.close()


def test_relays_of_several_connections_are_apart(hosts: Hosts, tmp_path: Path) -> None:
    echo = Echo(tmp_path / "echo")
    path = executor(hosts).relay([str(tmp_path / "echo")])
    assert executor(hosts).relay([str(tmp_path / "echo")]) == path and len(path) < 100
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    before = threading.active_count()
    socks = [joined(path) for _ in range(5)]
    for number, sock in enumerate(socks):
        assert exchange(sock, b"%d" % number) == b"%d" % number
    assert threading.active_count() <= before + 5
    for sock in socks:
        sock.close()
    echo.close()


def test_the_far_end_closes_the_near_one(hosts: Hosts, tmp_path: Path) -> None:
    echo = Echo(tmp_path / "echo")
    sock = joined(executor(hosts).relay([str(tmp_path / "echo")]))
    assert exchange(sock, b"x") == b"x"
    echo.close()
    assert sock.recv(1) == b""


def test_the_near_end_closes_the_far_one(hosts: Hosts, tmp_path: Path) -> None:
    echo = Echo(tmp_path / "echo", deaf=True)
    sock = joined(executor(hosts).relay([str(tmp_path / "echo")]))
    sock.sendall(b"bye")
    soon(lambda: echo.taken)
    sock.close()
    echo.taken[0].settimeout(40)
    assert echo.taken[0].recv(10) == b"bye" and echo.taken[0].recv(10) == b""
    echo.close()


def test_nothing_at_the_far_end_closes_the_near_one(hosts: Hosts, tmp_path: Path) -> None:
    sock = joined(executor(hosts).relay([str(tmp_path / "nothing")]))
    assert sock.recv(1) == b""


def test_a_far_end_that_does_not_read_holds_nobody_else_up(hosts: Hosts, tmp_path: Path) -> None:
    echo = Echo(tmp_path / "echo", deaf=True)
    sock = joined(executor(hosts).relay([str(tmp_path / "echo")]))
    sock.settimeout(0.5)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 100_000_000:
            sent += sock.send(bytes(1_000_000))
    assert sent < 16_000_000
    assert executor(hosts).run(["echo", "quick"]) == "quick\n"
    sock.close()
    echo.close()


def test_a_near_end_that_does_not_read_holds_nobody_else_up(hosts: Hosts, tmp_path: Path) -> None:
    echo = Echo(tmp_path / "echo", deaf=True)
    sock = joined(executor(hosts).relay([str(tmp_path / "echo")]))
    soon(lambda: echo.taken)
    echo.taken[0].settimeout(0.5)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 100_000_000:
            sent += echo.taken[0].send(bytes(1_000_000))
    assert executor(hosts).run(["echo", "quick"]) == "quick\n"
    got = 0
    while got < sent:
        got += len(sock.recv(1_000_000))
    assert got == sent
    sock.close()
    echo.close()


def test_a_cut_connection_ends_relays_and_a_new_one_has_the_same_path(
        sshd: Sshd, hosts: Hosts, tmp_path: Path) -> None:
    echo = Echo(tmp_path / "echo")
    path = executor(hosts).relay([str(tmp_path / "echo")])
    sock = joined(path)
    assert exchange(sock, b"x") == b"x"
    sshd.cut()
    assert sock.recv(1) == b""
    soon(lambda: not os.path.exists(path))
    soon(lambda: error_of(lambda: executor(hosts).exists("/"))[0] is None)
    assert executor(hosts).relay([str(tmp_path / "echo")]) == path
    with joined(path) as again:
        assert exchange(again, b"y") == b"y"
    hosts.close()
    soon(lambda: not os.path.exists(os.path.dirname(path)))
    echo.close()


def test_what_a_killed_process_left_is_removed_and_nothing_else(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = "import os; from drivers.ssh.place import Place; p = Place(); print(p.path, flush=True); os._exit(9)"
    left = Path(subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)},
                               capture_output=True, text=True).stdout.strip())
    assert left.parent == tmp_path and left.exists()
    (tmp_path / "onecore-relay-new").mkdir()
    one, other = Place(), Place()
    assert not left.exists() and one.path.exists() and other.path.exists()
    one.close()
    other.close()
    assert os.listdir(tmp_path) == ["onecore-relay-new"]


def test_no_socket_on_this_machine_is_told(tmp_path: Path) -> None:
    with pytest.raises(Temporary, match="nothing"):
        LocalExecutor().relay([str(tmp_path / "nothing")])


def test_twenty_connections_cost_two_threads_each(tmp_path: Path) -> None:
    if missing():
        pytest.skip(missing())
    server = Sshd(tmp_path, addresses=10)
    two = [server.hosts(connect_timeout=30) for _ in range(2)]
    before = threading.active_count()
    for hosts in two:
        for number in range(1, 11):
            ours = executor(hosts, host={"name": f"127.0.0.{number}"})
            for _ in range(10):
                ours.run(["true"])
    soon(lambda: threading.active_count() <= before + 2 * 20 + len(two))
    for hosts in two:
        hosts.close()
    server.stop()


class Attending:
    """An attendant that begins at once, and keeps what it watches."""

    def __init__(self) -> None:
        self.kept: list[object] = []

    def call(self, call: Callable[[], None]) -> bool:
        call()
        return True

    def watch(self, *what: object) -> None:
        self.kept.append(what)


def test_a_relay_that_could_not_be_bound_is_bound_the_next_time(tmp_path: Path) -> None:
    relays = Relays(cast(Any, Attending()), cast(Any, None))
    path = tmp_path / "full" / "0.sock"
    with pytest.raises(FileNotFoundError):
        relays.listen(str(path), ["/there"])
    path.parent.mkdir()
    assert relays.listen(str(path), ["/there"])
    with socket.socket(socket.AF_UNIX) as near:
        near.connect(str(path))


def test_what_systemd_tmpfiles_would_remove_has_the_sticky_bit() -> None:
    place = Place()
    try:
        path = place.path / "0.sock"
        assert Relays(cast(Any, Attending()), cast(Any, None)).listen(str(path), ["/there"])
        assert {name: oct(stat.S_IMODE((place.path / name).stat().st_mode)) for name in ("lock", "0.sock")} == {
            "lock": "0o1600", "0.sock": "0o1700"}
    finally:
        place.close()
