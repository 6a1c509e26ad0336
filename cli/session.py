"""One run of a command: its connection, made at the first call, and where it writes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Protocol

from cli.errors import CliError, one_line


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


class Session:
    """Calls the server, writes results to standard output and errors to standard error."""

    def __init__(self, account: Account | None = None, verbose: bool = False) -> None:
        self.account = account or Account()
        self.verbose = verbose
        self._client: Caller | None = None

    def call(self, method: str, *arguments: object, timeout: float | None = None) -> object:
        """The value of a successful call; raises CliError."""
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

    def told(self, text: str) -> None:
        """A line that only --verbose shows."""
        if self.verbose:
            self.say(text)

    def fail(self, error: object) -> None:
        """One line on standard error."""
        sys.stderr.write(one_line(error) + "\n")

    def fail_text(self, text: str) -> None:
        """Lines on standard error as they are."""
        sys.stderr.write(text + "\n")


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def coloured() -> bool:
    """Whether colours may be used: a terminal, and NO_COLOR not set."""
    return on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
