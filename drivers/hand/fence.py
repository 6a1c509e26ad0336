"""The fence around a VM's mutating work on this host: a newer operation ends an older one, an older one is refused.

Beside the VM's datastore lies `.locks/vm-ID`, a record of the newest operation, and `.locks/vm-ID.work`, locked while
one is at work.  Children of an operation carry its mark in their environment, so that a driver's orphans are found
too, and a process number that was used again is never mistaken for one of them.
"""
from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from drivers.hand.failure import Failure, os_failures

MARK = "ONECORE_FENCE"
_RECORD = 1024
_DIE, _POLL, _SOON = 5.0, 0.02, 0.002


@dataclass(frozen=True)
class Claim:
    """Who works on the VM: the operation's order, its mark, and the marks of unfinished ones that it ends."""

    epoch: int = 0
    generation: int = 0
    op: int = 0
    mark: str = ""
    done: bool = True
    before: tuple[str, ...] = ()
    held: bool = True
    """Whether it may have had the lock: one that had not started nothing."""

    @property
    def order(self) -> tuple[int, int, int]:
        """What is compared to tell the newer operation."""
        return self.epoch, self.generation, self.op


class Fence:
    """One operation's claim on the VM in a directory, and the lock while it is at work."""

    def __init__(self, vm_dir: str, order: Sequence[int]) -> None:
        """Enter the claim; a Failure when a newer one stands there."""
        epoch, generation, op = order
        with os_failures(vm_dir):
            self.path = lock_path(vm_dir)
            mine = Claim(epoch, generation, op, secrets.token_hex(8), done=False, held=False)
            self._claim = _claim(self.path, mine)
            self._work = os.open(f"{self.path}.work", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._held = False

    @property
    def mark(self) -> str:
        """What the children of this operation carry in their environment as MARK."""
        return self._claim.mark

    def take(self) -> bool:
        """Whether the lock is ours now; whoever holds it is older, so what it started is ended.

        What is killed may hang in the kernel, and do its last write when its storage answers: the lock is not ours
        as long as it is there.
        """
        try:
            fcntl.flock(self._work, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            end_all(self._claim.before)
            return False
        self._held = True
        self.check()
        if end_all(self._claim.before):
            self._claim = _enter(self.path, self._claim)
        else:
            self._held = False
            fcntl.flock(self._work, fcntl.LOCK_UN)
        return self._held

    def check(self) -> None:
        """A Failure when a newer operation has come."""
        check(self.path, self.mark)

    def release(self, clean: bool = True) -> None:
        """Give the lock back; a claim that never had it stays, for what it may have left.

        So does one that did not end well (not CLEAN), as long as anything that it started is there: see take().
        """
        try:
            if self._held and (clean or end_all([self.mark])):
                _finish(self.path, self._claim)
        finally:
            os.close(self._work)


def check(path: str | Path, mark: str) -> None:
    """A Failure when the record at PATH is not of MARK's operation any more."""
    now = read_claim(Path(path))
    if now.mark != mark:
        raise _superseded(now)


def lock_path(vm_dir: str) -> Path:
    """Where the record for the VM in VM_DIR lies; its directory is made."""
    path = Path(record_path(vm_dir))
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def record_path(vm_dir: str) -> str:
    """The same; nothing is made.  VM_DIR is `…/datastores/DS/ID`."""
    datastores, _, number = vm_dir.rsplit("/", 2)
    return f"{datastores}/.locks/vm-{number}"


def read_claim(path: Path) -> Claim:
    """The record; an empty or torn one counts as none."""
    try:
        data = json.loads(path.read_bytes())
        return Claim(**{**data, "before": tuple(data["before"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Claim()


def end_all(marks: Sequence[str]) -> bool:
    """Kill every process that carries one of MARKS, and wait a little for their end: whether none is left."""
    wanted, late = [f"{MARK}={mark}".encode() for mark in marks], time.monotonic() + _DIE
    while wanted:
        found, unknown = _carriers(wanted)
        for pid in found:
            _kill(pid, wanted, late)
        if not found and not unknown:
            return True
        if time.monotonic() >= late:
            return not found
        if not found:
            time.sleep(_SOON)
    return True


def _carriers(wanted: list[bytes]) -> tuple[list[int], bool]:
    """Processes that carry one of the marks, and whether there is one of which that cannot be said yet."""
    found, unknown = [], False
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        carries = _carries(int(entry), wanted)
        if carries:
            found.append(int(entry))
        unknown = unknown or carries is None
    return found, unknown


def _claim(path: Path, mine: Claim) -> Claim:
    """Enter MINE as the newest operation, unless a newer one stands there."""
    with _record_lock(path) as fd:
        old = read_claim(path)
        if old.order > mine.order:
            raise _superseded(old)
        started = (old.mark,) if old.held else ()
        mine = replace(mine, before=() if old.done else (*old.before, *started))
        _store(fd, mine)
    return mine


def _enter(path: Path, mine: Claim) -> Claim:
    """Note that MINE has the lock, and that nothing older is there; a Failure when a newer operation has come."""
    mine = replace(mine, before=(), held=True)
    with _record_lock(path) as fd:
        check(path, mine.mark)
        _store(fd, mine)
    return mine


def _finish(path: Path, mine: Claim) -> None:
    with _record_lock(path) as fd:
        if read_claim(path).mark == mine.mark:
            _store(fd, replace(mine, done=True, before=()))


def _superseded(by: Claim) -> Failure:
    return Failure(f"superseded by operation {by.op} (epoch {by.epoch}, generation {by.generation})")


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


def _carries(pid: int, wanted: list[bytes]) -> bool | None:
    """Whether a process carries one of the marks; None while it becomes another program: it seems to have none."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read()
        return any(entry in wanted for entry in entries.split(b"\0")) if entries else _is_settled(pid)
    except OSError:
        return False


def _is_settled(pid: int) -> bool | None:
    """False: a process was made without any environment, is no program, or is over; None: not known yet.

    Where an environment begins and ends, numbers 50 and 51 of `stat`, is 0 until execve(2) has copied it.
    """
    try:
        os.readlink(f"/proc/{pid}/exe")
        with open(f"/proc/{pid}/stat", "rb") as file:
            begin, end = file.read().rpartition(b")")[2].split()[47:49]
    except OSError:
        return False
    return False if begin == end != b"0" else None


def _kill(pid: int, wanted: list[bytes], late: float) -> None:
    """Kill PID through a handle, looked at again once the handle is held: no other process can be hit.

    Waits for its end until LATE.
    """
    try:
        handle = os.pidfd_open(pid)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            _kill_by_number(pid)
        return
    try:
        if _carries(pid, wanted):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            poll.poll(max(0.0, late - time.monotonic()) * 1000)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _kill_by_number(pid: int) -> None:
    """Kernels before 5.3 have no handles."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    time.sleep(_POLL)
