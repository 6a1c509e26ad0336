"""Clients in processes of their own, so that they cost the server nothing but their calls."""
from __future__ import annotations

import json
import multiprocessing
import queue
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any

from bench.endpoint.clients import CLIENTS, Call, CallError
from bench.endpoint.cloud import vm_template
from bench.endpoint.options import Options

FORK = multiprocessing.get_context("fork")
PATIENCE = 60.0
"""Seconds that the clients wait for each other before they begin."""


@dataclass(slots=True)
class Outcome:
    """What one process did: seconds of each call, errors, when it began and ended (CLOCK_MONOTONIC)."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0
    error: str = ""
    begun: float = 0.0
    ended: float = 0.0

    def fail(self, error: Exception) -> None:
        """Count an error; the first one's text is kept."""
        self.errors += 1
        self.error = self.error or repr(error)[:300]


Work = Callable[..., Outcome]


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """All of them as one."""
    return Outcome([s for one in outcomes for s in one.seconds], sum(one.errors for one in outcomes),
                   next((one.error for one in outcomes if one.error), ""), min(one.begun for one in outcomes),
                   max(one.ended for one in outcomes))


def fan(work: Work, total: int, processes: int, *arguments: object) -> Outcome:
    """WORK(range, barrier, *arguments) in PROCESSES processes that share 0 … TOTAL-1.

    Raises RuntimeError when one dies.
    """
    answers: Any = FORK.Queue()
    barrier = FORK.Barrier(processes)
    shares = [range(total * k // processes, total * (k + 1) // processes) for k in range(processes)]
    made = [FORK.Process(target=_run, args=(answers, work, share, barrier, *arguments), daemon=True)
            for share in shares]
    try:
        for process in made:
            process.start()
        return joined([_next(answers, made) for _ in made])
    except BaseException:
        for process in made:
            if process.pid:
                process.terminate()
        raise
    finally:
        for process in made:
            if process.pid:
                process.join()


def _run(answers: Any, work: Work, share: range, *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    answers.put(work(share, *arguments))


def _next(answers: Any, processes: Sequence[BaseProcess]) -> Outcome:
    while True:
        try:
            found: Outcome = answers.get(timeout=1)
        except queue.Empty:
            ended = [process.exitcode for process in processes if process.exitcode]
            if ended:
                raise RuntimeError(f"a client process ended with {ended[0]}") from None
        else:
            return found


def allocate(share: range, barrier: threading.Barrier, options: Options) -> Outcome:
    """one.vm.allocate, or instantiate, of the VMs SHARE."""
    call, out = CLIENTS[options.client](options.endpoint, options.auth), Outcome()
    barrier.wait(PATIENCE)
    out.begun = time.monotonic()
    for i in share:
        begun = time.perf_counter()
        try:
            _allocate(call, options, i)
        except (CallError, OSError) as error:
            out.fail(error)
        out.seconds.append(time.perf_counter() - begun)
    out.ended = time.monotonic()
    return out


def _allocate(call: Call, options: Options, i: int) -> None:
    if options.via == "instantiate":
        call("one.template.instantiate", options.tid, f"i{i}", not options.run, "", False)
    else:
        call("one.vm.allocate", vm_template(options.template, i, options.nets), not options.run)


def load(share: range, barrier: threading.Barrier, options: Options, vms: Sequence[int]) -> Outcome:
    """As many clients as SHARE has numbers, each with one call after the other for --secs seconds."""
    barrier.wait(PATIENCE)
    until = time.monotonic() + options.secs
    found: list[Outcome] = []
    threads = [threading.Thread(target=lambda k=k: found.append(_closed_loop(options, vms, k, until))) for k in share]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return joined(found)


def _closed_loop(options: Options, vms: Sequence[int], seed: int, until: float) -> Outcome:
    call, dice = CLIENTS[options.client](options.endpoint, options.auth), random.Random(seed)
    out = Outcome(begun=time.monotonic())
    while time.monotonic() < until:
        begun = time.perf_counter()
        try:
            _one(call, options, vms, dice)
            out.seconds.append(time.perf_counter() - begun)
        except (CallError, OSError) as error:
            out.fail(error)
    out.ended = time.monotonic()
    return out


def _one(call: Call, options: Options, vms: Sequence[int], dice: random.Random) -> None:
    if options.method not in ("one.vm.info", "mixed"):
        call(options.method, *json.loads(options.args))
        return
    share = dice.random() if options.method == "mixed" else 0.0
    if share < 0.8:
        call("one.vm.info", dice.choice(vms))
    elif share < 0.95:
        call("one.vm.update", dice.choice(vms), f'K="{dice.randrange(10**6)}"', 1)
    else:
        call("one.vm.allocate", vm_template(options.template, dice.randrange(10**9), options.nets), True)
