"""`onecore up`: both daemons running, answering, and how to reach them."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING

from cli.errors import CliError
from cli.local import demo, keys, launch
from cli.local.home import Home
from cli.local.upkeep import upkeep

if TYPE_CHECKING:
    from subprocess import Popen

STOP_SECONDS = 60.0
"""How long oned may take to end in the foreground after a signal."""


def up(home: Home, port: int | None, dummy: int, foreground: bool) -> int:
    """Start what does not run yet; raises CliError.  Tells on standard error, exports on standard output."""
    try:
        home.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"{home.path} cannot be the home: {error.strerror}; --home names another") from None
    if (home.path / "restore.ready").is_dir() and upkeep("finish", home, []):
        raise CliError(f"a restore of {home.path} was cut off and cannot be completed")
    if dummy:
        demo.prepare(home)
    endpoint = home.configured(port)
    sched, oned = home.daemons()
    running = oned.pid()
    if running:
        endpoint = _same(home, endpoint, port, running)
    elif launch.port_taken(endpoint):
        raise CliError(_taken(home, endpoint))
    children = []
    _key(home)
    if not running:
        children.append(launch.start_oned(home, endpoint, port, not foreground))
        _tell(f"oned {launch.version(home, endpoint)} runs (pid {children[0].pid}), home {home.path}")
    if sched.pid():
        _tell(f"onesched runs already (pid {sched.pid()})")
    else:
        children.append(launch.start_onesched(home, endpoint, not foreground))
        _tell(f"onesched runs (pid {children[-1].pid})")
    if dummy:
        demo.register(launch.client(home, endpoint, 30.0), dummy, _tell)
    if foreground and children:
        return attend(children, exports(home, endpoint))
    print(exports(home, endpoint), flush=True)
    return 0


def _key(home: Home) -> None:
    """See that there is an SSH key for hosts; a machine without ssh-keygen does without."""
    try:
        made = keys.ensure(home)
    except CliError as error:
        return _tell(str(error))
    if made:
        _tell(f"SSH key made; for ~/.ssh/authorized_keys of root on hosts: {keys.public(home)}")


def exports(home: Home, endpoint: str) -> str:
    """The line to evaluate in a shell."""
    return f"export ONE_AUTH={shlex.quote(str(home.auth))} ONE_XMLRPC={shlex.quote(endpoint)}"


def _same(home: Home, endpoint: str, port: int | None, pid: int) -> str:
    """The endpoint of the oned that runs already; raises CliError when it does not answer there."""
    actual = home.endpoint()
    if port is not None and actual != endpoint:
        raise CliError(f"oned runs already (pid {pid}) at {actual}; onecore down first to move it")
    if launch.version(home, actual) is None:
        raise CliError(f"oned runs (pid {pid}) but does not answer at {actual}; see {home.log}/oned.log")
    _tell(f"oned runs already (pid {pid})")
    return actual


def _taken(home: Home, endpoint: str) -> str:
    try:
        ours = launch.version(home, endpoint)
    except CliError:
        ours = None
    who = f"an oned of this home that `onecore up` did not start ({ours})" if ours else "another program"
    return f"{endpoint} is in use by {who}; choose another with --port"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def attend(children: list[Popen[bytes]], ready: str) -> int:
    """Print READY, wait for CHILDREN (the core first), hand SIGINT and SIGTERM on; the first one's exit code."""
    asked: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        print(ready, flush=True)
        while not asked and all(child.poll() is None for child in children):
            time.sleep(0.2)
        for child in reversed(children):
            if child.poll() is None:
                child.terminate()
        for child in reversed(children):
            child.wait(STOP_SECONDS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    code = next((child.returncode for child in children if child.returncode), 0)
    return 0 if asked and code in (0, -signal.SIGTERM) else abs(code)
