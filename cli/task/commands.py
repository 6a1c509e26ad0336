"""The commands of `onetask` that do something: cancel, follow, wait."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from cli.command import command, ids_argument, object_argument
from cli.errors import FAILED
from cli.ids import each, id_of, ids_of
from cli.kind import Kind
from cli.session import Session
from cli.spans import SPANS, seconds
from cli.task import ops


def cancel(kind: Kind) -> click.Command:
    """The command `cancel`."""

    def run(session: Session, kind: Kind, ids: str) -> int:
        """Cancel operations: the step under way is ended, and what it leaves undone is put right."""
        return each(session, kind, ids, lambda op: session.call("onecore.op.cancel", op), "cancelling")

    return command(kind, "cancel", run, ids_argument(kind), examples=["cancel 1842", "cancel web"])


def follow(kind: Kind) -> click.Command:
    """The command `follow`."""

    def run(session: Session, kind: Kind, oid: str) -> int:
        """Show the progress of an operation, given by id or by the name of its VM or image, until it ends.

        The exit code is 0 when it succeeded, else 255.  Ctrl-C leaves it running.
        """
        from cli.task.follow import follow

        return ops.result(session, follow(session, id_of(session, kind, oid)))

    return command(kind, "follow", run, object_argument(kind, "oid"), examples=["follow 1842", "follow web"])


def wait(kind: Kind) -> click.Command:
    """The command `wait`."""
    return command(
        kind,
        "wait",
        run_wait,
        ids_argument(kind),
        click.Option(["--timeout"], default="300", metavar="TIME", help=f"{SPANS}."),
        examples=["wait 1842 --timeout 10m"],
    )


def run_wait(session: Session, kind: Kind, ids: str, timeout: str, clock: Callable[[], float] = time.monotonic) -> int:
    """Wait until operations have ended: exit code 0 when all succeeded, 255 when one failed or the time is over."""
    ends, code = clock() + seconds(timeout), 0
    for op in ids_of(session, kind, ids):
        known = until(session, op, lambda: ends - clock())
        if ops.ended(known):
            code = ops.result(session, known) or code
        else:
            session.fail(f"operation {op}, {ops.title(known)}: not ended within {timeout}, {ops.progress(known)}")
            code = FAILED
    return code


def until(session: Session, op: int, left: Callable[[], float]) -> ops.Operation:
    """How operation OP ended, or how it stands when no time is LEFT."""
    known = ops.wait(session, op, max(0, min(ops.LONGEST, int(left()))))
    while not ops.ended(known) and left() > 0:
        known = ops.wait(session, op, max(1, min(ops.LONGEST, int(left()))))
    return known
