"""onecore.host.flush and onecore.host.drain: a host gets rid of its VMs, and says how far it is."""
from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from onecore.api import Request, method
from onecore.errors import WrongState
from onecore.kinds.host import drain as draining
from onecore.kinds.host import watch as watching
from onecore.kinds.host.record import Host
from onecore.kinds.kind import tree_of
from onecore.kinds.usage import usage
from onecore.kinds.vm.fire import fire, state_of
from onecore.kinds.vm.public import FAILED, S
from onecore.kinds.vm.record import History, Vm, VmText
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Outbox
from onecore.pool.store import Tx
from onecore.wire.states import HostState, vm_name


@method("onecore.host.flush", right="ADMIN", on="host")
def flush(req: Request, host: Host, on: bool = True) -> int:
    """Disable the host and have all VMs that are on it, or come to it, moved away until none is left; or stop that."""
    if not on:
        stop(req.tx, req.core, host)
        return host.oid
    if host.state in (HostState.ERROR, HostState.OFFLINE):
        raise WrongState(f"host {host.oid} ({host.name}) is in state {HostState(host.state).name}: guests on it cannot "
                         "be moved; flush needs MONITORED, INIT or DISABLED", host.oid)
    host = watching.fire(req.tx, req.core, host, "disable")
    host = req.tx.put(replace(host, drain=host.drain or req.core.now()))
    req.tx.log("host", host.oid, "update", keys=["DRAIN"])
    for vm in _on(req.core, host):
        if (vm.state, vm.lcm) in draining.MOVABLE and not vm.resched and vm.to_hid < 0:
            fire(req.tx, req.core, vm, "resched")
    draining.end_if_empty(req.tx, req.core, host)
    return host.oid


def stop(tx: Tx, core: Core, host: Host) -> None:
    """End a drain: what is on its way goes on, all others stay."""
    host = tx.get(Host, host.oid) or host
    if not host.drain:
        return
    tx.put(replace(host, drain=0))
    tx.log("host", host.oid, "update", keys=["DRAIN"])
    for vm in _on(core, host):
        if vm.resched and state_of(vm) in (S.RUNNING, S.UNKNOWN, S.POWEROFF):
            fire(tx, core, vm, "unresched")


def _on(core: Core, host: Host) -> list[Vm]:
    return [vm for oid in sorted(usage(core).by_host.of(host.oid)) if (vm := core.store.get(Vm, oid)) is not None]


# -- how far it is

@method("onecore.host.drain", right="USE", on="host", reads=True)
def drain(req: Request, host: Host) -> str:
    """Since when the host is drained (0: it is not), how many VMs it was rid of since, and which are left, and why."""
    rows = [{"vm": vm.oid, "name": vm.name, "state": vm_name(vm.state, vm.lcm), "why": why(req.core, vm)}
            for vm in _on(req.core, host)] if host.drain else []
    return json.dumps({"host": host.oid, "since": host.drain, "moved": _moved(req.core, host), "left": rows})


def _moved(core: Core, host: Host) -> int:
    """VMs that were on the host since its drain began and are on another one."""
    if not host.drain:
        return 0
    known: dict[int, tuple[Any, int]] = core.kinds.setdefault("host.moved", {})
    made_of = host.drain, usage(core).sums.version(host.oid)
    found = known.get(host.oid)
    if found is None or found[0] != made_of:
        found = known[host.oid] = made_of, len(_gone(core, host))
    return found[1]


def _gone(core: Core, host: Host) -> set[int]:
    stays = {stay.vid for stay in core.store.all(History) if stay.hid == host.oid and stay.etime >= host.drain}
    return {vid for vid in stays if (vm := core.store.get(Vm, vid)) is not None and vm.hid not in (-1, host.oid)}


def why(core: Core, vm: Vm) -> str:
    """Why a VM is still on a host that is drained."""
    state = state_of(vm)
    if vm.to_hid >= 0 and vm.op:
        return _on_its_way(core, vm)
    if vm.resched:
        return _waits(core, vm)
    if vm.op:
        return f"{vm.op_kind.replace('_', '-')} is under way"
    if state in FAILED:
        return f"it failed: {vm.error}; recover it" if vm.error else "it failed; recover it"
    return _RESTS.get(state, "it is moved once it runs")


_RESTS = {S.RUNNING: "its mark to be moved was taken away; onevm resched sets it",
          S.POWEROFF: "its mark to be moved was taken away; onevm resched sets it",
          S.UNKNOWN: "nobody can say whether it runs; it is moved once that is known",
          S.SUSPENDED: "it is suspended; resume it, or move it with onevm migrate"}


def _on_its_way(core: Core, vm: Vm) -> str:
    host, box = core.store.get(Host, vm.to_hid), core.store.get(Outbox, vm.op)
    step = core.dispatcher.step(box) if box is not None else None
    far = f", {100 * step.done // step.total} %" if step is not None and step.total > 0 else ""
    return f"on its way to host {vm.to_hid} ({host.name if host else 'gone'}){far}"


def _waits(core: Core, vm: Vm) -> str:
    text = core.store.get(VmText, vm.oid)
    said = tree_of(text.user).get("SCHED_MESSAGE") if text is not None else ""
    told = [part for part in (said, vm.error and f"last error: {vm.error}") if part]
    return "; ".join(told) or "waits for its turn"
