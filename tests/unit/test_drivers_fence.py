"""The fence: newer ends older, older is refused, a crash leaves nothing in the way."""
from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from drivers.base import Cancelled, DriverError, Permanent, Temporary
from drivers.context import Running, Surroundings
from drivers.fence import fence, fenced
from drivers.hand.fence import lock_path, read_claim
from drivers.journal import Journal
from drivers.token import Token
from onecore.wire.messages import Command

Order = tuple[int, int, int]


@pytest.fixture
def vm_dir(tmp_path: Path) -> str:
    return str(tmp_path / "datastores" / "0" / "12")


def context(token: Token | None = None, timeout: float = 10) -> Running:
    around = Surroundings(Path("/"), {}, time.monotonic, Token.wait, lambda message: None, Journal(io.StringIO()))
    return Running(around, Command(1, 1, 1, 1, "lane", "x", "deploy", ("vm", 12), timeout), token or Token())


def work(vm_dir: str, order: Order, do: Callable[[Running], object] = lambda ctx: None, timeout: float = 10,
         token: Token | None = None) -> None:
    ctx = context(token, timeout)
    with fence(ctx, ctx.host({}), vm_dir, *order):
        do(ctx)


class Aside:
    """Fenced work in another thread, and how it ended."""

    def __init__(self, vm_dir: str, order: Order, do: Callable[[Running], object]) -> None:
        self.error: DriverError | None = None
        self._inside = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(vm_dir, order, do))
        self._thread.start()
        assert self._inside.wait(5)

    def end(self) -> DriverError | None:
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self.error

    def _run(self, vm_dir: str, order: Order, do: Callable[[Running], object]) -> None:
        def inside(ctx: Running) -> None:
            self._inside.set()
            do(ctx)
        try:
            work(vm_dir, order, inside)
        except DriverError as error:
            self.error = error


def sleeper(ctx: Running) -> None:
    ctx.host({}).run(["sh", "-c", "sleep 60 & wait"])


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
    work(vm_dir, first)
    if refused:
        with pytest.raises(Permanent, match=f"superseded by operation {first[2]}"):
            work(vm_dir, second)
    else:
        work(vm_dir, second)


def test_a_newer_one_ends_the_olders_children_and_waits_for_it(vm_dir: str) -> None:
    older = Aside(vm_dir, (1, 1, 1), sleeper)
    began = time.monotonic()
    work(vm_dir, (1, 1, 2))
    assert time.monotonic() - began < 5
    assert "superseded by operation 2" in str(older.end())


def test_the_older_starts_nothing_more(vm_dir: str, tmp_path: Path) -> None:
    go = threading.Event()

    def late(ctx: Running) -> None:
        go.wait(5)
        ctx.host({}).run(["touch", str(tmp_path / "late")])

    older = Aside(vm_dir, (1, 1, 1), late)
    newer = threading.Thread(target=work, args=(vm_dir, (1, 1, 2)))
    newer.start()
    while read_claim(lock_path(vm_dir)).op != 2:
        time.sleep(0.01)
    go.set()
    newer.join(5)
    assert "superseded" in str(older.end()) and not (tmp_path / "late").exists()


def test_the_newer_waits_no_longer_than_its_time(vm_dir: str) -> None:
    go = threading.Event()
    older = Aside(vm_dir, (1, 1, 1), lambda ctx: go.wait(5))
    with pytest.raises(Temporary, match="older operation on this VM is still at work"):
        work(vm_dir, (1, 1, 2), timeout=0.3)
    go.set()
    assert older.end() is None


def test_a_cancel_ends_the_wait(vm_dir: str) -> None:
    go, token = threading.Event(), Token()
    older = Aside(vm_dir, (1, 1, 1), lambda ctx: go.wait(5))
    threading.Timer(0.2, token.cancel).start()
    with pytest.raises(Cancelled):
        work(vm_dir, (1, 1, 2), token=token)
    go.set()
    older.end()


def test_the_lock_is_free_after_an_error(vm_dir: str) -> None:
    with pytest.raises(ZeroDivisionError):
        work(vm_dir, (1, 1, 1), lambda ctx: 1 / 0)
    assert read_claim(lock_path(vm_dir)).done
    work(vm_dir, (1, 1, 1))


def test_a_torn_record_is_none(vm_dir: str) -> None:
    lock_path(vm_dir).write_bytes(b'{"epoch": 9')
    work(vm_dir, (1, 1, 1))
    assert read_claim(lock_path(vm_dir)).order == (1, 1, 1)


def test_vms_do_not_wait_for_each_other(vm_dir: str) -> None:
    with ExitStack() as stack:
        for vm in ("12", "13"):
            ctx = context(timeout=1)
            args = {"vm": {"dir": str(Path(vm_dir).parent / vm)}, "_": {"epoch": 1, "generation": 1, "op": 1}}
            stack.enter_context(fenced(ctx, ctx.host({}), args))
