"""How hosts change their state, by the table of states.py; what their VMs and the log see of it."""
from __future__ import annotations

import re
from dataclasses import replace

from onecore.kinds.host.record import Host
from onecore.kinds.host.states import HOST
from onecore.kinds.usage import usage
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor, Tx
from onecore.wire.states import HostState, Lcm, VmState

SILENT = "nothing heard for {:.0f} s"
_SILENT = re.compile(r"nothing heard for \d+ s\Z")
_MONITOR = Actor(method="monitor")


def fire(tx: Tx, core: Core, host: Host, event: str, error: str = "") -> Host:
    """Move a host by one event; its VMs follow."""
    line = HOST.decide(HostState(host.state), host, event)
    if line.ignore or line.target is None:
        return host
    moved = tx.put(replace(host, state=int(line.target), prev_state=host.state, error=error))
    tx.log("host", host.oid, "state", HostState(host.state).name, line.target.name)
    if event == "lost":
        core.log.warning(f"host {host.oid} ({host.name}) is in ERROR: {error}")
    if event in ("lost", "offline"):
        lose_vms(tx, core, host)
    return moved


def ail(core: Core, host: Host, error: str) -> None:
    """HOST cannot be asked: ERROR, and what is wrong.  One that is DISABLED stays so, but its ERROR text says it."""
    with core.store.tx(_MONITOR) as tx:
        if host.state in (HostState.INIT, HostState.MONITORED):
            fire(tx, core, host, "lost", error)
        elif host.state == HostState.DISABLED and not host.error:
            core.log.warning(f"host {host.oid} ({host.name}) is DISABLED and cannot be asked: {error}")
            _say(tx, host, error)
            lose_vms(tx, core, host)
        elif _SILENT.match(host.error) and not _SILENT.match(error):
            _say(tx, host, error)  # the reason, at last


def heal(tx: Tx, core: Core, host: Host) -> Host:
    """A good sample came: back from ERROR; a DISABLED host has no ERROR text any more."""
    if host.state == HostState.DISABLED and host.error:
        return _say(tx, host, "")
    return fire(tx, core, host, "seen")


def lose_vms(tx: Tx, core: Core, host: Host) -> None:
    """Nobody can say how the host's VMs are: those that should run are UNKNOWN."""
    for oid in sorted(usage(core).by_host.of(host.oid)):
        vm = core.store.get(Vm, oid)
        if vm is not None and (vm.state, vm.lcm) == (VmState.ACTIVE, Lcm.RUNNING):
            core.kinds["vm.observe"](tx, oid, "seen_lost")


def _say(tx: Tx, host: Host, error: str) -> Host:
    tx.log("host", host.oid, "update", keys=["ERROR"])
    return tx.put(replace(host, error=error))
