"""Hosts: the kind and its methods."""
from __future__ import annotations

import asyncio
import re
from dataclasses import replace

from onecore.api import Body, Request, method
from onecore.errors import BadArgument, NotAllocated, WrongState
from onecore.kinds import verbs
from onecore.kinds.cluster import check_reserved, of_new
from onecore.kinds.host import debts, secrets
from onecore.kinds.host import watch as watching
from onecore.kinds.host.body import SEEN, body, record_xml
from onecore.kinds.host.record import Host, capacity, samples
from onecore.kinds.kind import KINDS, Kind, changing, check_name, inner_xml, tree_of
from onecore.kinds.usage import usage
from onecore.wire.states import HostState
from onecore.wire.template import Tree
from onecore.wire.xmlrpc import escape_bytes

HOST = Kind("host", "HOST", Host, "one.host", "one.hostpool", body, owned=False, unique="all")
KINDS["host"] = HOST
_NAME = re.compile(r"[\w\[][\w.:@%\[\]-]*\Z")


def _updated(req: Request, host: Host, old: Tree, new: Tree) -> Host:
    """What monitoring tells stays monitoring's, though an editor hands it back with the rest."""
    check_reserved(new)
    new.remove(*SEEN, *(name for name, value in tree_of(host.facts) if new.get(name) == value))
    secrets.keep(old, new)
    kept = replace(host, facts=inner_xml(tree_of(host.facts).without(new.names())), template=inner_xml(new))
    req.tx.after(lambda: watching.watch(req.core, kept))
    return kept


verbs.declare(HOST, "info", "pool", "update", on_update=_updated, update_right="ADMIN")


def _checked_name(req: Request, name: str, oid: int = -1) -> str:
    if name and not _NAME.match(name):
        raise NotAllocated(f"NAME of a host must be how it is reached, without blanks and slashes, not {name[:40]!r}")
    return check_name(req.tx, req.core, HOST, name, -1, oid)


@method("one.host.rename", right="ADMIN", on="host")
def rename(req: Request, host: Host, name: str) -> int:
    """Give the host another name, which is also where drivers reach it from now on."""
    with changing():
        _checked_name(req, name, host.oid)
    moved = req.tx.put(replace(host, name=name))
    req.tx.log("host", host.oid, "update", old=host.name, new=name, keys=["NAME"])

    def follow() -> None:
        watching.unwatch(req.core, host)
        watching.watch(req.core, moved)
    req.tx.after(follow)
    return host.oid


@method("one.host.allocate")
def allocate(req: Request, name: str, im_mad: str, vm_mad: str, cluster_id: int = -1) -> int:
    """Add a host (cluster -1: the default one) and begin to watch it."""
    verbs.require_create(req, "host")
    cid = of_new(req, cluster_id)
    _checked_name(req, name)
    for field, value in (("im_mad", im_mad), ("vm_mad", vm_mad)):
        if not value:
            raise NotAllocated(f"{field} must name a driver, such as kvm or dummy")
    oid = req.tx.next_id("host")
    host = req.tx.put(Host(oid, name, int(HostState.INIT), 0, im_mad, vm_mad, cid, 0, 0, b"", b"", ""))
    req.tx.log("host", oid, "create", new=name)
    req.tx.after(lambda: watching.watch(req.core, host))
    return oid


@method("one.host.delete", right="ADMIN", on="host")
def delete(req: Request, host: Host) -> int:
    """Remove a host on which no VM is, and to which none is on its way."""
    found = usage(req.core)
    vms = found.by_host.of(host.oid) | found.arriving.of(host.oid)
    if vms:
        raise BadArgument(f"Can not remove a host with running VMs: {', '.join(map(str, sorted(vms)[:10]))}", host.oid)
    if owes := debts.describe(req.core, host):  # the administrator says that it is gone for good
        req.core.log.warning(f"host {host.oid} ({host.name}) is deleted by user {req.caller.uid} although it owes "
                             f"{', '.join(owes)}", req.rid)
    for owed in debts.debts(req.core, host.oid):
        req.tx.delete(owed)
    verbs.remove(req.tx, HOST, host)
    req.tx.after(lambda: watching.unwatch(req.core, host))
    return host.oid


@method("one.host.status", right="ADMIN", on="host")
def status(req: Request, host: Host, status: int) -> int:
    """Enable (0), disable (1: no scheduled deployments) or take offline (2: not watched either)."""
    events = {0: "enable", 1: "disable", 2: "offline"}
    if status not in events:
        raise BadArgument(f"status must be 0 (enable), 1 (disable) or 2 (offline), not {status}", host.oid)
    moved = watching.fire(req.tx, req.core, host, events[status])
    if status == 0:
        flush.stop(req.tx, req.core, moved)
    req.tx.after(lambda: watching.unwatch(req.core, moved) if status == 2 else watching.watch(req.core, moved))
    return host.oid


@method("onecore.host.sync", right="ADMIN", on="host")
def sync(req: Request, host: Host) -> int:
    """Have the drivers end what they have open to the host, and connect and begin anew with what they are now."""
    if host.state == HostState.OFFLINE:
        raise WrongState(f"host {host.oid} ({host.name}) is OFFLINE: nothing is open to it", host.oid)
    req.tx.log("host", host.oid, "update", keys=["SYNC"])
    req.tx.after(lambda: watching.anew(req.core, host))
    return host.oid


async def _series(req: Request, host: Host) -> str:
    since = req.core.now() - req.core.config.retention.series_hours * 3600
    found = await asyncio.to_thread(req.core.series.read, "host", [host.oid], since)
    return "".join(f"<MONITORING>{record_xml(host.oid, time, values)}</MONITORING>" for time, values in found[host.oid])


@method("one.host.monitoring", right="USE", on="host", reads=True, prepare=_series)
def monitoring(req: Request, host: Host) -> Body:
    """The host's series, oldest first."""
    return Body([escape_bytes(f"<MONITORING_DATA>{req.prepared}</MONITORING_DATA>")])


async def _all_series(req: Request, seconds: int = -1) -> str:
    core, now = req.core, req.core.now()
    visible = [h.oid for h in verbs.select(req, HOST, -2, -1, -1)]
    if seconds == 0:
        last = samples(core).hosts
        return "".join(f"<MONITORING>{record_xml(i, last[i].time, last[i].host)}</MONITORING>"
                       for i in visible if i in last)
    keep = core.config.retention.series_hours * 3600
    found = await asyncio.to_thread(core.series.read, "host", visible, now - (keep if seconds < 0 else seconds))
    return "".join(f"<MONITORING>{record_xml(i, t, v)}</MONITORING>" for i, rows in found.items() for t, v in rows)


@method("one.hostpool.monitoring", reads=True, prepare=_all_series)
def pool_monitoring(req: Request, seconds: int = -1) -> Body:
    """The series of all hosts: of the last SECONDS, -1: all, 0: the latest sample."""
    return Body([escape_bytes(f"<MONITORING_DATA>{req.prepared}</MONITORING_DATA>")])


from onecore.kinds.host import check, flush, reconcile, survey  # noqa: E402 (methods on the kind that was declared above)

__all__ = ["HOST", "Host", "capacity", "check", "flush", "reconcile", "survey"]
