"""The progress of hosts that are flushed: bars on a terminal, lines for who asked for words elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from cli.host.drain import Drain
from cli.session import Session, on_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class View(Protocol):
    """What shows the progress."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def show(self, oid: int, name: str, found: Drain) -> None:
        """How far a host is now."""

    def done(self, oid: int, name: str) -> None:
        """It is over."""


def view(session: Session) -> View:
    """What fits where the output goes."""
    return Bars() if on_terminal() else Lines(session)


class Lines:
    """With --verbose a line whenever a VM has left, or another one has come."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._told: dict[int, str] = {}

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def show(self, oid: int, name: str, found: Drain) -> None:
        """How far a host is now."""
        text = f"{name}: {found['moved']} VMs moved, {len(found['left'])} left"
        if self._told.get(oid) != text:
            self.session.told(text)
        self._told[oid] = text

    def done(self, oid: int, name: str) -> None:
        """It is over."""


class Bars:
    """A line for each host that is written anew: name, bar, VMs, what one of those left is at."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Made

        self._bars: Progress = Made(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[told]}", markup=False),
            transient=True,
        )
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        """Begin."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the lines away."""
        self._bars.stop()

    def show(self, oid: int, name: str, found: Drain) -> None:
        """How far a host is now."""
        if oid not in self._tasks:
            self._tasks[oid] = self._bars.add_task(name, told="")
        moved, left = int(found["moved"]), found["left"]
        first = next((vm for vm in left if vm["state"] not in ("RUNNING", "POWEROFF")), left[0] if left else None)
        told = f"{moved} of {moved + len(left)} VMs" + (f"; {first['name']}: {first['why']}" if first else "")
        self._bars.update(self._tasks[oid], total=moved + len(left), completed=moved, told=told)

    def done(self, oid: int, name: str) -> None:
        """It is over."""
        if oid in self._tasks:
            self._bars.remove_task(self._tasks.pop(oid))
