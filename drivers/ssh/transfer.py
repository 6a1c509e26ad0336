"""Files to and from a host: blocks in frames through a channel that the command's own thread drives."""
from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

import paramiko

from drivers.base import DriverError, Program, Tell, Temporary
from drivers.bounds import Bounds, refusal, worded
from drivers.hand import copy
from drivers.hand.failure import Failure, os_failures
from drivers.hand.wire import BEAT, START, FrameError, Reader, pack
from drivers.ssh.connection import Connection
from onecore.wire.messages import Doc

_MODULES = ("drivers.hand.copy", "drivers.hand.failure", "drivers.hand.fence")
RECEIVE = Program("drivers.hand.copy:receive", _MODULES)
SEND = Program("drivers.hand.copy:send", _MODULES)
_LOOK = 0.5
_CHUNK = 1024 * 1024
_PACKET = 64 * 1024


class Pipe:
    """A program's channel: frames out and in, until the command's time is up, it is cancelled, or the host is lost."""

    def __init__(self, name: str, channel: paramiko.Channel, bounds: Bounds, connection: Connection) -> None:
        self._name = name
        self._channel = channel
        self._bounds = bounds
        self._connection = connection
        self._reader = Reader(START)
        self._frames: deque[tuple[Doc, bytes]] = deque()
        channel.settimeout(_LOOK)

    def send(self, document: Doc, data: bytes = b"") -> None:
        """Send a frame, whole; a refusal of the program is raised."""
        self._push(pack(document, data))

    def beat(self) -> None:
        """Have the program know that somebody is there."""
        self._push(BEAT)

    def receive(self, idle: Callable[[], object] = lambda: None) -> tuple[Doc, bytes]:
        """The next frame; a refusal of the program is raised.  IDLE is called now and then while none comes."""
        while not self._frames:
            self._check()
            if not self._read():
                idle()
        document, data = self._frames.popleft()
        if "error" in document:
            raise refusal(f"{self._name}: {document['error']}", document["temporary"])
        return document, data

    def _push(self, frame: bytes) -> None:
        self._check()
        at = 0
        while at < len(frame):
            try:
                at += self._channel.send(frame[at:at + _PACKET])
            except TimeoutError:
                self._check()
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise self._refused() from error

    def _read(self) -> bool:
        """Whether anything came."""
        try:
            chunk = self._channel.recv(_CHUNK)
        except TimeoutError:
            return False
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._lost() from error
        if not chunk:
            raise self._lost()
        self._connection.heard()
        try:
            self._frames.extend(self._reader.feed(chunk))
        except FrameError as error:
            raise Temporary(f"{self._name}: {error}") from error
        return True

    def _check(self) -> None:
        self._bounds.check()
        self._bounds.seconds()

    def _refused(self) -> DriverError:
        """Why the program takes no more: it may have said so."""
        try:
            while True:
                self.receive()
        except DriverError as error:
            return error

    def _lost(self) -> Temporary:
        if not self._connection.alive:
            return self._connection.error()
        words = self._channel.recv_stderr(2000) if self._channel.recv_stderr_ready() else b""
        return Temporary(f"{self._name}: the copy ended early: {words.decode(errors='replace').strip() or 'killed'}")


def put(pipe: Pipe, source: str, target: str, tell: Tell) -> None:
    """Send SOURCE, and compare what the host then has as TARGET."""
    with worded(), os_failures(source):
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size, digest = os.fstat(fd).st_size, copy.Digest()

            def alive(at: int) -> None:
                pipe.beat()
                tell(at, size)
            for at, data in copy.blocks(fd, size, copy.Occasionally(alive)):
                pipe.send({"at": at}, data)
                digest.add(at, data)
        finally:
            os.close(fd)
    pipe.send({"size": size})
    tell(size, size)
    _compare(target, digest.end(size), _last(pipe, size, tell))


def get(pipe: Pipe, source: str, target: str, tell: Tell) -> None:
    """Take what the host sends as TARGET, and compare it."""
    with worded(), os_failures(target):
        file = copy.Target(target)
        try:
            last = _fill(pipe, file, tell)
        finally:
            file.close()
        size = last["size"]
        progress = copy.Occasionally(lambda at: tell(size, size))
        _compare(target, copy.measure(target, progress), last["digest"])
    tell(size, size)


def pass_on(out: Pipe, into: Pipe, target: str, tell: Tell) -> None:
    """What OUT's host sends goes INTO the other one, and what that has as TARGET then is compared."""
    total = out.receive(into.beat)[0]["total"]
    progress = copy.Occasionally(lambda at: tell(at, total))
    while True:
        document, data = out.receive(into.beat)
        if "size" in document:
            break
        into.send(document, data)
        progress(document["at"] + len(data))
    size = document["size"]
    into.send({"size": size})
    tell(size, size)
    _compare(target, document["digest"], _last(into, size, tell))


def _fill(pipe: Pipe, file: copy.Target, tell: Tell) -> Doc:
    total = pipe.receive()[0]["total"]
    progress = copy.Occasionally(lambda at: tell(at, total))
    while True:
        document, data = pipe.receive()
        if "size" in document:
            file.end(document["size"])
            return document
        file.put(document["at"], data)
        progress(document["at"] + len(data))


def _last(pipe: Pipe, size: int, tell: Tell) -> str:
    """The host's digest; meanwhile it says how far it is with it."""
    while True:
        document, _ = pipe.receive()
        if "digest" in document:
            return str(document["digest"])
        tell(size, size)


def _compare(target: str, ours: str, theirs: str) -> None:
    if ours != theirs:
        with worded():
            raise Failure(f"{target}: the copy differs from its source", temporary=True)
