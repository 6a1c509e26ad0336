"""The whole match-maker against a small oned: events, refusals, messages, restarts, and the process itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from elsewhere import send_elsewhere
from sched_fake import FakeHost, FakeOned, FakeVm
from sched_starting import Start
from ssh_ground import soon

from onecore.wire.client import ClientError
from onecore.wire.states import VmState
from scheduler.__main__ import connect
from scheduler.plan import Placement
from scheduler.submit import Message, Outcome, Submitter

Send = Callable[[int, signal.Signals], None]


@pytest.fixture
def oned() -> Iterator[FakeOned]:
    """A running fake with three hosts."""
    fake = FakeOned()
    fake.hosts = {number: FakeHost(number) for number in (1, 2, 3)}
    fake.start()
    yield fake
    fake.stop()


def message(oned: FakeOned, vm: int) -> str:
    """What the VM says."""
    return oned.vms[vm].user.get("SCHED_MESSAGE", "")


def test_a_new_vm_is_placed_at_once(oned: FakeOned, start: Start) -> None:
    start()
    times = []
    for number in range(5):
        begun = time.monotonic()
        oned.add_vm(FakeVm(number))
        assert oned.wait(lambda number=number: number in oned.deployed)
        times.append(oned.deployed[number] - begun)
        time.sleep(0.05)
    assert min(times) < 0.1


def test_vms_that_waited_before_the_start_are_placed(oned: FakeOned, start: Start) -> None:
    oned.vms = {
        1: FakeVm(1, cpu=8, state=3, lcm=3, host=1, store=0),
        2: FakeVm(2),
        3: FakeVm(3, state=int(VmState.HOLD)),
    }
    start()
    assert oned.wait(lambda: 2 in oned.deployed)
    assert oned.vms[2].host == 2 and 3 not in oned.deployed


def test_a_burst_fills_the_hosts_and_not_more(oned: FakeOned, start: Start) -> None:
    start()
    for number in range(40):
        oned.add_vm(FakeVm(number))
    assert oned.wait(
        lambda: len(oned.deployed) == 24 and all(message(oned, n) for n in oned.vms if n not in oned.deployed)
    )
    assert sorted(vm.host for vm in oned.vms.values()) == [-1] * 16 + [1] * 8 + [2] * 8 + [3] * 8
    assert oned.calls.count("one.hostpool.info") == 1 and "one.host.info" not in oned.calls
    waiting = min(number for number in oned.vms if number not in oned.deployed)
    oned.end_vm(5)
    assert oned.wait(lambda: waiting in oned.deployed), "the oldest gets the room"


def test_a_vm_that_fits_nowhere_says_why_once_until_it_fits(oned: FakeOned, start: Start) -> None:
    start()
    oned.add_vm(FakeVm(1, user={"SCHED_REQUIREMENTS": 'ARCH = "arm"'}))
    assert oned.wait(lambda: bool(message(oned, 1)))
    assert message(oned, 1) == 'Cannot place VM: 3 hosts: 3 do not match SCHED_REQUIREMENTS (ARCH = "arm")'
    oned.add_vm(FakeVm(2))
    assert oned.wait(lambda: 2 in oned.deployed)
    time.sleep(0.3)
    assert oned.calls.count("one.vm.update") == 1
    oned.add_host(FakeHost(4, attributes={"ARCH": "arm"}))
    assert oned.wait(lambda: 1 in oned.deployed)
    assert oned.vms[1].host == 4 and not message(oned, 1)


def test_a_vm_edited_so_that_it_fits_is_placed(oned: FakeOned, start: Start) -> None:
    start()
    oned.add_vm(FakeVm(1, user={"SCHED_REQUIREMENTS": "ARCH >= 3"}))
    assert oned.wait(lambda: "SCHED_REQUIREMENTS is not valid" in message(oned, 1))
    with oned.news:
        oned.vms[1].user["SCHED_REQUIREMENTS"] = 'ARCH = "x86*"'
        oned.change("vm", 1, "update", method="one.vm.update")
    assert oned.wait(lambda: 1 in oned.deployed)


def test_a_refused_vm_goes_elsewhere(oned: FakeOned, start: Start) -> None:
    oned.refuse = lambda vm, host: "not enough capacity" if host == 1 else ""
    start()
    oned.add_vm(FakeVm(1))
    assert oned.wait(lambda: 1 in oned.deployed)
    assert oned.vms[1].host == 2 and oned.calls.count("one.vm.deploy") == 2 and "one.host.info" in oned.calls


def test_a_vm_that_is_always_refused_says_so_and_starves_nobody(oned: FakeOned, start: Start) -> None:
    oned.refuse = lambda vm, host: "quota exceeded" if vm.id == 1 else ""
    start()
    began = time.monotonic()
    oned.add_vm(FakeVm(1, user={"USER_PRIORITY": "100"}))
    assert oned.wait(lambda: "the deploy was refused: [one.vm.deploy] quota exceeded" in message(oned, 1))
    for number in range(2, 12):
        oned.add_vm(FakeVm(number))
    assert oned.wait(lambda: len(oned.deployed) == 10)
    time.sleep(0.5)
    assert oned.calls.count("one.vm.deploy") < 25 + 5 * (time.monotonic() - began), "five tries a second"
    oned.refuse = lambda vm, host: ""
    assert oned.wait(lambda: 1 in oned.deployed)


def test_a_vm_taken_away_is_forgotten(oned: FakeOned, start: Start) -> None:
    start()
    oned.add_vm(FakeVm(1, cpu=100))
    assert oned.wait(lambda: bool(message(oned, 1)))
    oned.end_vm(1)
    with oned.news:
        oned.vms[2] = FakeVm(2, cpu=100, state=int(VmState.HOLD))
        oned.change("vm", 2, "create", "HOLD")
    oned.add_host(FakeHost(9, cpu=20000))
    oned.add_vm(FakeVm(3, cpu=90))
    assert oned.wait(lambda: 3 in oned.deployed)
    assert set(oned.deployed) == {3}


def test_disabled_and_removed_hosts_get_nothing(oned: FakeOned, start: Start) -> None:
    start()
    oned.add_host(FakeHost(1, state=4))
    with oned.news:
        del oned.hosts[2]
        oned.change("host", 2, "delete")
    for number in range(8):
        oned.add_vm(FakeVm(number))
    assert oned.wait(lambda: len(oned.deployed) == 8)
    assert {vm.host for vm in oned.vms.values()} == {3}


def test_a_manual_deploy_is_seen(oned: FakeOned, start: Start) -> None:
    start()
    with oned.news:
        oned.vms[1] = FakeVm(1, cpu=8, state=3, lcm=3, host=1, store=0)
        oned.change("vm", 1, "state", "PROLOG", "HOLD", "one.vm.deploy")
    oned.add_vm(FakeVm(2))
    assert oned.wait(lambda: 2 in oned.deployed)
    assert oned.vms[2].host == 2


def test_everything_is_read_anew_when_the_log_does_not_reach_back(oned: FakeOned, start: Start) -> None:
    start()
    with oned.news:
        oned.vms[1] = FakeVm(1)
        oned.oldest = 5
        for _ in range(5):
            oned.change("image", 1, "update")
    assert oned.wait(lambda: 1 in oned.deployed)
    assert oned.calls.count("one.hostpool.info") == 2


def test_oned_may_go_away_and_come_back(oned: FakeOned, start: Start) -> None:
    start()
    oned.add_vm(FakeVm(1))
    assert oned.wait(lambda: 1 in oned.deployed)
    oned.stop()
    oned.vms[2] = FakeVm(2)
    oned.log.clear()
    time.sleep(0.3)
    oned.start()
    assert oned.wait(lambda: 2 in oned.deployed)
    oned.add_vm(FakeVm(3))
    assert oned.wait(lambda: 3 in oned.deployed)


def test_an_answer_that_is_no_body_ends_nothing(oned: FakeOned, start: Start) -> None:
    whole = oned.do_one_vmpool_infoset
    oned.do_one_vmpool_infoset = lambda ids, extended: b"<methodResponse/>"  # type: ignore[method-assign]
    start()
    oned.add_vm(FakeVm(1))
    assert oned.wait(lambda: oned.calls.count("one.hostpool.info") > 2)
    oned.do_one_vmpool_infoset = whole  # type: ignore[method-assign]
    assert oned.wait(lambda: 1 in oned.deployed)


class SlowClient:
    """A client whose calls wait to be let go."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.go = threading.Semaphore(0)

    def call(self, *arguments: object) -> int:
        """Wait, then succeed."""
        self.calls.append(arguments)
        self.go.acquire()
        return 1

    def close(self) -> None:
        """Nothing to close."""


def test_what_is_not_sent_can_be_called_back() -> None:
    client, told = SlowClient(), list[Outcome]()
    submitter = Submitter(lambda: client, 1, told.append)  # type: ignore[arg-type, return-value]
    submitter.deploy(Placement(1, 5, 0, 0))
    deadline = time.monotonic() + 40
    while not client.calls and time.monotonic() < deadline:
        time.sleep(0.005)
    submitter.message(2, "text")
    submitter.deploy(Placement(2, 5, 0, 0))
    submitter.message(3, "early")
    submitter.message(3, "late")
    submitter.deploy(Placement(4, 5, 0, 0))
    assert not submitter.cancel(1) and submitter.cancel(2) and not submitter.cancel(9)
    for _ in range(3):
        client.go.release()
    while len(told) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    submitter.close(40)
    assert [outcome.task for outcome in told] == [Placement(1, 5, 0, 0), Placement(4, 5, 0, 0), Message(3, "late")]


def test_the_session_comes_from_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "auth"
    own.write_text("me:mine\n")
    monkeypatch.setenv("ONE_AUTH", str(own))
    assert connect("http://localhost:1/RPC2", tmp_path, 1).secret == "me:mine"
    (tmp_path / "sched_auth").write_text("serveradmin:token\n")
    assert connect("http://localhost:1/RPC2", tmp_path, 1).secret == "serveradmin:token"
    monkeypatch.setenv("ONE_AUTH", str(tmp_path / "none"))
    with pytest.raises(ClientError, match="no credentials"):
        connect(None, tmp_path / "elsewhere", 1)


def launch(oned: FakeOned, home: Path) -> subprocess.Popen[bytes]:
    """The match-maker as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "scheduler", "--home", str(home), "--endpoint", oned.url],
        env={**os.environ, "ONE_AUTH": str(home / "none")},
    )


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(fd) == str(path):
                return True
    return False


def test_the_process_lives_through_kill_and_hangup_and_ends_on_term(oned: FakeOned, tmp_path: Path) -> None:
    log = tmp_path / "log/sched.log"
    process = launch(oned, tmp_path)
    try:
        while not (log.exists() and "no credentials" in log.read_text()):
            assert process.poll() is None
            time.sleep(0.02)
        (tmp_path / "sched_auth").write_text("serveradmin:token")
        oned.add_vm(FakeVm(1))
        assert oned.wait(lambda: 1 in oned.deployed)
        process.kill()
        process.wait(40)
        oned.add_vm(FakeVm(2))
        process = launch(oned, tmp_path)
        assert oned.wait(lambda: 2 in oned.deployed)
        soon(lambda: "VM 2: on host" in log.read_text())
        log.rename(tmp_path / "log/old")
        process.send_signal(signal.SIGHUP)
        soon(lambda: not has_open(process.pid, tmp_path / "log/old"))
        oned.add_vm(FakeVm(3))
        assert oned.wait(lambda: 3 in oned.deployed)
        soon(lambda: log.exists() and "VM 3: on host" in log.read_text())
        process.terminate()
        assert process.wait(40) == 0
        assert "stopped" in log.read_text()
    finally:
        process.kill()
        process.wait(40)


@pytest.mark.parametrize("send", [os.kill, send_elsewhere])
def test_an_idle_process_hears_a_signal_whichever_thread_it_comes_to(oned: FakeOned, tmp_path: Path,
                                                                     send: Send) -> None:
    (tmp_path / "sched_auth").write_text("serveradmin:token")
    (tmp_path / "sched.conf").write_text("refresh_seconds = 600")
    oned.add_vm(FakeVm(1))
    process = launch(oned, tmp_path)
    try:
        assert oned.wait(lambda: 1 in oned.deployed)
        time.sleep(1)
        send(process.pid, signal.SIGTERM)
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.wait(40)


def test_bad_settings_end_the_process_with_a_word(tmp_path: Path) -> None:
    (tmp_path / "sched.conf").write_text("polcy = 1")
    ended = subprocess.run(
        [sys.executable, "-m", "scheduler", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 1 and "unknown key 'polcy'" in ended.stderr
