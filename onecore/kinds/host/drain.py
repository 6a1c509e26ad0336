"""Hosts that are being drained: VMs that come to rest there are to be moved, and the drain ends with the last of them.

The records are the truth: Host.drain, and the VMs' RESCHED.  kinds/host/flush.py begins and shows it.
"""
from __future__ import annotations

from dataclasses import replace

from onecore.kinds.host.record import Host
from onecore.kinds.usage import usage
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx
from onecore.wire.states import Lcm, VmState

MOVABLE = {(VmState.ACTIVE, Lcm.RUNNING), (VmState.POWEROFF, Lcm.LCM_INIT)}
"""States from which a drain moves a VM.  Not UNKNOWN: its guest may be well, and would be ended to be started again."""


def follow(tx: Tx, core: Core, vm: Vm, event: str) -> Vm:
    """VM is as it will be kept after EVENT: marked to be moved, if it came to rest on a host that is drained."""
    host = tx.get(Host, vm.hid) if vm.hid >= 0 and not vm.resched and event != "unresched" else None
    if host is None or not host.drain or vm.op or vm.to_hid >= 0 or (vm.state, vm.lcm) not in MOVABLE:
        return vm
    tx.log("vm", vm.oid, "update", keys=["RESCHED"])
    return replace(vm, resched=1)


def left(tx: Tx, core: Core, old: Vm, vm: Vm) -> None:
    """VM was kept: if it was the last that was on a drained host, or on its way there, the drain is over."""
    if (old.hid, old.to_hid) == (vm.hid, vm.to_hid):
        return
    for hid in {old.hid, old.to_hid} - {vm.hid, vm.to_hid, -1}:
        host = tx.get(Host, hid)
        if host is not None and host.drain:
            end_if_empty(tx, core, host)


def end_if_empty(tx: Tx, core: Core, host: Host) -> Host:
    """The host with its drain over, if no VM is on it any more."""
    if usage(core).by_host.of(host.oid) or usage(core).arriving.of(host.oid):
        return host
    tx.log("host", host.oid, "update", keys=["DRAIN"])
    tx.after(lambda: core.log.info(f"host {host.oid} ({host.name}) is drained: no VM is on it", tx.actor.rid))
    return tx.put(replace(host, drain=0))
