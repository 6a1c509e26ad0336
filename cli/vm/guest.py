"""The commands that run something inside a guest by its agent: exec, exec-retry, exec-cancel."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cli.cells import value
from cli.command import command, ids_argument
from cli.errors import CliError
from cli.ids import each, read_info
from cli.kind import Kind
from cli.session import Session, on_terminal
from cli.spans import SPANS, seconds
from cli.vm.body import decoded, harmless

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

POLL = 0.5
"""Seconds between looks for the result."""
_ENDED = ("DONE", "ERROR", "CANCELLED", "CANCELED")
_HELP = {"retry": "Run the last command in guests once more.", "cancel": "End the command that runs in guests."}


def exec_(kind: Kind) -> click.Command:
    """The command `exec`."""

    def run(session: Session, kind: Kind, ids: str, cmd: str, stdin: str | None, wait: bool, timeout: str) -> int:
        """Run a command in running guests, by their agent; its result is in the template's QEMU_GA_EXEC.

        With --wait tells what it printed, and fails when it did.
        """
        limit, text = seconds(timeout), b64encode((stdin or "").encode()).decode()

        def act(oid: int) -> None:
            session.call("one.vm.exec", oid, cmd, text)
            if wait:
                _tell(session, outcome(session, kind, oid, limit))

        return each(session, kind, ids, act, "" if wait else "executing a command")

    return command(
        kind,
        "exec",
        run,
        ids_argument(kind),
        click.Argument(["cmd"], metavar="COMMAND"),
        click.Option(["--stdin"], metavar="TEXT", help="What the command reads."),
        click.Option(["-w", "--wait"], is_flag=True, help="Until it has ended, and tell what it printed."),
        click.Option(["--timeout"], default="60", metavar="TIME", help=f"Of --wait: {SPANS}."),
        examples=["exec web 'systemctl restart nginx'", "exec web 'apt-get update' --wait --timeout 10m"],
    )


def again(verb: str, kind: Kind) -> click.Command:
    """The command `exec-VERB`: retry or cancel."""

    def run(session: Session, kind: Kind, ids: str) -> int:
        return each(session, kind, ids, lambda oid: session.call(f"one.vm.{verb}exec", oid), f"exec {verb}")

    return command(kind, f"exec-{verb}", run, ids_argument(kind), help=_HELP[verb], examples=[f"exec-{verb} web"])


def outcome(
    session: Session,
    kind: Kind,
    oid: int,
    limit: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Body:
    """QEMU_GA_EXEC of VM OID when its command has ended; raises CliError when that takes longer than LIMIT seconds."""
    ends = clock() + limit
    while True:
        found = read_info(session, kind, oid).find("TEMPLATE/QEMU_GA_EXEC")
        if found is not None and value(found, "STATUS").upper() in _ENDED:
            return found
        if clock() >= ends:
            raise CliError(f"{kind.tag} {oid}: the command has not ended within {limit:g} s; onevm show has its result")
        sleep(POLL)


def _tell(session: Session, found: Body) -> None:
    for name, write in (("STDOUT", session.say), ("STDERR", session.fail_text)):
        text = decoded(value(found, name)).rstrip("\n")
        if text:
            write(harmless(text) if on_terminal() else text)
    status, code = value(found, "STATUS").upper(), value(found, "RETURN_CODE", "0")
    if status != "DONE" or code != "0":
        raise CliError(f"the command ended with {code}" if status == "DONE" else f"the command: {status.lower()}")
