"""one.vm.migrate: a VM goes to another host, another datastore, or both; what keeps it from that is said before."""
from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from onecore.api import Request, method
from onecore.auth.authorize import authorize
from onecore.errors import BadArgument, WrongState
from onecore.kinds import verbs
from onecore.kinds.cluster import cluster_ids
from onecore.kinds.datastore import Datastore
from onecore.kinds.host.record import Host
from onecore.kinds.kind import rules, tree_of
from onecore.kinds.vm import affinity
from onecore.kinds.vm.commands import question
from onecore.kinds.vm.fire import fire, state_of
from onecore.kinds.vm.placing import check_owed, check_room, check_seen
from onecore.kinds.vm.ports import check_free
from onecore.kinds.vm.record import Vm, VmText, moment
from onecore.kinds.vm.states import VM, S
from onecore.wire.messages import Result
from onecore.wire.states import NOT_LIVE, DatastoreType, HostState

SECONDS = 60.0
"""How long the drivers have to find out what keeps a VM from moving."""
KINDS_OF_MOVE = ("migrate", "migrate_poff", "migrate_poff_hard")
"""migration_type: 0 saves the guest, 1 shuts it down, 2 ends it."""


@dataclass(frozen=True, slots=True)
class Move:
    """Where to and how: `event` is the state table's, `before` what the VM is now."""

    host: Host
    datastore: Datastore
    event: str
    before: S

    @property
    def live(self) -> bool:
        """Whether the guest runs on."""
        return self.event == "live_migrate"

    @property
    def keeps_state(self) -> bool:
        """Whether the guest goes on from where it was, as it runs or by its checkpoint, and does not start anew."""
        return self.live or (self.event == "migrate" and self.before in (S.RUNNING, S.SUSPENDED))


@dataclass(frozen=True, slots=True)
class Asked:
    """What both drivers found that keeps a VM, as it was then (`moment`), from moving; nothing, if that is empty."""

    moment: tuple[object, ...]
    problems: list[str]


def _moment(vm: Vm, move: Move) -> tuple[object, ...]:
    return move.event, *moment(vm)


def _move(req: Request, vm: Vm, host_id: int, live: bool, enforce: bool, ds_id: int, kind: int, marked: bool) -> Move:
    """What is asked for, if it may be; raises what the call is answered with."""
    if marked and not vm.resched:
        raise WrongState(f"VM {vm.oid} is not marked to be moved", vm.oid)
    if not 0 <= kind < len(KINDS_OF_MOVE):
        raise BadArgument(f"migration_type must be 0 (save), 1 (poweroff) or 2 (poweroff-hard), not {kind}", vm.oid)
    running = state_of(vm) is S.RUNNING
    event = "migrate" if not running else "live_migrate" if live else KINDS_OF_MOVE[kind]
    VM.decide(state_of(vm), vm, event)
    move = Move(_host(req, vm, host_id), _datastore(req, vm, host_id, ds_id), event, state_of(vm))
    _check_sense(req, vm, move)
    if enforce and move.host.oid != vm.hid:
        check_room(req.core, vm, move.host, move.datastore)
        affinity.check(req.core, vm, move.host)
    check_owed(req, vm, move.host, False)
    check_seen(req, vm, False)
    if move.keeps_state:
        check_free(req.core, vm, move.host)
    return move


def _host(req: Request, vm: Vm, host_id: int) -> Host:
    host: Host = verbs.existing("host", req.core, host_id)
    authorize(req.caller, "MANAGE", "host", host, rules(req.core))
    if host.state not in (HostState.MONITORED, HostState.DISABLED):
        raise WrongState(f"Host {host_id} ({host.name}) is in state {HostState(host.state).name}, "
                         "migrating needs MONITORED or DISABLED", host_id)
    here: Any = req.core.store.get(Host, vm.hid)
    if here is not None and here.vm_mad != host.vm_mad:
        raise WrongState(f"Host {host_id} ({host.name}) has VM driver {host.vm_mad}, host {here.oid} has {here.vm_mad}",
                         host_id)
    return host


def _datastore(req: Request, vm: Vm, host_id: int, ds_id: int) -> Datastore:
    found: Datastore = verbs.existing("datastore", req.core, vm.ds_id if ds_id == -1 else ds_id)
    host: Host = verbs.existing("host", req.core, host_id)
    if found.oid != vm.ds_id:
        authorize(req.caller, "USE", "datastore", found, rules(req.core))
    if found.type != DatastoreType.SYSTEM:
        raise BadArgument(f"datastore {found.oid} ({found.name}) is not a SYSTEM_DS", found.oid)
    if found.state != 0 and found.oid != vm.ds_id:
        raise WrongState(f"datastore {found.oid} ({found.name}) is DISABLED", found.oid)
    if host.cid not in cluster_ids(found.clusters):
        raise WrongState(f"datastore {found.oid} ({found.name}) is not in cluster {host.cid} of host {host.oid} "
                         f"({host.name}); name another one", found.oid)
    return found


def _check_sense(req: Request, vm: Vm, move: Move) -> None:
    """Raise WrongState for a move to where the VM is, or that no running guest can make."""
    elsewhere, other_store = move.host.oid != vm.hid, move.datastore.oid != vm.ds_id
    if not elsewhere and not other_store:
        raise WrongState(f"VM {vm.oid} is on host {vm.hid} and in datastore {vm.ds_id} already", vm.oid)
    if not move.live:
        return
    if elsewhere and other_store:
        raise WrongState("a live migration changes the host or the datastore, not both at once; move one after the "
                         "other, or without --live", vm.oid)
    text = req.core.store.get(VmText, vm.oid)
    topology = tree_of(text.template).vector("TOPOLOGY") if text else None
    if topology and topology.get("PIN_POLICY", "NONE").upper() not in ("", "NONE"):
        raise WrongState(f"VM {vm.oid} {NOT_LIVE}: it is pinned to cores of its host (TOPOLOGY/PIN_POLICY)", vm.oid)


async def _problems(req: Request, vm: Vm, host_id: int, live: bool, enforce: bool, ds_id: int,
                    migration_type: int, marked: bool = False) -> Asked:
    """Ask both drivers what keeps the VM from moving."""
    move = _move(req, vm, host_id, live, enforce, ds_id, migration_type, marked)
    going = replace(vm, to_hid=move.host.oid, to_cid=move.host.cid, to_ds=move.datastore.oid)
    told = {"live": move.live, "keeps_state": move.keeps_state}
    answers = await asyncio.gather(*(req.core.dispatcher.question(family, question(
        req.core, going, family, "premigrate", SECONDS, told, req.rid)) for family in ("vm", "tm")))
    return Asked(_moment(vm, move), [problem for answer in answers for problem in _told(answer)])


def _told(answer: Result) -> list[str]:
    return [str(problem) for problem in answer.data.get("problems", ())] if answer.ok else [answer.error]


@method("one.vm.migrate", right="ADMIN", on="vm", prepare=_problems)
def migrate(req: Request, vm: Vm, host_id: int, live: bool = False, enforce: bool = False, ds_id: int = -1,
            migration_type: int = 0, marked: bool = False) -> int:
    """Move the VM to a host and a system datastore (-1: the one it is in).

    ENFORCE: only if there is room and its VM group agrees.

    LIVE moves a running guest as it runs; else MIGRATION_TYPE says how it is stopped: 0 save, 1 poweroff,
    2 poweroff-hard.  MARKED: only if it is marked to be moved, and still is when the hosts have been asked, as the
    match-maker saw it; who took the mark away since then had it stay.
    """
    move = _move(req, vm, host_id, live, enforce, ds_id, migration_type, marked)
    asked: Asked = req.prepared
    if asked.moment != _moment(vm, move):
        raise WrongState(f"VM {vm.oid} changed while hosts were asked, it is in state {state_of(vm).name} now", vm.oid)
    if asked.problems:
        cannot = NOT_LIVE if move.live else "cannot move"
        raise WrongState(f"VM {vm.oid} {cannot} to host {host_id} ({move.host.name}): {'; '.join(asked.problems)}",
                         vm.oid)
    fire(req.tx, req.core, vm, move.event, host=move.host, datastore=move.datastore)
    return vm.oid
