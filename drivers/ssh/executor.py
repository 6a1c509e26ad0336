"""The executor of a host over SSH: questions to its hand, files through channels of their own."""
from __future__ import annotations

import copy
import secrets
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from drivers.base import DriverError, Executor, Program, Tell, Temporary
from drivers.bounds import Bounds, worded
from drivers.hand.commands import Done, output, said
from drivers.local import waited
from drivers.ssh import transfer
from drivers.ssh.connection import Connection
from drivers.ssh.hand import Question
from drivers.ssh.hosts import Hosts
from drivers.ssh.stream import Stream
from drivers.token import Token
from onecore.wire.messages import Doc

_GRACE = 8.0
"""Seconds that a cancelled request has to end."""


class SshExecutor:
    """One host for one command, or (with `default` seconds a call) for what outlives it; see drivers.base.Executor."""

    def __init__(self, hosts: Hosts, host: Doc, token: Token | None = None,
                 left: Callable[[], float] | None = None, default: float | None = None) -> None:
        self._hosts = hosts
        self._lane = hosts.lane(host)
        self._bounds = Bounds(token, left, default)
        self._marks: list[str] = []

    @property
    def is_local(self) -> bool:
        """It is not."""
        return False

    def insist(self) -> None:
        """Connect at once, whatever failed a moment ago."""
        self._lane.insist()

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> str:
        """Run argv on the host, return standard output; Temporary on a timeout or a lost host, Permanent, Cancelled."""
        answer, out = self._ask({"do": "run", "argv": list(argv)}, stdin, timeout, shlex.join(argv))
        with worded():
            return output(argv, Done(out, answer["err"], answer["code"])).decode(errors="replace")

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file whole and durable: temporary name, fsync, rename."""
        self._ask({"do": "write", "path": path, "mode": mode}, data, None, path)

    def read(self, path: str) -> bytes:
        """The file's content."""
        return self._ask({"do": "read", "path": path}, b"", None, path)[1]

    def exists(self, path: str) -> bool:
        """Whether PATH is there (a dangling link is not)."""
        return bool(self._ask({"do": "exists", "path": path}, b"", None, path)[0])

    def put(self, source: str, target: str, tell: Tell) -> None:
        """Copy the front-end's file SOURCE to TARGET: sparse, durable, compared."""
        with self._copy(transfer.RECEIVE, target) as channel:
            transfer.put(channel, source, target, tell)

    def get(self, source: str, target: str, tell: Tell) -> None:
        """Copy the host's file SOURCE to TARGET on the front-end: sparse, durable, compared."""
        with self._copy(transfer.SEND, source) as channel:
            transfer.get(channel, source, target, tell)

    def pass_on(self, source: str, target: str, other: Executor, tell: Tell) -> None:
        """The file goes from channel to channel: the front-end keeps nothing of it."""
        if not isinstance(other, SshExecutor):
            self.get(source, target, tell)
            return
        with self._copy(transfer.SEND, source) as out, other._copy(transfer.RECEIVE, target) as into:
            transfer.pass_on(out, into, target, tell)

    @contextmanager
    def fence(self, vm_dir: str, order: tuple[int, int, int], wait: Callable[[float], None]) -> Iterator[None]:
        """Hold the VM's fence on the host as ORDER; see drivers/fence.py."""
        connection = self._connection()
        mark = self._ask({"do": "claim", "dir": vm_dir, "order": list(order)}, b"", None, vm_dir)[0]
        clean = False
        try:
            while not self._ask({"do": "take", "mark": mark}, b"", None, vm_dir)[0]:
                waited(wait)
            self._marks.append(mark)
            try:
                yield
                clean = True
            finally:
                self._marks.remove(mark)
        finally:
            _tell(connection, {"do": "release", "mark": mark, "clean": clean})

    def start(self, program: Program, argument: Doc, hear: Callable[[Doc | None], None]) -> Stream:
        """Run PROGRAM on the host; it outlives the command."""
        self._bounds.check()
        mark = self._marks[-1] if self._marks else ""
        return self._connection().start(program, argument, lambda document, data: hear(document), mark)

    def bound(self, token: Token, left: Callable[[], float]) -> SshExecutor:
        """The same host under the same fences, stopped by TOKEN."""
        other = copy.copy(self)
        other._bounds = Bounds(token, left)
        return other

    def relay(self, sockets: Sequence[str]) -> str:
        """A socket of this process whose connections reach the first of the host's SOCKETS that is there."""
        connection = self._connection()
        path = self._hosts.relay_path(self._lane.target, sockets)
        if not connection.relays.listen(path, sockets):
            raise connection.error()
        return path

    def _connection(self) -> Connection:
        """The host's connection; the time to make one is the command's, not that of a call's own timeout."""
        self._bounds.check()
        return self._lane.connection(self._bounds)

    def _ask(self, document: Doc, data: bytes, timeout: float | None, what: str) -> tuple[Any, bytes]:
        """The hand's answer; what takes too long is ended there before Temporary is raised here."""
        connection = self._connection()
        seconds = self._bounds.seconds(timeout)
        marks = {"fences": list(self._marks)} if self._marks else {}
        question = connection.hand.ask({**document, **marks}, data)
        with self._bounds.token.ending(question.stir):
            late = not self._waited(question, seconds, timeout)
        if not question.answered:
            _end(connection, question)
        self._bounds.check()
        if late:
            raise Temporary(said(f"{self._lane.target}: {what}: no end after {seconds:g} s", question.last_words))
        return question.result()

    def _waited(self, question: Question, seconds: float | None, timeout: float | None) -> bool:
        """Wait for the answer, a cancel, or the end of the time, which progress may put off."""
        while not question.wait(seconds):
            seconds = self._bounds.renewed(timeout)
            if seconds <= 0:
                return False
        return True

    @contextmanager
    def _copy(self, program: Program, path: str) -> Iterator[transfer.Pipe]:
        """A channel with PROGRAM at PATH, under the fences that are held; nothing of it is left after an error."""
        fences = self._ask({"do": "check"}, b"", None, path)[0]
        connection = self._connection()
        mark = self._marks[-1] if self._marks else secrets.token_hex(8)
        try:
            with connection.channel(program, {"path": path, "fences": fences}, mark) as channel:
                yield transfer.Pipe(self._lane.target.name, channel, self._bounds.counted(), connection)
        except BaseException:
            _tell(connection, {"do": "end", "mark": mark})
            raise


def _tell(connection: Connection, document: Doc) -> None:
    """Have the hand clean up, even for a cancelled command; if the connection is lost it does so by itself."""
    if connection.alive:
        with suppress(DriverError):
            connection.hand.ask(document).wait(_GRACE)


def _end(connection: Connection, question: Question) -> None:
    """End a request on the host; one that does not end is left behind."""
    question.settle()
    connection.hand.cancel(question)
    if not question.wait(_GRACE):
        connection.abandon()
