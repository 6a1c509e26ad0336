"""im/kvm: samples of a KVM host, from libvirt and from /proc: one timer for all hosts, a thread a sample."""
from __future__ import annotations

import time
from dataclasses import asdict

from drivers.base import Action, Context, DriverError, Executor
from drivers.im import proc
from drivers.im.guests import CpuUse, sample
from drivers.local import LocalExecutor
from drivers.timers import timers
from drivers.vm.connection import Call
from drivers.vm.hypervisor import hypervisor
from drivers.vm.stats import Domain, Hypervisor, read_domains, read_hypervisor
from onecore.wire.messages import Doc, Sample

PERIOD = 60.0
COMMAND_SECONDS = 10.0
"""How long a command of a sample may take on the host."""


def watch(ctx: Context, args: Doc) -> Doc:
    """A sample at once and one every `period` seconds; a watch again takes the first one's place."""
    host, emit = args["host"], ctx.emit
    period = float(args.get("period") or PERIOD)
    sampler = Sampler(ctx, host, args.get("datastores") or [])
    under_way = [Call(lambda: emit(sampler.take()))]

    def turn() -> float:
        if under_way[0].wait(0):
            under_way[0] = Call(lambda: emit(sampler.take()))
        return period

    timers(ctx).start(_key(host), period, turn)
    return {}


def unwatch(ctx: Context, args: Doc) -> Doc:
    """No more samples of the host."""
    timers(ctx).stop(_key(args["host"]))
    return {}


def probe(ctx: Context, args: Doc) -> Doc:
    """One sample as the answer."""
    return {"sample": asdict(Sampler(ctx, args["host"], args.get("datastores") or []).take())}


class Sampler:
    """Takes the samples of one host; it outlives the command that made it."""

    def __init__(self, ctx: Context, host: Doc, datastores: list[Doc]) -> None:
        self._ctx, self._host, self._datastores = ctx, host, datastores
        self._executor: Executor = LocalExecutor()
        self._hypervisor: Hypervisor | None = None
        self._cpu_before: proc.CpuTime | None = None
        self._cpu_use = CpuUse()

    def take(self) -> Sample:
        """A sample now; one with `error` when the host cannot be asked."""
        now, hid = int(time.time()), self._host["id"]
        try:
            domains = self._domains()
            cpu = self._cpu_use.percent(domains, time.monotonic())
            return Sample(hid, now, host=self._facts(), vms=[sample(domain, cpu[domain.name]) for domain in domains],
                          datastores=self._space())
        except DriverError as error:
            self._hypervisor = None
            return Sample(hid, now, error=str(error))
        except Exception as error:
            self._hypervisor = None
            return Sample(hid, now, error=f"internal error in im/kvm: {type(error).__name__}: {error}")

    def _domains(self) -> list[Domain]:
        if self._hypervisor is None:
            self._hypervisor = read_hypervisor(self._ctx)
        return read_domains(self._ctx)

    def _facts(self) -> Doc:
        assert self._hypervisor is not None
        files = proc.split_files(self._run("tail", "-v", "-n", "+1", *proc.FILES))
        devices = proc.physical_devices(self._run(
            "find", "/sys/class/net", "-maxdepth", "1", "-type", "l", "-printf", "%f\t%l\n"))
        kind = hypervisor(self._ctx, self._host, self._executor)
        before, self._cpu_before = self._cpu_before, proc.cpu_time(files["/proc/stat"])
        return host_facts(self._hypervisor, kind, files, devices, before)

    def _space(self) -> list[Doc]:
        """Capacity of each datastore; of one not made yet, that of the place where it will be."""
        paths = [self._nearest(str(datastore["base_path"])) for datastore in self._datastores]
        found = proc.disk_space(self._run("df", "-P", "-k", "--", *paths)) if paths else []
        return [{"id": datastore["id"], "total_mb": total, "used_mb": used, "free_mb": free}
                for datastore, (total, used, free) in zip(self._datastores, found, strict=True)]

    def _nearest(self, path: str) -> str:
        while path not in ("", "/") and not self._executor.exists(path):
            path = path.rstrip("/").rpartition("/")[0]
        return path or "/"

    def _run(self, *argv: str) -> str:
        return self._executor.run(argv, timeout=COMMAND_SECONDS)


def host_facts(offered: Hypervisor, kind: str, files: dict[str, str], devices: frozenset[str],
               before: proc.CpuTime | None) -> Doc:
    """The `host` part of a sample from what libvirt offers and the texts of proc.FILES."""
    now = proc.cpu_time(files["/proc/stat"])
    total_kb, free_kb = proc.memory_kb(files["/proc/meminfo"])
    received, sent = proc.traffic(files["/proc/net/dev"], devices)
    model, speed = proc.cpu_model(files["/proc/cpuinfo"])
    total, used = 100 * now.cpus, proc.used_cpu(now, before)
    return {"hypervisor": kind, "hostname": offered.hostname, "arch": offered.arch, "version": offered.version,
            "total_cpu": total, "used_cpu": used, "free_cpu": total - used,
            "total_mem_kb": total_kb, "used_mem_kb": total_kb - free_kb, "free_mem_kb": free_kb,
            "netrx": received, "nettx": sent,
            "attrs": {"MODELNAME": model, "CPUSPEED": speed, "KVM_MACHINES": " ".join(offered.machines),
                      "KVM_CPU_MODELS": " ".join(offered.cpu_models)}}


def _key(host: Doc) -> str:
    return f"kvm.im.{host['id']}"


ACTIONS: dict[str, Action] = {"watch": watch, "unwatch": unwatch, "probe": probe}
