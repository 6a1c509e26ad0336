"""The SSH executor against a real sshd of this machine: commands, cancels, keys that are believed, a cut connection."""
from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ssh_ground import HOST, Sshd, ends, error_of, executor, make_key, missing, soon

from drivers.base import Cancelled, Permanent, Temporary
from drivers.bounds import Bounds
from drivers.ssh.hosts import Hosts
from drivers.token import Token

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all tests of this file."""
    server = Sshd(tmp_path_factory.mktemp("ssh"))
    yield server
    server.stop()


@pytest.fixture
def hosts(sshd: Sshd) -> Iterator[Hosts]:
    """A process's hosts."""
    made = sshd.hosts()
    executor(made).exists("/")
    yield made
    made.close()


def is_written(path: Path) -> bool:
    """Whether a command has written its number to PATH."""
    return path.exists() and path.read_text().endswith("\n")


def pid_in(path: Path) -> int:
    """The process number that a command writes to PATH."""
    soon(lambda: is_written(path))
    return int(path.read_text())


@pytest.mark.parametrize("word", ["a b", "it's", '"q"', "two\nlines", "$(id)", "`id`", "*", "\\", "!!", "", "ü€", "-n"])
def test_arguments_arrive_as_they_are(hosts: Hosts, word: str) -> None:
    assert executor(hosts).run(["printf", "%s|%s", "--", word]).endswith(f"|{word}")


def test_arguments_that_are_no_text_arrive_too(hosts: Hosts, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    executor(hosts).run(["touch", name])
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe"] and executor(hosts).exists(name)


def test_input_output_and_failure(hosts: Hosts) -> None:
    assert executor(hosts).run(["cat"], stdin=b"a\nb" * 100_000) == "a\nb" * 100_000
    with pytest.raises(Permanent, match="ended with 3: went wrong$"):
        executor(hosts).run(["sh", "-c", "echo went wrong >&2; exit 3"])
    with pytest.raises(Permanent, match="no-such-program: No such file"):
        executor(hosts).run(["no-such-program"])


def test_the_administrators_programs_are_found(hosts: Hosts) -> None:
    assert "/usr/sbin" in executor(hosts).run(["sh", "-c", "echo $PATH"])


def test_files(hosts: Hosts, tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    executor(hosts).write(path, b"\x00\xff" * 100_000, 0o600)
    assert executor(hosts).read(path) == b"\x00\xff" * 100_000
    assert executor(hosts).exists(path) and not executor(hosts).exists(f"{path}x")
    assert os.listdir(tmp_path) == ["file"] and os.stat(path).st_mode & 0o777 == 0o600
    with pytest.raises(Permanent, match="/no/such: No such file"):
        executor(hosts).read("/no/such")


def test_many_runs_wait_for_no_full_packet(hosts: Hosts) -> None:
    """How many there are a second is for whoever reads it: machines are busy."""
    ours = executor(hosts)
    began = time.monotonic()
    for _ in range(300):
        ours.run(["true"])
    print(f"{300 / (time.monotonic() - began):.0f} runs a second")
    lane = hosts.lane(HOST)
    assert lane.connection(Bounds())._transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_slow_command_holds_nobody_up(hosts: Hosts, tmp_path: Path) -> None:
    go = tmp_path / "go"
    slow = threading.Thread(target=lambda: executor(hosts).run(
        ["sh", "-c", f"while [ ! -e {go} ]; do sleep 0.05; done"]))
    slow.start()
    executor(hosts).run(["true"])
    assert slow.is_alive()
    go.touch()
    slow.join()


def test_a_timeout_ends_the_group(hosts: Hosts, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(Temporary, match="no end after 0.5 s: said so"):
        executor(hosts, left=lambda: 0.0 if is_written(pid) else 0.5).run(
            ["sh", "-c", f"echo said so >&2; sleep 60 & echo $! > {pid}; wait"])
    soon(lambda: ends(pid_in(pid)))
    with pytest.raises(Temporary, match="no end after 0.2 s"):
        executor(hosts).run(["sleep", "60"], timeout=0.2)


def test_a_cancel_ends_the_group(hosts: Hosts, tmp_path: Path) -> None:
    token, pid = Token(), tmp_path / "pid"
    executor(hosts).exists("/")
    threading.Thread(target=lambda: (pid_in(pid), token.cancel())).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        executor(hosts, token=token).run(["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"])
    assert time.monotonic() - began < 40
    soon(lambda: ends(pid_in(pid)))
    with pytest.raises(Cancelled):
        executor(hosts, token=token).exists("/")


def test_progress_puts_the_end_of_the_time_off(hosts: Hosts) -> None:
    """What is left first is over before the command ends; meanwhile there is more."""
    left = iter([0.3])
    executor(hosts, left=lambda: next(left, 40.0)).run(["sleep", "1"])


def test_the_commands_time_bounds_every_call(hosts: Hosts) -> None:
    with pytest.raises(Temporary, match="time is up"):
        executor(hosts, left=lambda: 0.0).run(["true"])
    executor(hosts).exists("/")
    with pytest.raises(Temporary, match=r"0\.2 s"):
        executor(hosts, left=lambda: 0.2).run(["sleep", "9"], timeout=5)


def test_a_cut_connection_is_told_at_once_and_made_again(sshd: Sshd, hosts: Hosts, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    failed: list[Exception | None] = []
    thread = threading.Thread(target=lambda: failed.append(error_of(
        lambda: executor(hosts).run(["sh", "-c", f"echo $$ > {pid}; sleep 60"]))[0]))
    thread.start()
    sleeper = pid_in(pid)
    sshd.cut()
    thread.join(40)
    assert isinstance(failed[0], Temporary) and "127.0.0.1" in str(failed[0])
    assert executor(hosts).run(["echo", "back"]) == "back\n"
    soon(lambda: ends(sleeper))


def test_the_hand_leaves_nothing_when_its_driver_goes(sshd: Sshd, tmp_path: Path) -> None:
    gone, pid = sshd.hosts(), tmp_path / "pid"
    thread = threading.Thread(target=lambda: error_of(
        lambda: executor(gone).run(["sh", "-c", f"echo $$ > {pid}; sleep 60"])))
    thread.start()
    sleeper = pid_in(pid)
    hand = int(Path(f"/proc/{sleeper}/stat").read_text().rpartition(")")[2].split()[1])
    gone.close()
    soon(lambda: ends(sleeper) and ends(hand))
    thread.join(40)
    assert not thread.is_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_hand_that_is_ended_is_replaced(hosts: Hosts, number: signal.Signals) -> None:
    hand = int(executor(hosts).run(["sh", "-c", "echo $PPID"]))
    os.kill(hand, number)
    soon(lambda: ends(hand))
    soon(lambda: error_of(lambda: executor(hosts).exists("/"))[0] is None)


def test_an_unknown_key_is_refused_with_the_way_out(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    hosts = sshd.hosts(trust_first_use=False, known_hosts=str(file))
    with pytest.raises(Permanent, match=r"not known.*SHA256:.*ssh-keyscan -p \d+ -t ed25519 127.0.0.1 >> .*trust_fi"):
        executor(hosts).run(["true"])
    hosts.close()
    assert not file.exists()


def test_a_known_key_is_believed_and_a_changed_one_never(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("# ours\n" + sshd.known)
    strict = sshd.hosts(trust_first_use=False, known_hosts=str(file))
    assert executor(strict).exists("/")
    strict.close()
    make_key(tmp_path / "other")
    file.write_text(f"[127.0.0.1]:{sshd.port} {(tmp_path / 'other.pub').read_text()}")
    hosts = sshd.hosts(trust_first_use=True, known_hosts=str(file))
    with pytest.raises(Permanent, match="ITS SSH KEY HAS CHANGED"):
        executor(hosts).exists("/")
    hosts.close()
    assert file.read_text().count("\n") == 1


def test_trust_on_first_use_is_kept_once(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "ssh" / "known_hosts"
    several = [sshd.hosts(known_hosts=str(file)) for _ in range(4)]
    threads = [threading.Thread(target=executor(each).exists, args=("/",)) for each in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in several:
        each.close()
    assert file.read_text() == sshd.known


def test_a_key_that_is_not_taken_is_told(sshd: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    hosts = sshd.hosts(key=str(tmp_path / "other"))
    with pytest.raises(Permanent, match="takes none of our keys.*authorized_keys"):
        executor(hosts).exists("/")
    hosts.close()


def test_what_runs_there_is_told_in_the_log(sshd: Sshd, hosts: Hosts) -> None:
    executor(hosts).exists("/")
    assert any("connected as" in said and "Python 3" in said and "hand " in said for said in sshd.said)
