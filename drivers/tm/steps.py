"""The steps of a transfer as values, and the one loop that does them; which, in which order, is decided elsewhere."""
from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from drivers.base import Context, DriverError, Executor, Permanent, Temporary

_PERIOD = 1.0
_FULL = ("No space left on device", "Disk quota exceeded")


@dataclass(frozen=True, slots=True)
class Step:
    """One command; `grows` names the file that a long one writes, `total` its expected size in bytes."""

    what: str
    argv: tuple[str, ...]
    grows: str = ""
    total: int = 0


def perform(ctx: Context, executor: Executor, steps: Iterable[Step]) -> None:
    """Do STEPS in order; raises what the first that fails raises (Temporary when the disk is full), or Cancelled."""
    for step in steps:
        ctx.check()
        try:
            with _growth(ctx, executor, step):
                executor.run(step.argv)
        except Permanent as error:
            raise _explained(step, error) from error


def _explained(step: Step, error: Permanent) -> DriverError:
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
