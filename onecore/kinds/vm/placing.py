"""Where a VM runs: deploy puts it on a host, and what has to be so before a guest may start there."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from onecore.api import Request, method
from onecore.auth.authorize import authorize
from onecore.errors import BadArgument, Forbidden, NotAllocated, WrongState
from onecore.kinds import verbs
from onecore.kinds.datastore import Datastore
from onecore.kinds.host.debts import is_paying
from onecore.kinds.host.record import Host, samples
from onecore.kinds.host.room import lacks
from onecore.kinds.kind import changing, inner_xml, parse_template, rules, tree_of
from onecore.kinds.vm import affinity
from onecore.kinds.vm.fire import fire, state_of
from onecore.kinds.vm.record import Vm, VmText
from onecore.kinds.vm.states import S
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Owed
from onecore.wire.states import DatastoreType, HostState


@method("one.vm.deploy", right="ADMIN", on="vm")
def deploy(req: Request, vm: Vm, host_id: int, enforce: bool = False, ds_id: int = -1, extra_template: str = "",
           force: bool = False, waits: bool = False) -> int:
    """Start the VM on a host; with ENFORCE only if there is room and its VM group agrees.

    DS_ID -1: the VM's, or one of the host's cluster.

    FORCE (administrators): even if another host, which owes the VM's end, may still run it.
    WAITS: only if it still waits to be placed, as the match-maker saw it; a hold that came since then stays.
    """
    if waits and state_of(vm) is not S.PENDING:
        raise WrongState(f"VM {vm.oid} is in state {state_of(vm).name} and waits for no host", vm.oid)
    host: Host = verbs.existing("host", req.core, host_id)
    authorize(req.caller, "MANAGE", "host", host, rules(req.core))
    if host.state not in (HostState.MONITORED, HostState.DISABLED):
        raise WrongState(f"Host {host_id} ({host.name}) is in state {HostState(host.state).name}, "
                         "deploying needs MONITORED or DISABLED", host_id)
    datastore = _system_datastore(req, vm, host, ds_id)
    if enforce:
        check_room(req.core, vm, host, datastore)
        affinity.check(req.core, vm, host)
    check_owed(req, vm, host, force)
    check_seen(req, vm, force)
    info: dict[str, Any] = {"host": host, "datastore": datastore}
    if extra_template.strip():
        with changing():
            extra = parse_template(extra_template, "extra_template")
        info["scheduled"] = lambda text: replace(
            text, user=inner_xml(tree_of(text.user).merged(extra).without(["SCHED_MESSAGE"])))
    elif b"SCHED_MESSAGE" in req.core.store.get(VmText, vm.oid).user:  # type: ignore[union-attr]
        info["scheduled"] = lambda text: replace(text, user=inner_xml(tree_of(text.user).without(["SCHED_MESSAGE"])))
    fire(req.tx, req.core, vm, "deploy", **info)
    return vm.oid


def check_owed(req: Request, vm: Vm, host: Host, force: bool) -> None:
    """Raise WrongState if an older copy may run, unless another host that has it is fenced, or FORCE says it is off."""
    if force and not req.caller.admin:
        raise Forbidden("Only administrators deploy with force.", vm.oid)
    if is_paying(req.core, host.oid, vm.oid):
        raise WrongState(f"Host {host.oid} ({host.name}) is cleaning up what VM {vm.oid} left there; try again in a "
                         "moment", vm.oid)
    disabled = host.state == HostState.DISABLED  # it pays, but nothing waits for that; where it is ON a start replaces
    owing = [o for o in req.core.store.all(Owed)
             if o.vid == vm.oid and (disabled if o.hid == host.oid else not o.fenced)]
    if not owing:
        return
    old = req.core.store.get(Host, owing[0].hid)
    where = f"host {owing[0].hid}" + (f" ({old.name})" if old else "")
    if not force:
        raise WrongState(f"VM {vm.oid} may still run on {where}, which owes its clean-up; an administrator who is sure "
                         "that it does not may deploy it with force", vm.oid)
    text = f"deployed with force by user {req.caller.uid} although {where} owes its clean-up"
    req.core.log.warning(f"VM {vm.oid} is {text}", req.rid)
    req.core.log.vm(vm.oid, text, req.rid, "warning")


def check_alone(core: Core, vm: Vm) -> None:
    """Raise WrongState if a guest of the VM, which is to start where it is, may run elsewhere.

    A host shows it, or owes its end and cannot be asked.
    """
    if text := _strays(core, vm):
        raise WrongState(f"VM {vm.oid} could run twice: {text}; `onehost reconcile` may end it", vm.oid)
    for owed in core.store.all(Owed):
        host = core.store.get(Host, owed.hid)
        if owed.vid == vm.oid and owed.hid != vm.hid and not owed.fenced and host is not None and (
                host.state not in (HostState.MONITORED, HostState.DISABLED)):
            raise WrongState(f"VM {vm.oid} may still run on host {host.oid} ({host.name}), which owes its clean-up and "
                             f"is in state {HostState(host.state).name}; fence that host, or remove it", vm.oid)


def _strays(core: Core, vm: Vm) -> str:
    """On which hosts, by their latest samples, is a guest of the VM which should not run, in words."""
    seen = [hid for hid, found in samples(core).found.items() if f"one-{vm.oid}" in found.zombies]
    where = ", ".join(map(str, sorted(seen)))
    return f"a guest one-{vm.oid} runs on host {where}, where it should not be" if seen else ""


def check_seen(req: Request, vm: Vm, force: bool) -> None:
    """Raise WrongState if a host, by its latest sample, has a guest of the VM which should not run, unless FORCE."""
    text = _strays(req.core, vm)
    if not text:
        return
    if not force:
        raise WrongState(f"VM {vm.oid} could run twice: {text}; `onehost reconcile` may end it, or an administrator "
                         "who is sure that it does no harm may deploy the VM with force", vm.oid)
    req.core.log.warning(f"VM {vm.oid} is deployed with force by user {req.caller.uid} although {text}", req.rid)
    req.core.log.vm(vm.oid, f"deployed with force by user {req.caller.uid} although {text}", req.rid, "warning")


def _system_datastore(req: Request, vm: Vm, host: Host, ds_id: int) -> Datastore:
    if vm.came and ds_id in (-1, vm.ds_id):
        ds_id = vm.ds_id
    elif vm.came:
        raise BadArgument(f"VM {vm.oid} has its disks in datastore {vm.ds_id}, not in {ds_id}", vm.oid)
    if ds_id != -1:
        found: Datastore = verbs.existing("datastore", req.core, ds_id)
        if ds_id != vm.ds_id:
            authorize(req.caller, "USE", "datastore", found, rules(req.core))
        if found.type != DatastoreType.SYSTEM:
            raise BadArgument(f"datastore {ds_id} ({found.name}) is not a SYSTEM_DS", ds_id)
        return found
    for found in sorted(req.core.store.all(Datastore), key=lambda d: d.oid):
        if found.type == DatastoreType.SYSTEM and found.state == 0 and str(host.cid) in found.clusters.split():
            return found
    raise NotAllocated(f"no SYSTEM_DS is in cluster {host.cid} of host {host.oid}")


def check_room(core: Core, vm: Vm, host: Host, datastore: Datastore) -> None:
    """Raise WrongState naming what the host or the datastore has too little of."""
    short = [] if vm.hid == host.oid else lacks(core, vm, host, datastore)
    if short:
        raise WrongState(f"Not enough capacity on host {host.oid} ({host.name}): {'; '.join(short)}", vm.oid)
