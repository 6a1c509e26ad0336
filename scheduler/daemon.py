"""The process: sessions one after the other, a growing pause when oned is away, an end on SIGTERM."""
from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from enum import Enum

from onecore.wire.client import Client, ClientError
from scheduler.config import Config
from scheduler.session import Ended, Letter, Session

LOG = logging.getLogger("onesched")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
LAST_CALLS = 3.0


class Signal(Enum):
    """What the outside may ask for."""

    STOP = "stop"
    REOPEN = "reopen"


class Stopped(Exception):
    """The end was asked for."""


class Daemon:
    """Runs sessions until it is told to stop.  REOPEN, called in the loop's thread, opens the log again."""

    def __init__(self, config: Config, connect: Callable[[], Client], reopen: Callable[[], None]) -> None:
        self.config, self._connect, self._reopen = config, connect, reopen
        self._inbox: queue.SimpleQueue[Letter | Signal] = queue.SimpleQueue()
        self._complaint = ""

    def signal(self, signal: Signal) -> None:
        """Ask for something; safe from any thread."""
        self._inbox.put(signal)

    def run(self) -> None:
        """Until Signal.STOP."""
        pause = FIRST_PAUSE
        try:
            while True:
                begun = time.monotonic()
                self._session()
                pause = FIRST_PAUSE if time.monotonic() - begun > LONGEST_PAUSE else min(LONGEST_PAUSE, pause * 2)
                self._rest(pause)
        except Stopped:
            LOG.info("stopped")

    def _session(self) -> None:
        """One session, to its end."""
        session: Session | None = None
        try:
            session = Session(self.config, self._connect, self._inbox.put)
            session.begin(time.monotonic())
            self._complaint = ""
            while True:
                letters = self._letters(session.next_due(time.monotonic()))
                session.step(letters, time.monotonic())
        except Stopped:
            raise
        except Ended as error:
            LOG.info("reading everything anew: %s", error)
        except ClientError as error:
            self._complain(f"oned cannot be asked: {error}")
        except Exception:
            LOG.exception("a bug in the match-maker; reading everything anew")
        finally:
            if session:
                session.close(LAST_CALLS)

    def _complain(self, text: str) -> None:
        """Log TEXT, but not again and again."""
        if text != self._complaint:
            LOG.warning("%s", text)
        self._complaint = text

    def _letters(self, until: float) -> list[Letter]:
        """Wait for letters, at most until then; all that have come."""
        found = list[Letter]()
        try:
            self._keep(found, self._inbox.get(timeout=max(0.0, until - time.monotonic())))
            while True:
                self._keep(found, self._inbox.get_nowait())
        except queue.Empty:
            return found

    def _keep(self, found: list[Letter], letter: Letter | Signal) -> None:
        if letter is Signal.STOP:
            raise Stopped
        if letter is Signal.REOPEN:
            self._reopen()
        elif not isinstance(letter, Signal):
            found.append(letter)

    def _rest(self, seconds: float) -> None:
        """Pause; letters of the old session are thrown away."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._letters(until)
