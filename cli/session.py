"""One run of a command: its connection, made at the first call, and where it writes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cli.errors import CliError, one_line
from cli.private import store


class Caller(Protocol):
    """What a session needs of a client (onecore.wire.client.Client)."""

    def call(self, method: str, *arguments: object, timeout: float | None = None) -> object:
        """The value of a successful call."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where to call and as whom; None: from the environment and its files."""

    endpoint: str | None = None
    user: str | None = None
    password: str | None = None


def connect(account: Account) -> Caller:
    """A client for ACCOUNT; raises CliError."""
    from onecore.wire.client import Client, ClientError, session

    try:
        return Client(account.endpoint, session(account.user, account.password))
    except ClientError as error:
        raise CliError(one_line(error), offline=True) from None


READS = frozenset(
    ("audit", "check", "config", "drain", "events", "info", "infoextended", "infoset", "list", "log", "monitoring")
    + ("orphans", "plans", "raftstatus", "schedule", "version", "wait")
)
"""Last words of the methods that only read, and so are called in a dry run too."""
TRY = "onecore.dryrun"


def reads(method: str) -> bool:
    """Whether METHOD changes nothing."""
    return method == "onecore.status" or method.rsplit(".", 1)[-1] in READS


class Session:
    """Calls the server, writes results to standard output and errors to standard error.

    `dry`: what would change something is only tried, and told on standard error.
    """

    def __init__(self, account: Account | None = None, verbose: bool = False, dry: bool = False) -> None:
        self.account = account or Account()
        self.verbose, self.dry = verbose, dry
        self._client: Caller | None = None

    def call(self, method: str, *arguments: object, timeout: float | None = None) -> object:
        """The value of a successful call, in a dry run of one that was tried; raises CliError."""
        if not self.dry or reads(method):
            return self._call(method, *arguments, timeout=timeout)
        answer = self._call(TRY, method, *arguments, timeout=timeout)
        self.would(tried(method, arguments, answer))
        return answer

    def _call(self, method: str, *arguments: object, timeout: float | None = None) -> object:
        from onecore.wire.client import ClientError

        if self._client is None:
            self._client = connect(self.account)
        try:
            return self._client.call(method, *arguments, timeout=timeout)
        except ClientError as error:
            raise CliError(one_line(error), error.code, offline=not error.code) from None

    def text(self, method: str, *arguments: object, timeout: float | None = None) -> str:
        """As call, for a text."""
        return str(self.call(method, *arguments, timeout=timeout))

    def number(self, method: str, *arguments: object) -> int:
        """As call, for an id."""
        return int(str(self.call(method, *arguments)))

    def say(self, text: str) -> None:
        """A line of the result."""
        sys.stdout.write(text + "\n")

    def would(self, what: str) -> None:
        """Tell WHAT a dry run left undone."""
        self.fail_text(f"would be: {what}")

    def writes(self, path: Path, text: str, what: str) -> None:
        """Write TEXT to a file of the user's own, which says WHAT; a dry run tells that it would."""
        if self.dry:
            self.would(f"{path}: {what}")
        else:
            store(path, text)
            self.say(f"{path}: {what}")

    def made(self, oid: int, what: str = "ID") -> None:
        """The id of something new; nothing in a dry run, whose ids are nobody's."""
        if not self.dry:
            self.say(f"{what}: {oid}")

    def really(self, what: str) -> None:
        """Raise CliError in a dry run: WHAT takes steps that build on each other, which cannot be tried."""
        if self.dry:
            raise CliError(f"{what} takes steps that build on each other, which --dry-run cannot try")

    def told(self, text: str) -> None:
        """A line that only --verbose shows, of what was done."""
        if self.verbose and not self.dry:
            self.say(text)

    def fail(self, error: object) -> None:
        """One line on standard error."""
        sys.stderr.write(one_line(error) + "\n")

    def fail_text(self, text: str) -> None:
        """Lines on standard error as they are."""
        sys.stderr.write(text + "\n")


def tried(method: str, arguments: tuple[object, ...], answer: object) -> str:
    """What a dry run tells: the method and its object, or what it would have made; no argument that may be a secret."""
    if arguments and isinstance(arguments[0], int):
        return f"{method} of {arguments[0]}"
    return f"{method}, id {answer}" if isinstance(answer, int) else method


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def coloured() -> bool:
    """Whether colours may be used: a terminal, and NO_COLOR not set."""
    return on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
