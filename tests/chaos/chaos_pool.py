"""Runs in several processes, each with a stock of its own in memory."""
from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from chaos_actions import ACTIONS
from chaos_beside import beside
from chaos_run import Plan, Report, Run
from chaos_site import Stock

_worker: Worker | None = None


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is gone afterwards, in memory where there is such a thing."""
    memory = Path("/dev/shm")
    base = Path(tempfile.mkdtemp(prefix="onecore-chaos-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


class Worker:
    """Carries plans out, one after the other, in a directory."""

    def __init__(self, base: Path) -> None:
        self._base, self._number = base, 0
        base.mkdir(parents=True, exist_ok=True)
        os.environ["HOME"] = str(base / "user")
        self._stock = Stock(base / "stock", beside)

    def run(self, plan: Plan) -> Report:
        """One plan; what nobody expected is a violation, too."""
        self._number += 1
        try:
            return Run(self._stock, ACTIONS[plan.action], plan, self._base / f"run{self._number}").go()
        except Exception:
            return Report(plan, [traceback.format_exc()[-3000:]])


def _begin(base: Path) -> None:
    global _worker
    _worker = Worker(base / str(os.getpid()))
    gc.set_threshold(50_000, 20, 50)


def _run(plan: Plan) -> Report:
    assert _worker is not None
    return _worker.run(plan)


def carry_out(plans: Iterable[Plan], jobs: int, base: Path, heard: Callable[[Report], Any]) -> None:
    """Every plan, in JOBS processes; HEARD gets each report as it comes."""
    if jobs <= 1:
        worker = Worker(Path(tempfile.mkdtemp(dir=base)))
        for plan in plans:
            heard(worker.run(plan))
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, _begin, (base,)) as pool, suppress(KeyboardInterrupt):
        for report in pool.imap_unordered(_run, plans, chunksize=4):
            heard(report)
