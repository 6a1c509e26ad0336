"""The fence around a VM's mutating work on a host: a newer operation ends an older one, an older one is refused.

Beside the VM's datastore lies `.locks/vm-ID`, a record of the newest operation, and `.locks/vm-ID.work`, locked while
one is at work.  Children of an operation carry its mark in their environment, so that a driver's orphans are found
too, and a process number that was used again is never mistaken for one of them.
"""
from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from drivers.base import Context, DriverError, Executor, Permanent, Temporary
from drivers.local import LocalExecutor
from onecore.wire.messages import Doc

MARK = "ONECORE_FENCE"
_RECORD = 1024
_POLL = 0.1
_DIE = 5.0


@dataclass(frozen=True, slots=True)
class Claim:
    """Who works on the VM: the operation's order, its mark, and the marks of unfinished ones that it ends."""

    epoch: int = 0
    generation: int = 0
    op: int = 0
    mark: str = ""
    done: bool = True
    before: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[int, int, int]:
        """What is compared to tell the newer operation."""
        return self.epoch, self.generation, self.op


def fenced(ctx: Context, executor: Executor, args: Doc) -> AbstractContextManager[None]:
    """The fence for an action's args: its VM's directory and what the runner put under `_`."""
    run = args["_"]
    return fence(ctx, executor, args["vm"]["dir"], run["epoch"], run["generation"], run["op"])


@contextmanager
def fence(ctx: Context, executor: Executor, vm_dir: str, epoch: int, generation: int, op: int) -> Iterator[None]:
    """Work on the VM in VM_DIR alone; Permanent when a newer operation came first or comes meanwhile.

    Waits for the older one that it ends, at most until the command's deadline (then Temporary).
    """
    path = lock_path(vm_dir)
    claim = _claim(path, Claim(epoch, generation, op, secrets.token_hex(8), done=False))
    with open(f"{path}.work", "ab") as work:
        _wait_for(ctx, work.fileno(), claim)
        _check(path, claim)
        _end_all(claim.before)
        try:
            with _guarded(executor, path, claim):
                yield
        finally:
            _finish(path, claim)


def lock_path(vm_dir: str) -> Path:
    """Where the record for the VM in VM_DIR (`…/datastores/DS/ID`) lies; its directory is made."""
    directory = Path(vm_dir)
    locks = directory.parent.parent / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    return locks / f"vm-{directory.name}"


def read_claim(path: Path) -> Claim:
    """The record; an empty or torn one counts as none."""
    try:
        data = json.loads(path.read_bytes())
        return Claim(**{**data, "before": tuple(data["before"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Claim()


def _claim(path: Path, mine: Claim) -> Claim:
    """Enter MINE as the newest operation, unless a newer one stands there."""
    with _record_lock(path) as fd:
        old = read_claim(path)
        if old.order > mine.order:
            raise _superseded(old)
        unfinished = () if old.done else (*old.before, old.mark)
        mine = replace(mine, before=unfinished[-8:])
        _store(fd, mine)
    return mine


def _finish(path: Path, mine: Claim) -> None:
    with _record_lock(path) as fd:
        if read_claim(path).mark == mine.mark:
            _store(fd, replace(mine, done=True, before=()))


def _check(path: Path, mine: Claim) -> None:
    now = read_claim(path)
    if now.mark != mine.mark:
        raise _superseded(now)


def _superseded(by: Claim) -> DriverError:
    return Permanent(f"superseded by operation {by.op} (epoch {by.epoch}, generation {by.generation})")


def _wait_for(ctx: Context, work: int, mine: Claim) -> None:
    """Take the work lock; whoever holds it is older, so what it started is ended."""
    while True:
        try:
            return fcntl.flock(work, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _end_all(mine.before)
        try:
            ctx.sleep(_POLL)
        except Temporary:
            raise Temporary("an older operation on this VM is still at work") from None


@contextmanager
def _record_lock(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _store(fd: int, claim: Claim) -> None:
    """One write of one size: a killed driver leaves the old record or the new one."""
    os.pwrite(fd, json.dumps(asdict(claim)).encode().ljust(_RECORD), 0)


@contextmanager
def _guarded(executor: Executor, path: Path, claim: Claim) -> Iterator[None]:
    if isinstance(executor, LocalExecutor):
        with executor.guarded(lambda: _check(path, claim), {MARK: claim.mark}):
            yield
    else:
        yield


def _end_all(marks: tuple[str, ...]) -> None:
    """Kill every process that carries one of MARKS."""
    wanted = [f"{MARK}={mark}".encode() for mark in marks]
    for entry in os.listdir("/proc") if wanted else ():
        if entry.isdigit() and _carries(int(entry), wanted):
            _kill(int(entry), wanted)


def _carries(pid: int, wanted: list[bytes]) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return any(entry in wanted for entry in file.read().split(b"\0"))
    except OSError:
        return False


def _kill(pid: int, wanted: list[bytes]) -> None:
    """Kill PID through a handle, looked at again once the handle is held: no other process can be hit."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _carries(pid, wanted):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], _DIE)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
