"""The fence, on this machine and over SSH: newer ends older, older is refused, a crash leaves nothing in the way."""
from __future__ import annotations

import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from ssh_ground import HOST, Sshd, ends, missing, soon

from drivers.base import Cancelled, DriverError, Permanent, Temporary
from drivers.context import Kept, Running, Surroundings
from drivers.fence import fence, fenced
from drivers.hand.fence import Fence, lock_path, read_claim
from drivers.journal import Journal
from drivers.token import Token
from onecore.wire.messages import Command, Doc

Order = tuple[int, int, int]


class Ground:
    """A host, and drivers that work on one VM of it, each as if it were a process of its own."""

    def __init__(self, host: Doc, home: Path, settings: Doc) -> None:
        self.host = host
        self._home = home
        self._settings = settings
        self._kept: list[Kept] = []

    def context(self, token: Token | None = None, timeout: float = 60) -> Running:
        """The context of a command in another process."""
        kept = Kept()
        self._kept.append(kept)
        if self.host:  # a connection takes its time, which is none of the command's
            self._running(kept, 60, Token()).host(self.host).exists("/")
        return self._running(kept, timeout, token or Token())

    def _running(self, kept: Kept, timeout: float, token: Token) -> Running:
        around = Surroundings(self._home, self._settings, time.monotonic, Token.wait, lambda message: None,
                              Journal(io.StringIO()), kept)
        return Running(around, Command(1, 1, 1, 1, "lane", "x", "deploy", ("vm", 12), timeout), token)

    def work(self, vm_dir: str, order: Order, do: Callable[[Running], object] = lambda ctx: None,
             timeout: float = 60, token: Token | None = None) -> None:
        """Fenced work in the calling thread."""
        ctx = self.context(token, timeout)
        with fence(ctx, ctx.host(self.host), vm_dir, *order):
            do(ctx)

    def close(self) -> None:
        """End what the contexts kept."""
        for kept in self._kept:
            kept.close()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if missing():
        pytest.skip(missing())
    server = Sshd(tmp_path_factory.mktemp("ssh"))
    yield server
    server.stop()


@pytest.fixture(params=["local", "ssh"])
def ground(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    made = Ground({}, Path("/"), {})
    if request.param == "ssh":
        server: Sshd = request.getfixturevalue("sshd")
        monkeypatch.setattr("drivers.context.is_here", lambda host: not host)
        made = Ground(HOST, server.home, {"ssh": server.section()})
    yield made
    made.close()


@pytest.fixture
def vm_dir(tmp_path: Path) -> str:
    return str(tmp_path / "datastores" / "0" / "12")


class Aside:
    """Fenced work in another thread, and how it ended."""

    def __init__(self, ground: Ground, vm_dir: str, order: Order, do: Callable[[Running], object]) -> None:
        self.error: DriverError | None = None
        self._inside = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ground, vm_dir, order, do))
        self._thread.start()
        assert self._inside.wait(40)

    def end(self) -> DriverError | None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.error

    def _run(self, ground: Ground, vm_dir: str, order: Order, do: Callable[[Running], object]) -> None:
        def inside(ctx: Running) -> None:
            self._inside.set()
            do(ctx)
        try:
            ground.work(vm_dir, order, inside)
        except DriverError as error:
            self.error = error


def sleeper(host: Doc) -> Callable[[Running], object]:
    return lambda ctx: ctx.host(host).run(["sh", "-c", "sleep 60 & wait"])


@pytest.mark.parametrize(("first", "second", "refused"), [
    ((1, 1, 5), (1, 1, 6), False),
    ((1, 1, 5), (1, 1, 5), False),
    ((1, 1, 9), (2, 1, 5), False),
    ((1, 1, 9), (1, 2, 5), False),
    ((1, 1, 6), (1, 1, 5), True),
    ((2, 1, 5), (1, 9, 9), True),
    ((1, 2, 5), (1, 1, 9), True),
])
def test_epoch_then_generation_then_operation_tell_the_older(
        vm_dir: str, first: Order, second: Order, refused: bool) -> None:
    ground = Ground({}, Path("/"), {})
    ground.work(vm_dir, first)
    if refused:
        with pytest.raises(Permanent, match=f"superseded by operation {first[2]}"):
            ground.work(vm_dir, second)
    else:
        ground.work(vm_dir, second)


def test_an_older_one_is_refused(ground: Ground, vm_dir: str) -> None:
    ground.work(vm_dir, (1, 1, 6))
    with pytest.raises(Permanent, match="superseded by operation 6"):
        ground.work(vm_dir, (1, 1, 5))


def test_a_newer_one_ends_the_olders_children_and_waits_for_it(ground: Ground, vm_dir: str) -> None:
    older = Aside(ground, vm_dir, (1, 1, 1), sleeper(ground.host))
    began = time.monotonic()
    ground.work(vm_dir, (1, 1, 2))
    assert time.monotonic() - began < 40
    assert "superseded by operation 2" in str(older.end())


def test_the_older_starts_nothing_more(ground: Ground, vm_dir: str, tmp_path: Path) -> None:
    go = threading.Event()

    def late(ctx: Running) -> None:
        go.wait(60)
        ctx.host(ground.host).run(["touch", str(tmp_path / "late")])

    older = Aside(ground, vm_dir, (1, 1, 1), late)
    newer = threading.Thread(target=ground.work, args=(vm_dir, (1, 1, 2)))
    newer.start()
    soon(lambda: read_claim(lock_path(vm_dir)).op == 2)
    go.set()
    newer.join(60)
    assert "superseded" in str(older.end()) and not (tmp_path / "late").exists()


def test_a_copy_by_the_older_is_refused(ground: Ground, vm_dir: str, tmp_path: Path) -> None:
    go = threading.Event()
    (tmp_path / "source").write_bytes(b"x")

    def late(ctx: Running) -> None:
        go.wait(60)
        ctx.host(ground.host).put(str(tmp_path / "source"), str(tmp_path / "late"), lambda done, total: None)

    older = Aside(ground, vm_dir, (1, 1, 1), late)
    newer = threading.Thread(target=ground.work, args=(vm_dir, (1, 1, 2)))
    newer.start()
    soon(lambda: read_claim(lock_path(vm_dir)).op == 2)
    go.set()
    newer.join(60)
    assert "superseded" in str(older.end()) and not (tmp_path / "late").exists()


def test_the_newer_waits_no_longer_than_its_time(ground: Ground, vm_dir: str) -> None:
    go = threading.Event()
    older = Aside(ground, vm_dir, (1, 1, 1), lambda ctx: go.wait(60))
    with pytest.raises(Temporary, match="older operation on this VM is still at work|no end after"):
        ground.work(vm_dir, (1, 1, 2), timeout=8.0)
    go.set()
    assert older.end() is None


def test_a_cancel_ends_the_wait(ground: Ground, vm_dir: str) -> None:
    go, token = threading.Event(), Token()
    older = Aside(ground, vm_dir, (1, 1, 1), lambda ctx: go.wait(60))
    threading.Timer(0.6, token.cancel).start()
    with pytest.raises(Cancelled):
        ground.work(vm_dir, (1, 1, 2), token=token)
    go.set()
    older.end()


def test_the_lock_is_free_after_an_error_and_after_a_cancel(ground: Ground, vm_dir: str) -> None:
    with pytest.raises(ZeroDivisionError):
        ground.work(vm_dir, (1, 1, 1), lambda ctx: 1 / 0)
    assert read_claim(lock_path(vm_dir)).done
    token = Token()
    with pytest.raises(Cancelled):
        ground.work(vm_dir, (1, 1, 1), lambda ctx: (token.cancel(), ctx.host(ground.host).exists("/")), token=token)
    assert read_claim(lock_path(vm_dir)).done
    ground.work(vm_dir, (1, 1, 1))


def test_what_must_be_done_is_done_after_a_cancel_and_under_the_fence(ground: Ground, vm_dir: str) -> None:
    token = Token()

    def do(ctx: Running) -> None:
        token.cancel()
        with pytest.raises(Cancelled):
            ctx.host(ground.host).run(["true"])
        last = ctx.beyond(60)
        last.check()
        mark = last.host(ground.host).run(["sh", "-c", "echo $ONECORE_FENCE"]).strip()
        assert mark == read_claim(lock_path(vm_dir)).mark != ""
        with pytest.raises(Temporary, match="no end after|time is up"):
            ctx.beyond(0.3).host(ground.host).run(["sleep", "5"])
    ground.work(vm_dir, (1, 1, 1), do, token=token)


def test_what_must_be_done_is_refused_when_a_newer_one_has_come(ground: Ground, vm_dir: str) -> None:
    refused: list[str] = []

    def late(ctx: Running) -> None:
        with pytest.raises(Permanent, match="superseded by operation 2"):
            while not time.sleep(0.05):
                ctx.beyond(60).host(ground.host).run(["true"])
        refused.append("it was")
    older = Aside(ground, vm_dir, (1, 1, 1), late)
    ground.work(vm_dir, (1, 1, 2), timeout=60)
    assert older.end() is None and refused


def test_a_torn_record_is_none(ground: Ground, vm_dir: str) -> None:
    lock_path(vm_dir).write_bytes(b'{"epoch": 9')
    ground.work(vm_dir, (1, 1, 1))
    assert read_claim(lock_path(vm_dir)).order == (1, 1, 1)


def test_vms_do_not_wait_for_each_other(ground: Ground, vm_dir: str) -> None:
    with ExitStack() as stack:
        for vm in ("12", "13"):
            ctx = ground.context(timeout=30)
            args = {"vm": {"dir": str(Path(vm_dir).parent / vm)}, "_": {"epoch": 1, "generation": 1, "op": 1}}
            stack.enter_context(fenced(ctx, ctx.host(ground.host), args))


def test_a_watcher_in_another_thread_works_under_the_fence(ground: Ground, vm_dir: str) -> None:
    seen: list[str] = []

    def watched(ctx: Running) -> None:
        ours = ctx.host(ground.host)
        thread = threading.Thread(target=lambda: seen.append(ours.run(["sh", "-c", "echo $ONECORE_FENCE"])))
        thread.start()
        seen.append(ours.run(["sh", "-c", "sleep 0.3; echo $ONECORE_FENCE"]))
        thread.join()

    ground.work(vm_dir, (1, 1, 1), watched)
    assert len(seen) == 2 and len(set(seen)) == 1 and len(seen[0]) > 8


def test_what_cannot_be_killed_keeps_the_newer_waiting(vm_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs in the kernel, as on a dead file server, and may still write when that answers."""
    ground, older = Ground({}, Path("/"), {}), Fence(vm_dir, (1, 1, 1))
    assert older.take()
    os.close(older._work)
    monkeypatch.setattr("drivers.hand.fence._DIE", 0.2)
    child = subprocess.Popen(["sleep", "60"], env={"ONECORE_FENCE": older.mark})
    try:
        soon(lambda: older.mark.encode() in Path(f"/proc/{child.pid}/environ").read_bytes())  # a moment after its start
        with monkeypatch.context() as patch:
            patch.setattr(signal, "pidfd_send_signal", lambda *_: None)
            with pytest.raises(Temporary, match="older operation on this VM is still at work"):
                ground.work(vm_dir, (1, 1, 2), lambda ctx: pytest.fail("it works beside the older one"), timeout=1)
        assert child.poll() is None
        ground.work(vm_dir, (1, 1, 3), lambda ctx: ends(child.pid) or pytest.fail("the orphan is still at work"))
    finally:
        child.kill()
        child.wait(10)


class Left:
    """Work that fails, and what it started is still there."""

    def __init__(self, host: Doc) -> None:
        self._host = host
        self.child: subprocess.Popen[bytes] | None = None

    def __call__(self, ctx: Running) -> None:
        mark = ctx.host(self._host).run(["sh", "-c", "echo $ONECORE_FENCE"]).strip()
        self.child = subprocess.Popen(["sleep", "60"], env={"ONECORE_FENCE": mark})
        soon(lambda: mark.encode() in Path(f"/proc/{self.pid}/environ").read_bytes())
        raise Temporary("no end")

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def close(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait(10)


def test_what_a_failed_one_left_is_ended_before_the_lock_is_free(ground: Ground, vm_dir: str) -> None:
    with closing(Left(ground.host)) as left:
        with pytest.raises(Temporary, match="no end"):
            ground.work(vm_dir, (1, 1, 1), left)
        assert read_claim(lock_path(vm_dir)).done and ends(left.pid)


def test_what_a_failed_one_left_and_cannot_be_killed_keeps_the_newer_waiting(
        vm_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above on a dead file server: the lock is free, but the operation is not done."""
    ground = Ground({}, Path("/"), {})
    monkeypatch.setattr("drivers.hand.fence._DIE", 0.1)
    with closing(Left({})) as left:
        with monkeypatch.context() as patch:
            patch.setattr(signal, "pidfd_send_signal", lambda *_: None)
            with pytest.raises(Temporary, match="no end"):
                ground.work(vm_dir, (1, 1, 1), left)
            assert not read_claim(lock_path(vm_dir)).done
            newer = Fence(vm_dir, (1, 1, 2))
            assert not newer.take()
            newer.release()
        ground.work(vm_dir, (1, 1, 3), lambda ctx: ends(left.pid) or pytest.fail("it is still at work"))


def test_who_never_had_the_lock_pushes_no_older_one_out(vm_dir: str) -> None:
    first = Fence(vm_dir, (1, 1, 1))
    assert first.take()
    for op in range(2, 40):
        waiting = Fence(vm_dir, (1, 1, op))
        assert not waiting.take()
        waiting.release()
    assert read_claim(lock_path(vm_dir)).before == (first.mark,)
    first.release()
    last = Fence(vm_dir, (1, 1, 40))
    assert last.take() and read_claim(lock_path(vm_dir)).before == ()
    last.release()
    assert read_claim(lock_path(vm_dir)).done


@pytest.mark.parametrize("ground", ["ssh"], indirect=True)
def test_with_the_connection_the_lock_is_gone(sshd: Sshd, ground: Ground, vm_dir: str, tmp_path: Path) -> None:
    def cut(ctx: Running) -> None:
        sshd.cut()
        soon(lambda: ctx.lasting(ground.host).exists("/"))
        ctx.host(ground.host).run(["touch", str(tmp_path / "late")])

    older = Aside(ground, vm_dir, (1, 1, 1), cut)
    error = older.end()
    assert isinstance(error, Temporary) and not (tmp_path / "late").exists()
    assert not read_claim(lock_path(vm_dir)).done
    ground.work(vm_dir, (1, 1, 1))


@pytest.mark.parametrize("ground", ["ssh"], indirect=True)
def test_what_outlived_a_killed_hand_is_ended_first(ground: Ground, vm_dir: str, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"echo $PPID $$ > {pid}.new; mv {pid}.new {pid}; sleep 60 & wait"
    older = Aside(ground, vm_dir, (1, 1, 1), lambda ctx: ctx.host(ground.host).run(["sh", "-c", script]))
    soon(pid.exists)
    hand, child = map(int, pid.read_text().split())
    os.kill(hand, signal.SIGKILL)
    assert isinstance(older.end(), Temporary) and not ends(child)
    ground.work(vm_dir, (1, 1, 2), lambda ctx: ends(child) or pytest.fail("the orphan is still at work"))
