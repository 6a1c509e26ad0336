"""The commands of onebench that make and end things: setup, hosts, allocate, lifecycle, terminate."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from bench.endpoint import cloud, reads, workers
from bench.endpoint.clients import CLIENTS, CallError, Lean, Std
from bench.endpoint.cloud import as_text, counts, find, vm_ids
from bench.endpoint.options import Options
from bench.endpoint.probes import Meter
from bench.endpoint.report import emit, latencies
from bench.endpoint.workers import Outcome

TRACED = 15


def setup(options: Options) -> None:
    """Datastores, images, networks and a template; again is harmless."""
    print(cloud.setup(options))


def hosts(options: Options) -> None:
    """The rate of one.host.allocate, then the time until all are MONITORED."""
    call, out = CLIENTS[options.client](options.endpoint, options.auth), Outcome()
    with Meter(options.pid, options.quiet) as meter:
        for i in range(options.n):
            begun = time.perf_counter()
            try:
                call("one.host.allocate", f"{options.prefix}{i:05d}", options.im, options.vm, -1)
            except CallError as error:
                if "already" not in str(error):
                    out.fail(error)
            out.seconds.append(time.perf_counter() - begun)
    emit(options, "host.allocate", **meter.figures(options.n), **latencies(out.seconds), **errors(out))
    begun, monitored, total = time.perf_counter(), 0, 1
    while monitored < total and time.perf_counter() - begun < options.wait:
        body = as_text(Std(options.endpoint, options.auth)("one.hostpool.info"))
        monitored, total = body.count("<STATE>2</STATE>"), body.count("<HOST><ID>")
        if monitored < total:
            time.sleep(options.poll)
    waited = time.perf_counter() - begun
    emit(options, "host.monitored", up=monitored, total=total, wait_s=round(waited, 1),
         since_first_allocate_s=round(waited + meter.wall, 1))


def errors(out: Outcome) -> dict[str, object]:
    """How many calls were refused, and the first one's words."""
    return {"errors": out.errors, **({"error": out.error} if out.error else {})}


def allocate(options: Options) -> None:
    """one.vm.allocate or one.template.instantiate, on hold unless --run."""
    if options.via == "instantiate" and options.tid is None:
        call = Std(options.endpoint, options.auth)
        options = replace(options, tid=find(call, "one.templatepool.info", "btpl", "VMTEMPLATE"))
        if options.tid is None:
            raise CallError("there is no template btpl: run setup first")
    with Meter(options.pid, options.quiet) as meter:
        out = workers.fan(workers.allocate, options.n, options.conc, options)
    emit(options, "template.instantiate" if options.via == "instantiate" else "vm.allocate", template=options.template,
         hold=not options.run, conc=options.conc, client=options.client, **errors(out), **meter.figures(options.n),
         **latencies(out.seconds))


def lifecycle(options: Options) -> None:
    """Creates VMs and waits until all are RUNNING, by the server's own scheduler."""
    options = replace(options, run=True)
    call = Lean(options.endpoint, options.auth)
    trace: list[tuple[float, int, int, int]] = []
    _, already, active_already = counts(call)
    with Meter(options.pid, options.quiet) as meter:
        begun = time.perf_counter()
        out = workers.fan(workers.allocate, options.n, options.conc, options)
        allocated, running = time.perf_counter() - begun, -1
        while running < options.n and time.perf_counter() - begun < options.wait:
            if trace:
                time.sleep(options.poll)
            pending, running, active = counts(call)
            running -= already
            trace.append((round(time.perf_counter() - begun, 1), pending, active - active_already, running))
    emit(options, "lifecycle", template=options.template, **errors(out), allocate_s=round(allocated, 2),
         running=running, done=running >= options.n, **meter.figures(options.n),
         trace=[*trace[::max(1, len(trace) // TRACED)], trace[-1]])


def terminate(options: Options) -> None:
    """Ends every VM hard, and waits until none is left."""
    call, out = Lean(options.endpoint, options.auth), Outcome()
    with Meter(options.pid, options.quiet) as meter:
        for vm in vm_ids(call):
            try:
                call("one.vm.action", "terminate-hard", vm)
                out.seconds.append(0.0)
            except CallError as error:
                out.fail(error)
        begun = time.perf_counter()
        while (left := len(vm_ids(call))) and out.seconds and time.perf_counter() - begun < options.wait:
            time.sleep(options.poll)
    emit(options, "terminate", left=left, **errors(out), **meter.figures(max(1, len(out.seconds))))


COMMANDS: dict[str, Callable[[Options], None]] = {
    "setup": setup, "hosts": hosts, "allocate": allocate, "info": reads.info, "load": reads.load, "pools": reads.pools,
    "lifecycle": lifecycle, "terminate": terminate, "mem": reads.memory}
