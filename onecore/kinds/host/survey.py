"""Asking a host what is there: domains, directories of VMs, taps; and the document that says what should not be."""
from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import Any

from onecore.api import Request, method
from onecore.errors import BadArgument
from onecore.kinds.host.commands import command, system_datastores
from onecore.kinds.host.orphans import UNREAD, Case, Judge, Orphan, Past, cases
from onecore.kinds.host.record import Host, samples
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.wire.messages import Doc
from onecore.wire.states import HostState, VmState

SURVEY = 45
"""Seconds that a host has to answer a survey."""
MOST_READ = 5000
"""VMs that are looked up in SQL for one survey; what is left of others counts as doubtful."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a host answered at Unix time `time`; with `error`, why it did not: then it is what its last sample shows."""

    time: int
    error: str = ""
    found: Doc = field(default_factory=dict)
    past: Past = UNREAD


async def ask(core: Core, host: Host, seconds: int = SURVEY) -> Survey:
    """Ask HOST now."""
    began = core.now()
    if host.state == HostState.OFFLINE:
        return _last(core, host, "the host is OFFLINE: nothing is asked")
    question = replace(command(core, host, host.im_mad, "survey", {"datastores": system_datastores(core, host)}),
                       timeout=float(seconds))
    result = await core.dispatcher.question("im", question)
    if not result.ok:
        return _last(core, host, result.error)
    return Survey(began, "", result.data, await _past(core, result.data))


def _last(core: Core, host: Host, error: str) -> Survey:
    sample = samples(core).hosts.get(host.oid)
    return Survey(sample.time, error, {"domains": sample.vms}) if sample else Survey(0, error)


async def _past(core: Core, found: Doc) -> Past:
    """The VMs in FOUND that left memory."""
    named = {int(doc.get(key, -1)) for part, key in (("domains", "id"), ("dirs", "vm")) for doc in found.get(part, ())}
    named |= {int(parts[1]) for name in found.get("taps", ()) if (parts := name.split("-"))[1:] and parts[1].isdigit()}
    wanted = sorted(oid for oid in named if 0 <= oid < 2**31 and core.store.get(Vm, oid) is None)
    few = wanted[:MOST_READ]
    if not few:
        return Past({})
    where = f"state = {int(VmState.DONE)} AND oid IN ({','.join(map(str, few))})"
    read = await asyncio.to_thread(core.database.select, Vm, where, {}, "oid")
    return Past({vm.oid: vm for vm in read}, complete=len(few) == len(wanted))


def surveyed(core: Core, host: Host, survey: Survey) -> list[Case]:
    """What SURVEY shows, each with its verdict to be made."""
    return cases(Judge(core, host, survey.time, survey.past, survey.found.get("domains", ())), survey.found)


async def _asked(req: Request, host: Host, timeout: int = SURVEY) -> Survey:
    if not 1 <= timeout <= SURVEY:
        raise BadArgument(f"timeout must be seconds from 1 to {SURVEY}, not {timeout}", host.oid)
    return await ask(req.core, host, timeout)


@method("onecore.host.orphans", right="ADMIN", on="host", reads=True, prepare=_asked)
def orphans(req: Request, host: Host, timeout: int = SURVEY) -> str:
    """What is on the host and should not be there, as JSON; asks it, and waits for TIMEOUT seconds at most."""
    survey: Survey = req.prepared
    found = [orphan for case in surveyed(req.core, host, survey) if (orphan := case())]
    return json.dumps({"host": host.oid, "asked": not survey.error, "error": survey.error, "time": survey.time,
                       **{name: [line(orphan) for orphan in found if orphan.kind == kind] for name, kind in
                          (("wild", "wild"), ("zombies", "zombie"), ("files", "file"), ("taps", "tap"))}})


_SHOWN: dict[str, tuple[tuple[str, str], ...]] = {
    "wild": (("name", "name"), ("id", "vm"), ("generation", "generation"), ("state", "state")),
    "zombie": (("name", "name"), ("id", "vm"), ("generation", "generation"), ("state", "state"), ("keep", "keep")),
    "file": (("ds", "ds"), ("vm", "vm"), ("path", "name"), ("size_mb", "size_mb"), ("keep", "keep")),
    "tap": (("name", "name"), ("vm", "vm"), ("keep", "keep"))}


def line(orphan: Orphan) -> dict[str, Any]:
    """An orphan in JSON; `keep`: why reconcile leaves it alone."""
    return {**{key: getattr(orphan, attribute) for key, attribute in _SHOWN[orphan.kind]}, "why": orphan.why}
