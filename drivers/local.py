"""The executor of this machine: the hand's modules (drivers/hand), called in this process.

A child never outlives its command: a timeout or a cancel from any thread kills its whole process group.
"""
from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from drivers.base import Executor, Program, Tell, Temporary
from drivers.bounds import Bounds, worded
from drivers.child import Child
from drivers.hand import commands, copy, files
from drivers.hand.failure import Failure, os_failures
from drivers.hand.fence import MARK, Fence
from drivers.token import Token
from onecore.wire.messages import Doc

_POLL = 0.1


class LocalExecutor:
    """Runs commands and touches files of this machine for one command; see drivers.base.Executor.

    `left` gives the seconds that the command still has: no child gets more, whatever its own timeout says.
    """

    def __init__(self, token: Token | None = None, left: Callable[[], float] | None = None,
                 default: float | None = None) -> None:
        self._bounds = Bounds(token, left, default)
        self._fences: list[Fence] = []

    @property
    def is_local(self) -> bool:
        """It is."""
        return True

    def insist(self) -> None:
        """This machine is always there."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> str:
        """Run argv, return standard output; Temporary on a timeout, Cancelled, Permanent when it fails."""
        self._check()
        seconds = self._bounds.seconds(timeout)
        with worded():
            done = commands.run(argv, stdin, self._environment(), self._bounds.token, seconds,
                                lambda: self._bounds.renewed(timeout))
        self._check()
        if done.late:
            raise Temporary(commands.said(f"{shlex.join(argv)}: no end after {seconds:g} s", done.err))
        with worded():
            return commands.output(argv, done).decode(errors="replace")

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file whole and durable: temporary name, fsync, rename."""
        self._check()
        with worded():
            files.write(path, data, mode)

    def read(self, path: str) -> bytes:
        """The file's content."""
        self._check()
        with worded():
            return files.read(path)

    def exists(self, path: str) -> bool:
        """Whether PATH is there (a dangling link is not)."""
        self._check()
        return files.exists(path)

    def put(self, source: str, target: str, tell: Tell) -> None:
        """Copy SOURCE to TARGET: sparse, durable, compared."""
        self._check()
        with worded(), os_failures(source):
            fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._copy(fd, target, tell)
            finally:
                os.close(fd)

    def get(self, source: str, target: str, tell: Tell) -> None:
        """As put(): both are on this machine."""
        self.put(source, target, tell)

    def pass_on(self, source: str, target: str, other: Executor, tell: Tell) -> None:
        """OTHER gets the file from here."""
        other.put(source, target, tell)

    @contextmanager
    def fence(self, vm_dir: str, order: tuple[int, int, int], wait: Callable[[float], None]) -> Iterator[None]:
        """Hold the VM's fence as ORDER; see drivers/fence.py."""
        with worded():
            held = Fence(vm_dir, order)
        clean = False
        try:
            self._take(held, wait)
            self._fences.append(held)
            try:
                yield
                clean = True
            finally:
                self._fences.remove(held)
        finally:
            held.release(clean)

    def start(self, program: Program, argument: Doc, hear: Callable[[Doc | None], None]) -> Child:
        """Run PROGRAM as a child process; it outlives the command."""
        self._check()
        return Child(program, argument, hear, self._environment())

    def bound(self, token: Token, left: Callable[[], float]) -> LocalExecutor:
        """The same with the same fences, stopped by TOKEN."""
        other = LocalExecutor(token, left)
        other._fences = self._fences
        return other

    def relay(self, sockets: Sequence[str]) -> str:
        """The first of SOCKETS that is there; Temporary when none is."""
        found = next((each for each in sockets if os.path.exists(each)), None)
        if found is None:
            raise Temporary(f"no {' nor '.join(sockets)}")
        return found

    def _copy(self, source: int, target: str, tell: Tell) -> None:
        size, digest, bounds = os.fstat(source).st_size, copy.Digest(), self._bounds.counted()
        progress = copy.Occasionally(lambda at: tell(at, size))

        def each(at: int) -> None:
            self._check()
            bounds.seconds()
            progress(at)
        with os_failures(target):
            file = copy.Target(target)
            try:
                for at, data in copy.blocks(source, size, each):
                    file.put(at, data)
                    digest.add(at, data)
                file.end(size)
            finally:
                file.close()
            self._compare(target, digest.end(size), lambda: progress(size))
        tell(size, size)

    def _compare(self, target: str, wanted: str, tell: Callable[[], None]) -> None:
        def each(at: int) -> None:
            self._check()
            tell()
        if copy.measure(target, each) != wanted:
            raise Failure(f"{target}: the copy differs from its source", temporary=True)

    def _take(self, held: Fence, wait: Callable[[float], None]) -> None:
        """Wait for the fence's lock; Temporary when the command's time is up before."""
        with worded():
            while not held.take():
                waited(wait)

    def _check(self) -> None:
        self._bounds.check()
        with worded():
            for held in self._fences:
                held.check()

    def _environment(self) -> dict[str, str]:
        return {MARK: self._fences[-1].mark} if self._fences else {}


def waited(wait: Callable[[float], None]) -> None:
    """Let the older operation on a VM have a moment to end."""
    try:
        wait(_POLL)
    except Temporary:
        raise Temporary("an older operation on this VM is still at work") from None


@contextmanager
def os_errors(subject: str) -> Iterator[None]:
    """The operating system's refusals in the drivers' words."""
    with worded(), os_failures(subject):
        yield
