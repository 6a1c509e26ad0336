"""What oned's events mean for the snapshot: states to set, objects to read again or to forget.  Pure."""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from onecore.wire.states import Lcm, VmState
from scheduler.bodies import HOLDING, Vm

STATES: dict[str, tuple[int, int]] = {
    **{lcm.name: (int(VmState.ACTIVE), int(lcm)) for lcm in Lcm},
    **{state.name: (int(state), 0) for state in VmState if state != VmState.ACTIVE}}
"""A VM's state by the one name that events give it: (STATE, LCM_STATE)."""
_NO_MATTER = frozenset(f"one.vm.{verb}" for verb in (
    "update", "rename", "chmod", "chown", "lock", "unlock", "schedadd", "schedupdate", "scheddelete"))
"""Methods whose changes concern the match-maker only while the VM waits for a host."""


_MEMBERS = frozenset(f"one.user.{verb}" for verb in ("addgroup", "delgroup", "chgrp"))
"""Methods that change in which groups a user is."""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of oned's change log."""

    kind: str
    id: int
    what: str
    new: str = ""
    old: str = ""
    method: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """An answer of onecore.events."""

    last: int
    reset: bool
    events: tuple[Event, ...]


@dataclass(slots=True)
class Changes:
    """What to do to the snapshot."""

    states: dict[int, tuple[int, int]] = field(default_factory=dict)
    vms: set[int] = field(default_factory=set)
    gone_vms: set[int] = field(default_factory=set)
    hosts: set[int] = field(default_factory=set)
    datastores: bool = False
    clusters: bool = False
    groups: bool = False
    """VM groups."""
    rights: bool = False
    """What owners may use: their VMs' automatic requirements."""
    plans: bool = False
    """Plans of clusters, one of which may be asked for."""


def decode(text: str) -> Batch:
    """The answer of onecore.events; raises ValueError when it is not one."""
    try:
        told = json.loads(text)
        return Batch(int(told["last"]), bool(told["reset"]), tuple(map(_event, told["events"])))
    except (KeyError, TypeError) as error:
        raise ValueError(f"onecore.events answered something else: {error!r}") from None


def _event(row: Mapping[str, Any]) -> Event:
    return Event(str(row["kind"]).lower(), int(row["id"]), str(row["what"]), str(row.get("new") or ""),
                 str(row.get("old") or ""), str(row.get("method") or ""))


def digest(events: Iterable[Event], vms: Mapping[int, Vm]) -> Changes:
    """What EVENTS mean, given the VMs known so far."""
    changes = Changes()
    for event in events:
        if event.kind == "vm":
            _vm(changes, event, vms.get(event.id))
        elif event.kind == "host":
            changes.hosts.add(event.id)
        elif event.kind == "datastore":
            changes.datastores = changes.rights = True
        elif event.kind == "acl" or (event.kind == "user" and event.method in _MEMBERS):
            changes.rights = True
        elif event.kind == "cluster" and event.what == "plan":
            changes.plans |= event.new == "NONE"  # one that is asked for
        elif event.kind == "cluster":
            changes.clusters = True
        elif event.kind == "vmgroup":
            changes.groups = True
    changes.vms -= changes.gone_vms
    changes.states = {vm: state for vm, state in changes.states.items()
                      if vm not in changes.vms and vm not in changes.gone_vms}
    return changes


def _vm(changes: Changes, event: Event, known: Vm | None) -> None:
    state = STATES.get(event.new)
    if event.what == "delete" or (state and state[0] == VmState.DONE):
        changes.gone_vms.add(event.id)
    elif event.what == "state" and state and known and _plain(event, state, known):
        changes.states[event.id] = state
    elif not (known and not known.waits and event.what == "update" and event.method in _NO_MATTER):
        changes.vms.add(event.id)


def _plain(event: Event, state: tuple[int, int], known: Vm) -> bool:
    """Is the new state all that this event tells?  Not if the VM may wait for, or be on, another host now."""
    if state[0] == VmState.PENDING or "MIGRATE" in event.new or "MIGRATE" in event.old:
        return False
    if known.resched or known.to >= 0:  # most actions take the mark away
        return False
    return state[0] not in HOLDING or known.holds
