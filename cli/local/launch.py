"""Starting the two daemons and waiting until they answer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cli.errors import CliError
from cli.local.home import Daemon, Home, tail

if TYPE_CHECKING:
    from subprocess import Popen

    from onecore.wire.client import Client

START_SECONDS = 120.0
"""How long oned may take to load its objects and answer."""
SETTLE_SECONDS = 0.5
"""How long onesched is watched for an early death."""
Tell = Callable[[str], None]


def client(home: Home, endpoint: str, timeout: float = 5.0) -> Client:
    """A client with the home's own credentials; raises CliError when there are none."""
    from onecore.wire.client import Client

    try:
        return Client(endpoint, home.auth.read_text(encoding="utf-8").strip(), timeout)
    except OSError as error:
        raise CliError(f"cannot read {home.auth}: {error.strerror}") from None


def version(home: Home, endpoint: str) -> str | None:
    """The version of the oned that answers at ENDPOINT, None when none does; raises CliError when it refuses us."""
    from onecore.wire.client import ClientError

    if not home.auth.exists():
        return None
    caller = client(home, endpoint)
    try:
        return caller.text("onecore.version")
    except ClientError as error:
        if error.code:
            raise CliError(f"{endpoint} answers, but does not take {home.auth}: {error}") from None
        return None
    finally:
        caller.close()


def port_taken(endpoint: str) -> bool:
    """Whether something listens at ENDPOINT."""
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(endpoint)
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=1.0).close()
    except OSError:
        return False
    return True


def spawn(home: Home, daemon: Daemon, module: str, arguments: Sequence[str], detached: bool) -> Popen[bytes]:
    """Start `python -m MODULE ARGUMENTS` in a session of its own; detached output goes to HOME/log/DAEMON.out."""
    home.log.mkdir(parents=True, exist_ok=True)
    out = open(home.log / f"{daemon.name}.out", "ab") if detached else None  # noqa: SIM115
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd="/",
            env=environment(),
        )
    finally:
        if out:
            out.close()
    daemon.record(child.pid)
    return child


def environment() -> dict[str, str]:
    """Ours, with the place this package was found in, so that a daemon finds it from any directory."""
    from pathlib import Path

    here = str(Path(__file__).resolve().parents[2])
    paths = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def start_oned(home: Home, endpoint: str, port: int | None, detached: bool) -> Popen[bytes]:
    """Start oned and wait until it answers; raises CliError with the end of its output when it does not."""
    _, daemon = home.daemons()
    arguments = ["--home", str(home.path)]
    arguments += ["--port", str(port)] if port is not None else []
    arguments += ["--config", str(home.config)] if home.config.exists() else []
    child = spawn(home, daemon, "onecore", arguments, detached)
    (home.run / "endpoint").write_text(endpoint + "\n", encoding="utf-8")
    ends = time.monotonic() + START_SECONDS
    while version(home, endpoint) is None:
        if child.poll() is not None:
            raise CliError("\n".join([f"oned ended with {child.returncode}", *_said(home, daemon)]))
        if time.monotonic() > ends:
            raise CliError("\n".join([f"oned (pid {child.pid}) does not answer at {endpoint}", *_said(home, daemon)]))
        time.sleep(0.05)
    return child


def start_onesched(home: Home, endpoint: str, detached: bool) -> Popen[bytes]:
    """Start onesched; raises CliError with the end of its output when it dies at once."""
    daemon, _ = home.daemons()
    child = spawn(home, daemon, "scheduler", ["--home", str(home.path), "--endpoint", endpoint], detached)
    ends = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < ends:
        if child.poll() is not None:
            raise CliError("\n".join([f"onesched ended with {child.returncode}", *_said(home, daemon)]))
        time.sleep(0.05)
    return child


def _said(home: Home, daemon: Daemon) -> list[str]:
    return tail(home.log / f"{daemon.name}.out") or tail(home.log / f"{daemon.name}.log")
