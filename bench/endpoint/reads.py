"""The commands of onebench that only read: info, load, pools, mem."""
from __future__ import annotations

import random
import time

from bench.endpoint import workers
from bench.endpoint.clients import CLIENTS, CallError, Lean, Std
from bench.endpoint.cloud import vm_ids
from bench.endpoint.options import Options
from bench.endpoint.probes import Meter, wait_until_quiet
from bench.endpoint.report import emit, latencies

POOLS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("one.vmpool.info", (-2, -1, -1, -1)), ("one.vmpool.infoextended", (-2, -1, -1, -1)),
    ("one.vmpool.info", (-2, 0, -100, -1)), ("one.hostpool.info", ()), ("one.vmpool.monitoring", (-2, 0)),
    ("one.vmpool.showback", (-2, -1, -1, -1, -1)))


def info(options: Options) -> None:
    """The latency of one.vm.info of VMs at random, with one client on a kept connection."""
    call, seconds = CLIENTS[options.client](options.endpoint, options.auth), []
    vms, dice = vm_ids(Std(options.endpoint, options.auth)), random.Random(1)
    if not vms:
        raise CallError("there is no VM to ask for")
    answer = call("one.vm.info", vms[0])
    with Meter(options.pid, options.quiet) as meter:
        for _ in range(options.n):
            vm, begun = dice.choice(vms), time.perf_counter()
            call("one.vm.info", vm)
            seconds.append(time.perf_counter() - begun)
    emit(options, "vm.info", pool=len(vms), conc=1, client=options.client,
         bytes=0 if isinstance(answer, int) else len(answer),
         **meter.figures(options.n), **latencies(seconds))


def load(options: Options) -> None:
    """Calls a second with --conc clients in a closed loop."""
    vms = vm_ids(Std(options.endpoint, options.auth)) if options.method in ("one.vm.info", "mixed") else []
    if options.quiet:
        wait_until_quiet(options.quiet, options.pid)
    with Meter(options.pid) as meter:
        out = workers.fan(workers.load, options.conc, min(options.procs, options.conc), options, vms)
    failed: dict[str, object] = {"error": out.error} if out.error else {}
    emit(options, f"load {options.method}", pool=len(vms), conc=options.conc, client=options.client, errors=out.errors,
         **failed, **meter.figures(len(out.seconds)), **latencies(out.seconds))


def pools(options: Options) -> None:
    """The latency and size of whole pools and of a page; what the server does not know is said."""
    call = Lean(options.endpoint, options.auth)
    for method, arguments in POOLS:
        if not options.only or method == options.only:
            _pool(options, call, method, arguments)


def _pool(options: Options, call: Lean, method: str, arguments: tuple[int, ...]) -> None:
    seconds, size = [], 0
    try:
        with Meter(options.pid, options.quiet) as meter:
            for _ in range(options.reps):
                begun = time.perf_counter()
                answer = call(method, *arguments)
                seconds.append(time.perf_counter() - begun)
                size = len(answer) if isinstance(answer, bytes) else 0
    except (CallError, OSError) as error:
        emit(options, method, args=list(arguments), error=str(error)[:200])
        return
    emit(options, method, args=list(arguments), bytes=size, **meter.figures(options.reps), **latencies(seconds))


def memory(options: Options) -> None:
    """The server's memory and database."""
    emit(options, "mem", vms=len(vm_ids(Std(options.endpoint, options.auth))))
