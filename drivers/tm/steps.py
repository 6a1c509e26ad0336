"""The steps of a transfer as values, and the one loop that does them; which, in which order, is decided elsewhere."""
from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from drivers.base import Context, DriverError, Executor, Permanent, Temporary
from drivers.ds.inspect import HEAD, inspect, refuse_foreign
from drivers.local import os_errors

_PERIOD = 1.0
CHECK = 'qemu-img check -q -f qcow2 -- "$1"; code=$?; [ "$code" -ne 3 ] || code=0; exit "$code"'
"""Clusters that nobody uses (3), as a killed guest leaves them, are no damage."""
_FULL = ("No space left on device", "Disk quota exceeded")


@dataclass(frozen=True, slots=True)
class Step:
    """One command on the VM's host or, `here`, on the front-end.

    `grows` names the file that a long one writes, `total` its expected size in bytes.
    """

    what: str
    argv: tuple[str, ...]
    grows: str = ""
    total: int = 0
    here: bool = False


@dataclass(frozen=True, slots=True)
class Carry:
    """One file goes from the front-end to the host or, `home`, from there to the front-end; compared on arrival."""

    what: str
    source: str
    target: str
    home: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """One file goes from the host to the host that the VM moves to; compared on arrival."""

    what: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Successor:
    """The front-end's file PATH may take the place of IMAGE: no smaller; if FORM is qcow2, one that stands alone."""

    what: str
    path: str
    image: str
    form: str


Deed = Step | Carry | Pass | Successor


def perform(ctx: Context, executor: Executor, steps: Iterable[Deed], to: Executor | None = None) -> None:
    """Do STEPS in order, TO being where the VM moves to.

    Raises what the first that fails raises (Temporary when the disk is full), or Cancelled.
    """
    for step in steps:
        ctx.check()
        try:
            _do(ctx, executor, step, to or executor)
        except Permanent as error:
            raise _explained(step, error) from error


def _do(ctx: Context, executor: Executor, step: Deed, to: Executor) -> None:
    def tell(done: int, total: int) -> None:
        ctx.progress(step.what, done, total)

    if isinstance(step, Step):
        place = ctx.host({}) if step.here else executor
        with _growth(ctx, place, step):
            place.run(step.argv)
    elif isinstance(step, Carry):
        carry = executor.get if step.home else executor.put
        carry(step.source, step.target, tell)
    elif isinstance(step, Pass):
        executor.pass_on(step.source, step.target, to, tell)
    else:
        _compare(step)


def _compare(step: Successor) -> None:
    size, least = _guest_size(step.path, step.form), 0
    if os.path.exists(step.image):
        least = _guest_size(step.image, step.form)
    if size < least:
        raise Permanent(f"{step.path} has {size} bytes, fewer than {step.image} has, {least}; nothing was removed")


def _guest_size(path: str, form: str) -> int:
    """Bytes of the disk that a guest sees; a qcow2 file that names others is refused.  A raw one holds anything."""
    with os_errors(path), open(path, "rb") as file:
        if form != "qcow2":
            return os.fstat(file.fileno()).st_size
        found = inspect(file.read(HEAD))
    refuse_foreign(found, path, form)
    return found.virtual_size


def _explained(step: Deed, error: Permanent) -> DriverError:
    kind = Temporary if any(text in str(error) for text in _FULL) else Permanent
    return kind(f"{step.what}: {error}")


@contextmanager
def _growth(ctx: Context, executor: Executor, step: Step) -> Iterator[None]:
    """While in the block, tell of every growth of the step's file: what stands still renews no deadline."""
    if not step.grows:
        yield
        return
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(ctx, executor, step, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(ctx: Context, executor: Executor, step: Step, ended: threading.Event) -> None:
    seen = 0
    while not ended.wait(_PERIOD):
        now = _written(executor, step.grows)
        if now > seen:
            seen = now
            ctx.progress(step.what, now, max(now, step.total))


def _written(executor: Executor, path: str) -> int:
    """Bytes on disk of PATH, 0 when it cannot be told."""
    try:
        blocks, size = executor.run(["stat", "--format=%b %B", "--", path]).split()
        return int(blocks) * int(size)
    except (DriverError, ValueError):
        return 0
