"""`onevm log`: the VM's own log, which oned keeps."""

from __future__ import annotations

import click

from cli.command import command, object_argument
from cli.ids import id_of
from cli.kind import Kind
from cli.session import Session

MOST = 10_000
"""Lines of a log that the server tells at most."""


def log(kind: Kind) -> click.Command:
    """The command `log`."""

    def run(session: Session, kind: Kind, oid: str, lines: int) -> None:
        """Show the log of a VM."""
        session.say(session.text("onecore.vm.log", id_of(session, kind, oid), lines).rstrip("\n"))

    return command(
        kind,
        "log",
        run,
        object_argument(kind, "oid"),
        click.Option(["-n", "--lines"], type=click.IntRange(1, MOST), default=200, help="So many last lines."),
        examples=["log web", "log web -n 20"],
    )
