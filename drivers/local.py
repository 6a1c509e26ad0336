"""The executor of this machine: child processes in groups of their own, files written whole.

A child never outlives its command: a timeout or a cancel from any thread kills its whole process group.
"""
from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count

from drivers.base import Cancelled, Permanent, Temporary
from drivers.token import Token

_TAIL = 2000
_REAP = 5.0
_FOR_NOW = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
_serial = count(1)


class LocalExecutor:
    """Runs commands and touches files of this machine for one command; see drivers.base.Executor.

    `left` gives the seconds that the command still has: no child gets more, whatever its own timeout says.
    """

    def __init__(self, token: Token | None = None, left: Callable[[], float] | None = None) -> None:
        self._token = token or Token()
        self._left = left
        self._guards: list[tuple[Callable[[], None], Mapping[str, str]]] = []

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> str:
        """Run argv, return standard output; Temporary on a timeout, Cancelled, Permanent when it fails."""
        self._check()
        seconds = self._seconds(timeout)
        process = self._start(argv)
        with self._token.ending(lambda: _end_group(process)):
            out, err, late = _talk(process, stdin, seconds, self._renewed if timeout is None else lambda: 0.0)
        self._check()
        if late:
            raise Temporary(f"{shlex.join(argv)}: no end after {seconds:g} s{_tail(err)}")
        if process.returncode:
            raise Permanent(f"{shlex.join(argv)}: {_status(process.returncode)}{_tail(err)}")
        return out.decode(errors="replace")

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file whole and durable: temporary name, fsync, rename."""
        self._check()
        temporary = f"{path}.{os.getpid()}.{next(_serial)}.tmp"
        with os_errors(path):
            try:
                _write_new(temporary, data, mode)
                os.rename(temporary, path)
            except BaseException:
                _unlink(temporary)
                raise

    def read(self, path: str) -> bytes:
        """The file's content."""
        self._check()
        with os_errors(path), open(path, "rb") as file:
            return file.read()

    def exists(self, path: str) -> bool:
        """Whether PATH is there (a dangling link is not)."""
        self._check()
        return os.path.exists(path)

    @contextmanager
    def guarded(self, check: Callable[[], None], environment: Mapping[str, str]) -> Iterator[None]:
        """While in the block, CHECK runs before whatever is done and children get ENVIRONMENT (drivers/fence.py)."""
        guard = (check, environment)
        self._guards.append(guard)
        try:
            yield
        finally:
            self._guards.remove(guard)

    def _check(self) -> None:
        if self._token.cancelled:
            raise Cancelled("cancelled")
        for check, _ in self._guards:
            check()

    def _seconds(self, timeout: float | None) -> float | None:
        if self._left is None:
            return timeout
        left = self._left()
        if left <= 0:
            raise Temporary("the command's time is up")
        return left if timeout is None else min(timeout, left)

    def _renewed(self) -> float:
        """Seconds that progress, told from another thread, gave the command meanwhile."""
        return self._left() if self._left is not None else 0.0

    def _start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "LC_ALL": "C"}
        for _, more in self._guards:
            environment.update(more)
        with os_errors(argv[0]):
            return subprocess.Popen(list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    start_new_session=True, env=environment)


def _talk(process: subprocess.Popen[bytes], stdin: bytes, seconds: float | None,
          renewed: Callable[[], float]) -> tuple[bytes, bytes, bool]:
    """Feed and read the child until it ends: output, errors, whether it was killed for lateness."""
    try:
        while True:
            try:
                return *process.communicate(stdin, timeout=seconds), False
            except subprocess.TimeoutExpired:
                stdin, seconds = b"", renewed()
                if seconds <= 0:
                    _end_group(process)
                    return *_collect(process), True
    except BaseException:
        _end_group(process)
        _collect(process)
        raise


def _collect(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What a killed child left; a pipe that somebody outside its group holds open is not waited for."""
    try:
        return process.communicate(timeout=_REAP)
    except subprocess.TimeoutExpired:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        return b"", b""


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the child with all it started; a reaped child's number may belong to another by now."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _write_new(path: str, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(fd, mode)
        os.fsync(fd)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


@contextmanager
def os_errors(subject: str) -> Iterator[None]:
    """The operating system's refusals in the drivers' words."""
    try:
        yield
    except OSError as error:
        kind = Temporary if error.errno in _FOR_NOW else Permanent
        raise kind(f"{subject}: {error.strerror or error}") from error


def _status(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _tail(err: bytes) -> str:
    text = err[-_TAIL:].decode(errors="replace").strip()
    return f": {text}" if text else ""
