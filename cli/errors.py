"""The one error of the command line and its exit codes.  What the server refused arrives here with the API's code."""

from __future__ import annotations

FAILED = 255
"""Exit code of every error, as OpenNebula's commands have it."""
INTERRUPTED = 130
"""Exit code after Ctrl-C."""
UNKNOWN_METHOD, INTERNAL = 0x1000, 0x2000
"""API codes: a server that does not know the method, or that could not do what it should."""


class CliError(Exception):
    """The command cannot do what was asked.  `code` is the API error code, 0 when no server refused.

    `offline`: no server answered, so that trying the next object is pointless.
    """

    def __init__(self, text: str, code: int = 0, offline: bool = False) -> None:
        super().__init__(text)
        self.code, self.offline = code, offline


def one_line(error: object) -> str:
    """The text of an error as a single line."""
    return " ".join(str(error).split())
