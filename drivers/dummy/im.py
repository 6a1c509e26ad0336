"""Samples of dummy hosts: capacity by script or host attributes, guests by their files; one timer for all hosts."""
from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from drivers.base import Action, Context, DriverError
from drivers.dummy.ds import capacity
from drivers.dummy.guest import INCOMING, Guest
from drivers.dummy.script import Script
from drivers.dummy.shelf import shelf
from drivers.dummy.stage import Stage, act, stage
from drivers.dummy.world import World, world
from drivers.timers import timers
from onecore.wire.messages import Doc, Sample

_PERIOD = 60.0
_CHECKS = ("ssh", "python", "root", "libvirt", "qemu", "tools", "clock", "versions")
"""What the driver of KVM hosts checks, too."""


def watch(ctx: Context, args: Doc) -> Doc:
    """A sample at once and one every `period` seconds; a watch again takes the first one's place."""
    act(ctx, "im.watch", args["host"])
    here, guests, emit = stage(ctx), world(ctx), ctx.emit
    period = float(args.get("period") or _PERIOD)

    def turn() -> float:
        sample = take(here, guests, args["host"], args.get("datastores") or [])
        if sample:
            emit(sample)
        return period

    timers(ctx).start(_key(args["host"]), turn(), turn)
    return {}


def unwatch(ctx: Context, args: Doc) -> Doc:
    """No more samples of the host."""
    timers(ctx).stop(_key(args["host"]))
    return {}


def probe(ctx: Context, args: Doc) -> Doc:
    """One sample as the answer."""
    act(ctx, "im.probe", args["host"])
    sample = take(stage(ctx), world(ctx), args["host"], args.get("datastores") or [])
    return {"sample": asdict(sample)} if sample else {}


def survey(ctx: Context, args: Doc) -> Doc:
    """All guests by their files, the script's wild domains, and what was left by its files."""
    host = args["host"]
    act(ctx, "im.survey", host)
    name, here = host["name"], world(ctx)
    guests = [{"name": f"one-{vm}", "id": vm, "generation": guest.generation, "uuid": "", "state": guest.state}
              for vm, guest in sorted(here.guests(name).items())]
    wild = [{"name": each, "id": -1, "generation": -1, "uuid": "", "state": "running"}
            for each in stage(ctx).script().wild_on(name)]
    bases = {each["id"]: str(each["base_path"]) for each in args.get("datastores") or []}
    dirs = [{"ds": ds, "vm": vm, "path": f"{bases[ds]}/{vm}", "size_mb": size}
            for ds, vm, size in [*here.dirs(name), *shelf(ctx, "im").sizes(name)] if ds in bases]
    return {"domains": guests + wild, "dirs": dirs, "taps": here.taps(name)}


def check(ctx: Context, args: Doc) -> Doc:
    """All is well, but for what the script says."""
    host = args["host"]
    act(ctx, "im.check", host)
    names = [*_CHECKS, *(f"storage {each['id']}" for each in args.get("datastores") or []),
             *(f"bridge {name}" for name in args.get("bridges") or [])]
    found = {name: {"name": name, "ok": True, "found": "dummy", "fix": ""} for name in names}
    found.update((each["name"], dict(each)) for each in stage(ctx).script().checks_of(host["name"]))
    return {"checks": list(found.values())}


def take(here: Stage, guests: World, host: Doc, datastores: list[Doc]) -> Sample | None:
    """The host's sample, with the error that the script gives `im.sample`; none when that hangs."""
    now = int(time.time())
    try:
        fate = here.fate("im.sample", host, None)
        script = here.script()
    except DriverError as error:
        return Sample(host["id"], now, str(error))
    if fate.hang:
        return None
    if fate.fail:
        return Sample(host["id"], now, fate.fail)
    running = {vm: guest for vm, guest in guests.guests(host["name"]).items() if guest.state != INCOMING}
    attributes = host.get("attrs") or {}
    disk_mb = _number(attributes, "DUMMY_DISK_MB", script.disk_mb)
    return Sample(host["id"], now, host=facts(script, host, running.values()),
                  vms=[*(_vm(vm, guest) for vm, guest in running.items()),
                       *(_wild(name) for name in script.wild_on(host["name"]))],
                  datastores=[{"id": datastore["id"], **capacity(disk_mb)} for datastore in datastores
                              if not datastore.get("shared")])


def facts(script: Script, host: Doc, running: Any) -> Doc:
    """Capacity and what the running guests use of it: all that they asked for."""
    attributes = host.get("attrs") or {}
    cpu = _number(attributes, "DUMMY_CPU", script.cpu)
    memory_kb = _number(attributes, "DUMMY_MEMORY", script.memory_mb) * 1024
    used = [guest for guest in running if guest.state == "running"]
    used_cpu = min(cpu, round(sum(guest.cpu for guest in used) * 100))
    used_kb = min(memory_kb, sum(guest.memory_kb for guest in used))
    return {"hypervisor": "dummy", "hostname": host["name"], "arch": "x86_64", "version": "1", "total_cpu": cpu,
            "total_mem_kb": memory_kb, "free_cpu": cpu - used_cpu, "free_mem_kb": memory_kb - used_kb,
            "used_cpu": used_cpu, "used_mem_kb": used_kb, "netrx": 0, "nettx": 0,
            "clock_skew": _skew(attributes, script.clock_skew), "libvirt": "1", "python": platform.python_version(),
            "attrs": {"MODELNAME": "Dummy CPU", "CPUSPEED": "2000"}}


def _vm(vm: int, guest: Guest) -> Doc:
    running = guest.state == "running"
    return {"id": vm, "generation": guest.generation, "state": guest.state, "cpu": guest.cpu * 100 if running else 0.0,
            "memory_kb": guest.memory_kb if running else 0, "netrx": 0, "nettx": 0, "diskrdbytes": 0, "diskwrbytes": 0,
            "diskrdiops": 0, "diskwriops": 0, "disk_size": []}


def _wild(name: str) -> Doc:
    return {**_vm(-1, Guest(-1, "running", 0.0)), "deploy_id": name}


def _number(attributes: Mapping[str, Any], name: str, default: int) -> int:
    try:
        return int(attributes.get(name, default))
    except (TypeError, ValueError):
        return default


def _skew(attributes: Mapping[str, Any], default: float) -> float:
    try:
        return float(attributes.get("DUMMY_CLOCK_SKEW", default))
    except (TypeError, ValueError):
        return default


def _key(host: Doc) -> str:
    return f"dummy.im.{host['id']}"


ACTIONS: dict[str, Action] = {"watch": watch, "unwatch": unwatch, "probe": probe, "survey": survey, "check": check}
