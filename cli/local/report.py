"""`onecore status`: what runs, and how much it keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.cells import lasted, size
from cli.errors import FAILED, CliError
from cli.kind import View
from cli.local import keys, launch
from cli.local.home import Daemon, Home

if TYPE_CHECKING:
    from onecore.wire.client import Client

_KNOWN = ("held", "home", "pid", "started", "uptime", "sizes")
"""What the answer says that is told from elsewhere."""
_FILES = (("database", "onecore.db*"), ("monitor series", "monitor.db*"), ("logs", "log/**/*"))


def ask(client: Client) -> dict[str, Any] | None:
    """What onecore.status says; None when it cannot be asked."""
    from onecore.wire.client import ClientError

    try:
        answer = json.loads(client.text("onecore.status"))
    except (ClientError, ValueError):
        return None
    finally:
        client.close()
    return answer if isinstance(answer, dict) else None


def status(home: Home, as_json: bool = False) -> int:
    """Tell the state of both daemons; 0 when oned answers and the match-maker that belongs to it runs, else 255."""
    endpoint = home.endpoint()
    answer = ask(launch.client(home, endpoint)) if home.auth.exists() else None
    pids = {daemon.name: daemon.pid() for daemon in reversed(home.daemons())}
    if as_json:
        print(
            json.dumps(
                {
                    "home": str(home.path),
                    "endpoint": endpoint,
                    "public_key": keys.public(home),
                    "pids": pids,
                    "files": sizes(home),
                    "oned": answer,
                }
            )
        )
    else:
        print("\n".join(_lines(home, endpoint, answer)))
    return 0 if answer is not None and (pids["onesched"] or not pids["oned"]) else FAILED


def _lines(home: Home, endpoint: str, answer: Mapping[str, Any] | None) -> Iterator[str]:
    for daemon in reversed(home.daemons()):
        yield f"{daemon.name:<20}: {_state(daemon, answer if daemon.name == 'oned' else {})}"
    yield f"{'home':<20}: {home.path}"
    yield f"{'endpoint':<20}: {endpoint}"
    if line := keys.public(home):
        yield f"{'public key for hosts':<20}: {line}"
    if answer and answer.get("held"):
        yield f"{'HELD':<20}: {answer['held']}"
    for name, amount in sizes(home).items():
        yield f"{name:<20}: {size(amount / 1024, View())}"
    told = {key: value for key, value in (answer or {}).items() if key not in _KNOWN}
    for key, value in _flat(told):
        yield f"{key:<20}: {value}"


def _state(daemon: Daemon, answer: Mapping[str, Any] | None) -> str:
    pid = daemon.pid()
    if pid is None:
        return f"running, pid {answer['pid']}, not started by `onecore up`" if answer else "not running"
    silent = " but does not answer" if answer is None else ""
    return f"running, pid {pid}, for {lasted(daemon.uptime()).strip()}{silent}"


def sizes(home: Home) -> dict[str, int]:
    """Bytes of what grows in the home directory."""
    return {name: sum(_bytes(path) for path in home.path.glob(pattern)) for name, pattern in _FILES}


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _flat(data: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf of the answer with its path as a label."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key} ")
        elif isinstance(value, list):
            yield f"{before}{key}", str(len(value))
        else:
            yield f"{before}{key}", str(value)


def refuse_missing(home: Home) -> None:
    """Raise CliError for a home that is not there."""
    if not home.path.is_dir():
        raise CliError(f"{home.path} does not exist; `onecore up` makes it")
