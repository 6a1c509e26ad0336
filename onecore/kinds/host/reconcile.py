"""onecore.host.reconcile: what is left on a host and of no use to any VM is removed, when an administrator asks.

The host is asked anew, each verdict is made again at the last moment, and what was done is told in all three logs.
"""
from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from onecore.api import Request, method
from onecore.errors import WrongState
from onecore.kinds.datastore import document as datastore_document
from onecore.kinds.host.commands import command
from onecore.kinds.host.orphans import Case, Orphan
from onecore.kinds.host.record import Host, samples
from onecore.kinds.host.survey import ask, line, surveyed
from onecore.kinds.kind import KINDS, tree_of
from onecore.kinds.restore import told
from onecore.kinds.vm.record import Vm, VmText
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor
from onecore.wire.messages import Command, Doc, Result

AT_ONCE = 4
LAST = 2**31 - 1
"""The generation of whatever is done for a VM that is DONE: nothing comes after it."""
SECONDS = 120.0
"""How long the removal of one thing may take."""
IN_ALL = 900.0
"""Seconds after which nothing more is begun."""


async def _reconcile(req: Request, host: Host, dry_run: bool = True) -> dict[str, Any]:
    """Goes on to its end, with all that is logged, even if the client goes away."""
    return await asyncio.shield(asyncio.ensure_future(_alone(req, host, dry_run)))


async def _alone(req: Request, host: Host, dry_run: bool) -> dict[str, Any]:
    busy: set[int] = req.core.kinds.setdefault("host.reconciling", set())
    if host.oid in busy:
        raise WrongState(f"host {host.oid} ({host.name}) is being reconciled already", host.oid)
    _check_held(req.core, host, dry_run)
    busy.add(host.oid)
    try:
        survey = await ask(req.core, host)
        if survey.error:
            raise WrongState(f"host {host.oid} ({host.name}) did not tell what is there: {survey.error}", host.oid)
        done = await _all(req, host, surveyed(req.core, host, survey), dry_run)
    finally:
        busy.discard(host.oid)
    return {"host": host.oid, "dry_run": dry_run, "items": done}


def _check_held(core: Core, host: Host, dry_run: bool) -> None:
    if told(core) and not dry_run:
        raise WrongState(f"this cloud was {told(core)}", host.oid)


@method("onecore.host.reconcile", right="ADMIN", on="host", prepare=_reconcile, dry=False)
def reconcile(req: Request, host: Host, dry_run: bool = True) -> str:
    """Remove what is left on the host and of no use to any VM; with DRY_RUN only tell.  Never what is wild."""
    return json.dumps(req.prepared)


async def _all(req: Request, host: Host, found: list[Case], dry_run: bool) -> list[dict[str, Any]]:
    """What became of each: VMs side by side, and of a VM its guest first, then its files and taps."""
    gate, end = asyncio.Semaphore(AT_ONCE), req.core.clock.monotonic() + IN_ALL
    orphans = [(case, orphan) for case in found if (orphan := case())]
    results: dict[int, tuple[str, str]] = {}

    async def one_vm(numbers: list[int]) -> None:
        async with gate:
            for number in numbers:
                failed = any(results[before][0] == "failed" for before in numbers if before < number)
                case, orphan = orphans[number]
                results[number] = (("kept", "what comes before it could not be removed") if failed
                                   else await _one(req, host, case, orphan, dry_run, end))
    by_vm: dict[int, list[int]] = {}
    for number, (_, orphan) in enumerate(orphans):
        by_vm.setdefault(orphan.vm if orphan.vm >= 0 else -2 - number, []).append(number)
    await asyncio.gather(*map(one_vm, by_vm.values()))
    return [{"kind": orphan.kind, **line(orphan), "result": results[number][0], "error": results[number][1]}
            for number, (_, orphan) in enumerate(orphans)]


async def _one(req: Request, host: Host, case: Case, orphan: Orphan, dry_run: bool, end: float) -> tuple[str, str]:
    """(result, error)."""
    if orphan.keep or orphan.kind == "wild":
        return "kept", ""
    return ("would be removed", "") if dry_run else await _remove(req, host, case, orphan, end)


async def _remove(req: Request, host: Host, case: Case, orphan: Orphan, end: float) -> tuple[str, str]:
    """(result, error); the verdict is made again in the step in which the command is sent."""
    core, text = req.core, await _text(req.core, orphan)
    if case() != orphan:
        return "kept", "something changed meanwhile"
    if core.clock.monotonic() > end:
        return "kept", "there was no time left for it"
    _tell(req, host, orphan, "is being removed")
    answer = await core.dispatcher.question(*_command(core, host, orphan, text))
    if answer.ok and orphan.kind == "zombie":
        samples(core).ended(host.oid, orphan.vm)
    _tell(req, host, orphan, "was removed" if answer.ok else f"could not be removed: {answer.error}", answer)
    return ("removed", "") if answer.ok else ("failed", answer.error)


async def _text(core: Core, orphan: Orphan) -> VmText | None:
    """The VM's texts, from SQL when it is DONE."""
    found = core.store.get(VmText, orphan.vm)
    if found is None and orphan.kind == "zombie":
        read = await asyncio.to_thread(core.database.select, VmText, "oid = :oid", {"oid": orphan.vm})
        return read[0] if read else None
    return found


def _command(core: Core, host: Host, orphan: Orphan, text: VmText | None) -> tuple[str, Command]:
    vm = core.store.get(Vm, orphan.vm)
    generation = vm.generation if vm is not None else LAST
    if orphan.kind == "tap":
        asked = command(core, host, host.vm_mad, "untap", {"taps": [orphan.name]})
        return "vm", replace(asked, timeout=SECONDS)
    left = _document(core, orphan, text)
    if orphan.kind == "zombie":
        asked = command(core, host, host.vm_mad, "cleanup", {"vm": left})
        return "vm", replace(asked, timeout=SECONDS, generation=generation, object=("vm", orphan.vm))
    datastore: Any = core.store.get(KINDS["datastore"].record, orphan.ds)
    asked = command(core, host, datastore.tm_mad, "delete", {
        "vm": left, "datastore": datastore_document(core, datastore), "left_over": True})
    return "tm", replace(asked, timeout=SECONDS, generation=generation, object=("vm", orphan.vm))


def _document(core: Core, orphan: Orphan, text: VmText | None) -> Doc:
    """What drivers need to know of what is left of a VM."""
    datastore: Any = core.store.get(KINDS["datastore"].record, orphan.ds)
    nics = tree_of(text.template).vectors("NIC") if text else []
    return {"id": orphan.vm, "name": "", "generation": orphan.generation, "deploy_id": f"one-{orphan.vm}", "nics": nics,
            "disks": [], "attrs": {}, "user": {}, "context": {}, "context_disk": None, "context_files": [],
            "dir": str(core.home / "datastores" / str(orphan.ds) / str(orphan.vm)),
            "tm_mad": datastore.tm_mad if datastore else "", "away": False}


def _tell(req: Request, host: Host, orphan: Orphan, what: str, answer: Result | None = None) -> None:
    """The core's log, the VM's, and, once it is done, the change log."""
    text = f"{orphan.kind} {orphan.name} on host {host.oid} ({host.name}; {orphan.why}) {what}"
    level = "info" if answer is None or answer.ok else "error"
    req.core.log.line(level, text, req.rid)
    if orphan.vm >= 0:
        req.core.log.vm(orphan.vm, f"{text} by user {req.caller.uid}", req.rid, level)
    if answer is not None and answer.ok:
        who = req.caller
        with req.core.store.tx(Actor(who.uid, who.gid, req.method, req.rid)) as tx:
            tx.log("host", host.oid, "update", old=f"{orphan.kind} {orphan.name}"[:200], keys=["RECONCILED"])
