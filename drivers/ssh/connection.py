"""A connection that stands: its transport, its command hand, the programs and relays that ride on it."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import paramiko

from drivers.base import DriverError, Permanent, Program, Temporary
from drivers.hand import parcel
from drivers.hand.wire import BEAT, pack
from drivers.ssh.attendant import Attendant
from drivers.ssh.connect import abort, close
from drivers.ssh.hand import PROGRAM, Hand
from drivers.ssh.relay import RELAY, Relays
from drivers.ssh.settings import Target
from drivers.ssh.stream import Hear, Stream
from onecore.wire.messages import Doc

_SILENT = 30.0
_PING, _PING_BUSY = 10.0, 3.0
_BEAT = 15.0
_STUCK = 8
"""Requests left behind unanswered after which the hand is given up."""


class Connection:
    """Made by open_connection(); dead for ever once `alive` is false."""

    def __init__(self, target: Target, transport: paramiko.Transport, patience: float, now: Callable[[], float],
                 lost: Callable[[str], None]) -> None:
        self.target = target
        self.made = self.used = self._heard = self._pinged = self._beaten = now()
        self._transport = transport
        self._patience = patience
        self._now = now
        self._lost = lost
        self._lock = threading.Lock()
        self._error: Temporary | None = None
        self._workers = self._stuck = 0
        self._busy_since: float | None = None
        self._streams: set[Stream] = set()
        self.hand = Hand(target.name, now)
        self._attendant = Attendant(f"ssh-{target.name}", lambda error: self.fail(f"{error}"))
        self.relays = Relays(self._attendant, self._relayed)

    @property
    def alive(self) -> bool:
        """Whether it can be used."""
        return self._error is None and self._transport.is_active()

    def greet(self) -> Doc:
        """Start the command hand; its greeting.  Permanent when the host has no Python for it."""
        with self._working():
            stream = self._stream(self._channel(PROGRAM, {}), self._hear_hand)
        self.hand.attach(stream)
        self._run(stream)
        if not self.hand.hello.wait(self._patience):
            raise Temporary(f"{self.target}: the program that was sent there does not start in {self._patience:g} s")
        try:
            greeting: Doc = self.hand.hello.result()[0]
        except DriverError:
            kind = Permanent if stream.exit_code == 127 or parcel.TOO_OLD in stream.last_words else Temporary
            raise kind(f"{self.target}: {stream.last_words}") from None
        return greeting

    def start(self, program: Program, argument: Doc, hear: Hear, mark: str = "") -> Stream:
        """Run PROGRAM in a channel of its own; from any thread."""
        with self._working():
            stream = self._stream(self._channel(program, argument, mark), hear)
        with self._lock:
            self._streams.add(stream)
        self._run(stream)
        return stream

    @contextmanager
    def channel(self, program: Program, argument: Doc, mark: str) -> Iterator[paramiko.Channel]:
        """PROGRAM's channel for the calling thread alone, which does all the work; closed at the end."""
        with self._working():
            channel = self._channel(program, argument, mark)
            try:
                yield channel
            finally:
                close(channel)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """While in the block, a thread may wait for the host: it is asked for signs of life more often."""
        with self._lock:
            self._workers += 1
        try:
            yield
        finally:
            with self._lock:
                self._workers -= 1

    def heard(self) -> None:
        """Something came from the host."""
        self._heard = self._now()

    def beat(self, now: float) -> None:
        """Called every second: signs of life go out; too long a silence is the end.  Never blocks."""
        busy = self.hand.busy or self._workers > 0
        self._busy_since = (self._busy_since or now) if busy else None
        if busy:
            self.used = now
        if not self._transport.is_active():
            self.fail("the connection was lost")
        elif now - self._heard >= _SILENT:
            self.fail(f"nothing was heard for {_SILENT:g} s")
        elif busy and now - max(self._heard, self._busy_since or now) >= self._patience:
            self.fail(f"nothing was heard for {self._patience:g} s")
        else:
            self._signs(now, _PING_BUSY if busy else _PING)

    @property
    def idle(self) -> bool:
        """Whether nothing but the hand rides on it."""
        return not self.hand.busy and not self._workers and all(each.ended for each in self._streams)

    def abandon(self) -> None:
        """A request does not end although it was told to; too many of these are the end."""
        with self._lock:
            self._stuck += 1
            enough = self._stuck >= _STUCK
        if enough:
            self.fail(f"{_STUCK} requests do not end")

    def fail(self, why: str) -> None:
        """The end: whoever waits for the host hears WHY.  Never blocks."""
        with self._lock:
            if self._error is not None:
                return
            self._error = Temporary(f"{self.target}: {why}")
        self.hand.lose(self._error)
        abort(self._transport)
        self._attendant.stop()
        self._lost(why)

    def error(self) -> Temporary:
        """Why it ended."""
        return self._error or Temporary(f"{self.target}: the connection was lost")

    def _hear_hand(self, document: Doc | None, data: bytes) -> None:
        if document is None:
            self.fail("the connection was lost" if not self._transport.is_active() else "its hand ended")
        self.hand.hear(document, data)

    def _channel(self, program: Program, argument: Doc, mark: str = "") -> paramiko.Channel:
        """A channel with PROGRAM at work in it."""
        try:
            channel = self._transport.open_session(timeout=self._patience)
            channel.exec_command(parcel.shell_line(mark))
            channel.settimeout(self._patience)
            channel.sendall(parcel.sources(program.entry, program.modules) + pack(argument))
        except paramiko.ChannelException as error:
            raise Temporary(f"{self.target}: its SSH server opens no more channels ({error.text})") from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._error or Temporary(f"{self.target}: SSH: {error}") from error
        return channel

    def _stream(self, channel: paramiko.Channel, hear: Hear) -> Stream:
        return Stream(channel, self._attendant, hear, self.heard)

    def _run(self, stream: Stream) -> None:
        if not self._attendant.call(stream.open):
            raise self.error()

    def _relayed(self, argument: Doc, hear: Hear) -> Stream:
        return self.start(RELAY, argument, hear)

    def _signs(self, now: float, period: float) -> None:
        if now - self._pinged >= period:
            self._pinged = now
            self.hand.ping()
        if now - self._beaten >= _BEAT:
            self._beaten = now
            with self._lock:
                self._streams = {each for each in self._streams if not each.ended}
            for each in self._streams:
                with suppress(Temporary):
                    each.post(BEAT)
