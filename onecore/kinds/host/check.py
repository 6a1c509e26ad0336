"""onecore.host.check: can this host be used?  What its driver finds on it, and what the core knows besides."""
from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from onecore.api import Request, method
from onecore.kinds.cluster import cluster_ids
from onecore.kinds.host.commands import command, system_datastores
from onecore.kinds.host.debts import describe
from onecore.kinds.host.record import Host, samples
from onecore.kinds.kind import KINDS, tree_of
from onecore.lifecycle.core import Core
from onecore.wire.messages import Doc, Result
from onecore.wire.states import DatastoreType, HostState

SECONDS = 45.0
"""How long the driver has; then what it did not tell counts as not found out."""
_BRIDGED = ("", "bridge")
_VERSIONS = ("LIBVIRT_VERSION", "VERSION", "PYTHON_VERSION")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; `fix` is a command or a sentence.  With `ok` a fix is advice."""

    name: str
    ok: bool
    found: str
    fix: str = ""


async def _check(req: Request, host: Host) -> list[Check]:
    if host.state == HostState.OFFLINE:
        return [Check("state", False, "the host is OFFLINE: nothing is asked", f"onehost enable {host.oid}")]
    core = req.core
    args = {"datastores": system_datastores(core, host), "bridges": bridges(core, host)}
    answers = await asyncio.gather(
        core.dispatcher.question("im", replace(command(core, host, host.im_mad, "check", args), timeout=SECONDS)),
        core.dispatcher.question("vm", replace(command(core, host, host.vm_mad, "watch"), timeout=SECONDS)))
    return [*_drivers(host, *answers), *_told(answers[0])]


@method("onecore.host.check", right="ADMIN", on="host", reads=True, prepare=_check)
def check(req: Request, host: Host) -> str:
    """Whether the host can be used, as JSON: each check with what was found and, unless all is well, how to mend it."""
    found = [*req.prepared, *_own(req.core, host)]
    return json.dumps({"host": host.oid, "ok": all(one.ok for one in found), "checks": [asdict(one) for one in found]})


def bridges(core: Core, host: Host) -> list[str]:
    """The bridges of the networks of HOST's cluster."""
    nets: Any = core.store.all(KINDS["vnet"].record)
    return sorted({net.bridge for net in nets
                   if net.vn_mad in _BRIDGED and net.bridge and host.cid in cluster_ids(net.clusters)})


def _drivers(host: Host, im: Result, vm: Result) -> list[Check]:
    """Whether there are drivers of those names that work."""
    return [_driver("im", host, host.im_mad, im, asked_for=False), _driver("vm", host, host.vm_mad, vm, asked_for=True)]


def _driver(family: str, host: Host, name: str, result: Result, asked_for: bool) -> Check:
    if _is_missing(family, result):
        return Check(f"{family} driver", False, result.error, f"register the host with a driver that is there: onehost "
                     f"delete {host.oid}, then onehost create {host.name} --im NAME --vm NAME")
    if asked_for and not result.ok:
        return Check(f"{family} driver", False, f"{name}: {result.error}", f"see driver-{family}.log beside oned.log")
    return Check(f"{family} driver", True, name)


def _is_missing(family: str, result: Result) -> bool:
    return not result.ok and f"there is no {family} driver" in result.error


def _told(result: Result) -> list[Check]:
    """What the driver found; why it told nothing, if it did not."""
    if result.ok:
        return [_read(doc) for doc in result.data.get("checks", ())]
    if _is_missing("im", result):
        return []
    return [Check("host", False, result.error, "see whether the host is up and reached by its name, and try again")]


def _read(doc: Doc) -> Check:
    return Check(str(doc.get("name")), bool(doc.get("ok")), str(doc.get("found") or ""), str(doc.get("fix") or ""))


def _own(core: Core, host: Host) -> Iterable[Check]:
    """What the core itself knows."""
    yield _heard(core, host)
    yield _storage(core, host)
    yield _versions(core, host)
    owed = describe(core, host)
    if owed:
        yield Check("owed", False, f"it owes {', '.join(owed)}", "it pays as soon as it can be reached; it is not used "
                    "before")


def _heard(core: Core, host: Host) -> Check:
    heard, sample = samples(core).heard.get(host.oid), samples(core).hosts.get(host.oid)
    state = HostState(host.state).name
    if sample is None or heard is None:
        return Check("monitoring", not host.error, f"{state}; {host.error or 'no sample came yet'}",
                     "mend what the other checks name" if host.error else "")
    ago = f"heard {core.clock.monotonic() - heard:.0f} s ago"
    return Check("monitoring", not host.error, f"{state}, {host.error + ', ' if host.error else ''}{ago}",
                 "mend what the other checks name" if host.error else "")


def _storage(core: Core, host: Host) -> Check:
    stores: Any = core.store.all(KINDS["datastore"].record)
    usable = [ds.oid for ds in stores if ds.type == DatastoreType.SYSTEM and ds.state == 0
              and host.cid in cluster_ids(ds.clusters)]
    if usable:
        return Check("datastores", True, f"system datastores {', '.join(map(str, sorted(usable)))}")
    return Check("datastores", False, f"cluster {host.cid} has no system datastore that is enabled",
                 "onedatastore create with TYPE=SYSTEM_DS in this cluster, or enable one")


def _versions(core: Core, host: Host) -> Check:
    """Versions unlike those of the cluster's other hosts: no obstacle, but guests may not be able to move."""
    mine, unlike = tree_of(host.facts), []
    for name in _VERSIONS:
        others = {value for other in core.store.all(Host) if other.cid == host.cid and other.oid != host.oid
                  and other.vm_mad == host.vm_mad and (value := tree_of(other.facts).get(name))}
        if mine.get(name) and others - {mine.get(name)}:
            unlike.append(f"{name} {mine.get(name)}, elsewhere {', '.join(sorted(others - {mine.get(name)}))}")
    if unlike:
        return Check("versions like others", True, "; ".join(unlike), "bring the hosts of the cluster to one version")
    return Check("versions like others", True, "as on the other hosts of its cluster")
