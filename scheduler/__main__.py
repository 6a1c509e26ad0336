"""onesched: `python -m scheduler --home DIR [--endpoint URL] [--config FILE]`."""
from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from onecore.wire.client import Client, ClientError, session
from scheduler.config import Config, ConfigError, load
from scheduler.daemon import Daemon, Signal

FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the match-maker until SIGTERM; the exit code."""
    given = _arguments(arguments)
    try:
        own = given.home / "sched.conf"
        config = load(given.config or (own if own.is_file() else None))
        reopen = open_log(config, given.home)
    except (ConfigError, OSError) as error:
        print(f"onesched: {error}", file=sys.stderr)
        return 1
    endpoint = given.endpoint or config.endpoint or None
    daemon = Daemon(config, partial(connect, endpoint, given.home, config.call_seconds), reopen)
    heed(daemon)
    daemon.run()
    return 0


def heed(daemon: Daemon) -> None:
    """Hand signals on from a thread that waits for nothing else.

    A handler would run only between two steps of the main thread: for a signal that comes as a wait begins, or to
    another thread, after that wait.
    """
    meant = {signal.SIGTERM: Signal.STOP, signal.SIGINT: Signal.STOP, signal.SIGHUP: Signal.REOPEN}
    near, far = os.pipe()
    os.set_blocking(far, False)
    signal.set_wakeup_fd(far)
    for number in meant:
        signal.signal(number, lambda *_: None)

    def hand_on() -> None:
        while True:
            daemon.signal(meant[signal.Signals(os.read(near, 1)[0])])
    threading.Thread(target=hand_on, daemon=True).start()


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="onesched", description="Places pending VMs on hosts.")
    home = "/var/lib/onecore" if os.geteuid() == 0 else Path.home() / ".local/share/onecore"
    parser.add_argument("--home", type=Path, default=Path(home), help="where sched_auth is and the log goes")
    parser.add_argument("--endpoint", help="URL of oned, rather than the one of the settings")
    parser.add_argument("--config", type=Path, help="settings (default: HOME/sched.conf when it is there)")
    return parser.parse_args(arguments)


def connect(endpoint: str | None, home: Path, seconds: float) -> Client:
    """A client with the service account's session (HOME/sched_auth), else the caller's own; raises ClientError."""
    stored = home / "sched_auth"
    try:
        secret = stored.read_text().strip() if stored.exists() else session()
    except OSError as error:
        raise ClientError(f"cannot read {stored}: {error.strerror}") from None
    return Client(endpoint, secret, seconds)


def open_log(config: Config, home: Path) -> partial[None]:
    """Send the log where the settings say; what is returned opens the file again."""
    handler: logging.Handler = logging.StreamHandler()
    if config.log != "-":
        path = home / "log" / config.log
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(FORMAT, "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("onesched")
    logger.handlers[:] = [handler]
    logger.setLevel(config.log_level.upper())
    logger.propagate = False
    return partial(_reopen, handler)


def _reopen(handler: logging.Handler) -> None:
    if isinstance(handler, logging.FileHandler):
        handler.close()  # the next line opens it again


if __name__ == "__main__":
    sys.exit(main())
