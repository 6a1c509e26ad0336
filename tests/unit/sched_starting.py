"""Match-makers that tests start against a small oned."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from sched_fake import FakeOned

from onecore.wire.client import Client
from scheduler.config import Config
from scheduler.daemon import Daemon, Signal

Start = Callable[..., Daemon]
"""start(setting=value) starts a match-maker; it has read everything when this returns."""
CONFIG = Config(retry_seconds=0.05, retry_most_seconds=0.2, message_seconds=0.05, refresh_seconds=600.0)
PATIENCE = 40.0
"""Seconds that a busy machine may need."""


def starting(oned: FakeOned) -> Iterator[Start]:
    """What starts them; they are ended afterwards."""
    running: list[tuple[Daemon, threading.Thread]] = []

    def begin(**changes: object) -> Daemon:
        config = replace(CONFIG, **changes)  # type: ignore[arg-type]
        daemon = Daemon(config, lambda: Client(oned.url, "oneadmin:secret", PATIENCE), lambda: None)
        thread = threading.Thread(target=daemon.run, daemon=True)
        thread.start()
        running.append((daemon, thread))
        assert oned.wait(lambda: oned.calls.count("onecore.events") > 1)
        return daemon

    yield begin
    for daemon, thread in running:
        daemon.signal(Signal.STOP)
        thread.join(PATIENCE)
        assert not thread.is_alive()
