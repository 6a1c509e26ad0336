"""im/kvm: how KVM hosts are, pushed by a probe that is sent to each; surveys and checks by programs sent on demand."""
from __future__ import annotations

import threading
import time
from dataclasses import asdict

from drivers.base import Action, Context, Permanent, Temporary
from drivers.im.check import check
from drivers.im.programs import PROBE, SURVEY, ask, uri_of
from drivers.im.sample import Samples
from drivers.im.starts import Starts
from drivers.im.watch import Watch
from drivers.timers import timers
from drivers.vm.hypervisor import hypervisor_as_it_runs
from onecore.wire.messages import Doc

PERIOD = 10.0


def watch(ctx: Context, args: Doc) -> Doc:
    """A sample at once and one every `period` seconds; a watch again takes the first one's place."""
    host, period = args["host"], float(args.get("period") or PERIOD)
    argument = _argument(ctx, args, period)
    made = Watch(lambda hear: ctx.lasting(host).start(PROBE, argument, hear), _samples(ctx, host), ctx.emit, period,
                 ctx.keep("im.kvm.starts", Starts))
    watches = _watches(ctx)
    watches.put(host["id"], made)
    timers(ctx).start(_key(host), made.tick(), lambda: watches.tick(host["id"]))
    return {}


def unwatch(ctx: Context, args: Doc) -> Doc:
    """No more samples of the host; its probe ends."""
    timers(ctx).stop(_key(args["host"]))
    _watches(ctx).put(args["host"]["id"], None)
    return {}


def probe(ctx: Context, args: Doc) -> Doc:
    """One sample as the answer; its `error` says why there is none."""
    samples = _samples(ctx, args["host"])
    try:
        sample = samples.heard(ask(ctx, args["host"], PROBE, _argument(ctx, args, PERIOD)))
    except Temporary as error:
        sample = samples.failed(str(error))
    return {"sample": asdict(sample)}


def survey(ctx: Context, args: Doc) -> Doc:
    """All domains, directories of VMs and taps that nobody uses on the host now."""
    datastores = [{"id": each["id"], "base_path": each["base_path"]} for each in args.get("datastores") or []]
    return ask(ctx, args["host"], SURVEY, {"uri": uri_of(ctx), "datastores": datastores})


class Watches:
    """The watches of this process by host id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: dict[int, Watch] = {}

    def put(self, hid: int, watch: Watch | None) -> None:
        """WATCH takes the place of another of the host, None ends that."""
        with self._lock:
            old = self._watches.pop(hid, None)
            if watch is not None:
                self._watches[hid] = watch
        if old is not None:
            old.close()

    def tick(self, hid: int) -> float:
        """Let the host's watch do what is due; seconds until the next call."""
        watch = self._watches.get(hid)
        return watch.tick() if watch is not None else PERIOD

    def close(self) -> None:
        """End all probes."""
        with self._lock:
            watches = list(self._watches.values())
            self._watches.clear()
        for watch in watches:
            watch.close()


def _watches(ctx: Context) -> Watches:
    return ctx.keep("im.kvm.watches", Watches)


def _samples(ctx: Context, host: Doc) -> Samples:
    return Samples(host["id"], lambda running: hypervisor_as_it_runs(ctx, host, running), time.time)


def _argument(ctx: Context, args: Doc, period: float) -> Doc:
    """What the probe is told: capacity is asked of datastores that are not shared."""
    if period <= 0:
        raise Permanent(f"a period of {period:g} s")
    datastores = [{"id": each["id"], "base_path": str(each["base_path"])} for each in args.get("datastores") or []
                  if not each.get("shared")]
    return {"period": period, "uri": uri_of(ctx), "datastores": datastores}


def _key(host: Doc) -> str:
    return f"kvm.im.{host['id']}"


ACTIONS: dict[str, Action] = {"watch": watch, "unwatch": unwatch, "probe": probe, "survey": survey, "check": check}
