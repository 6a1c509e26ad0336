"""`onecore down`: the match-maker first, then the core, told what it still waits for."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from cli.errors import FAILED
from cli.local import launch, report
from cli.local.home import Daemon, Home

PATIENCE = 60.0
"""Seconds until a clean stop is given up."""
HASTE = 5.0
"""As PATIENCE, with --now; then it is killed."""
TELL_EVERY = 2.0


def down(home: Home, now: bool, sleep: Callable[[float], None] = time.sleep) -> int:
    """Stop both daemons; the exit code."""
    code = 0
    for daemon in home.daemons():
        pid = daemon.pid()
        if pid is None:
            _tell(f"{daemon.name} does not run")
            continue
        daemon.signal(signal.SIGTERM)
        if _gone(daemon, HASTE if now else PATIENCE, lambda: _progress(home), sleep) or (
            now and _killed(daemon, sleep)
        ):
            _tell(f"{daemon.name} stopped (pid {pid})")
            daemon.file.unlink(missing_ok=True)
        else:
            _tell(f"{daemon.name} (pid {pid}) still runs after {PATIENCE:.0f} s; `onecore down --now` kills it")
            code = FAILED
    return code


def _gone(daemon: Daemon, seconds: float, progress: Callable[[], str], sleep: Callable[[float], None]) -> bool:
    ends = time.monotonic() + seconds
    told = time.monotonic() + TELL_EVERY
    while daemon.pid() is not None:
        if time.monotonic() > ends:
            return False
        if time.monotonic() > told:
            _tell(f"waiting for {daemon.name}{progress() if daemon.name == 'oned' else ''}")
            told = time.monotonic() + TELL_EVERY
        sleep(0.05)
    return True


def _killed(daemon: Daemon, sleep: Callable[[float], None]) -> bool:
    daemon.signal(signal.SIGKILL)
    return _gone(daemon, HASTE, str, sleep)


def _progress(home: Home) -> str:
    """What oned says it still has under way."""
    status = report.ask(launch.client(home, home.endpoint(), 1.0)) if home.auth.exists() else None
    text = under_way(status) if status else ""
    return f": {text}" if text else ""


def under_way(status: Mapping[str, Any]) -> str:
    """The operations of onecore.status in a few words."""
    work = status.get("under_way")
    if work:
        return f"{len(work)} under way: " + ", ".join(_words(one) for one in work[:5]) + (" ..." if work[5:] else "")
    return ""


def _words(one: Mapping[str, Any]) -> str:
    return " ".join(str(one[key]) for key in ("kind", "id", "command", "step") if one.get(key) not in (None, ""))


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
