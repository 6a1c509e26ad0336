"""Following one operation until it ends: a bar on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import click

from cli.cells import lasted
from cli.session import Session, on_terminal
from cli.task import ops
from cli.task.ops import Operation

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

INTERVAL = 1
"""Seconds between looks at the progress."""
EVERY = 10
"""Percent between two lines about one step, where there is no terminal."""


class View(Protocol):
    """What shows the progress."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def show(self, op: Operation) -> None:
        """How it stands now."""


def follow(session: Session, op: int) -> Operation:
    """Show the progress of operation OP until it has ended, and return how.  Ctrl-C leaves it running: click.Abort."""
    known = ops.info(session, op)
    if ops.ended(known):
        return known
    try:
        view = _view(session)
        view.show(known)
        with view:
            while not ops.ended(known):
                view.show(known)
                known = ops.wait(session, op, INTERVAL)
    except KeyboardInterrupt:
        session.fail(f"operation {op}, {ops.title(known)}, goes on; onetask cancel {op} ends it")
        raise click.Abort from None
    return known


def _view(session: Session) -> View:
    return Bar() if on_terminal() else Lines(session)


class Lines:
    """A line when the step changes, and for each further EVERY percent of it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._told: tuple[object, object, int] | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def show(self, op: Operation) -> None:
        """How it stands now."""
        done, total = op.get("done") or 0, op.get("total") or 0
        key = (op.get("step"), op.get("state"), 100 * done // total // EVERY if total else 0)
        if key != self._told:
            self.session.say(f"{ops.title(op)}: {ops.progress(op)}")
        self._told = key


class Bar:
    """One line that is written anew: what, step, bar, bytes, time."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[told]}", markup=False),
            transient=True,
        )
        self._task: TaskID = self._bar.add_task("", total=None, told="")

    def __enter__(self) -> Self:
        """Begin."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the line away."""
        self._bar.stop()

    def show(self, op: Operation) -> None:
        """How it stands now."""
        step = op.get("step") or op.get("command") or op.get("state", "")
        age = lasted(time.time() - float(op["since"]), full=True).split()[-1]
        self._bar.tasks[0].total = op.get("total") or None  # update() takes None for "as it was"
        self._bar.update(
            self._task,
            description=f"{ops.title(op)}: {step}",
            completed=op.get("done") or 0,
            told=f"{ops.portion(op)}{ops.volume(op)} {age}".strip(),
        )
