"""Child processes in groups of their own: started, fed, collected; killed with all they started when told to stop."""
from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from drivers.hand.failure import Failure, os_failures
from drivers.hand.token import Token

_TAIL = 2000
_REAP = 5.0
_SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


class Done(NamedTuple):
    """How a child ended: output, the tail of its standard error, its exit code; `late`: its time was up."""

    out: bytes
    err: str
    code: int
    late: bool = False


def run(argv: Sequence[str], stdin: bytes, environment: Mapping[str, str], token: Token, seconds: float | None = None,
        renewed: Callable[[], float] = lambda: 0.0) -> Done:
    """Run ARGV until it ends, TOKEN is cancelled, or SECONDS and whatever `renewed` then still gives are over."""
    process = _start(argv, environment)
    with token.ending(lambda: _end_group(process)):
        out, err, late = _talk(process, stdin, seconds, renewed)
    return Done(out, err[-_TAIL:].decode(errors="replace").strip(), process.returncode or 0, late)


def output(argv: Sequence[str], done: Done) -> bytes:
    """What the child wrote; a Failure with the tail of its standard error when it failed."""
    if done.code:
        raise Failure(said(ended(argv, done), done.err))
    return done.out


def ended(argv: Sequence[str], done: Done) -> str:
    """What ran and how it ended."""
    return f"{shlex.join(argv)}: {_status(done.code)}"


def said(text: str, err: str) -> str:
    """TEXT and what standard error said."""
    return f"{text}: {err}" if err else text


def child_environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with MORE, the C locale, and the administrator's programs in its path."""
    path = [each for each in os.environ.get("PATH", "").split(":") if each]
    path += [each for each in _SYSTEM if each not in path]
    return {**os.environ, "PATH": ":".join(path), "LC_ALL": "C", **more}


def _start(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with os_failures(argv[0]):
        return subprocess.Popen(list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                start_new_session=True, env=child_environment(environment))


def _talk(process: subprocess.Popen[bytes], stdin: bytes, seconds: float | None,
          renewed: Callable[[], float]) -> tuple[bytes, bytes, bool]:
    """Feed and read the child until it ends: output, errors, whether it was killed for lateness."""
    try:
        while True:
            try:
                out, err = process.communicate(stdin, timeout=seconds)
                return out, err, False
            except subprocess.TimeoutExpired:
                stdin, seconds = b"", renewed()
                if seconds <= 0:
                    _end_group(process)
                    out, err = _collect(process)
                    return out, err, True
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


def _status(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
