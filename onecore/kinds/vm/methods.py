"""Virtual machines: the kind and its methods."""
from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from onecore.api import Body, Request, method
from onecore.errors import BadArgument, WrongState
from onecore.kinds import restricted, verbs
from onecore.kinds.kind import (
    KINDS,
    MAX_ID,
    Kind,
    allowed,
    appended,
    changing,
    inner_xml,
    lookup,
    parse_template,
    tree_of,
    whole,
)
from onecore.kinds.vm import allocate as allocation
from onecore.kinds.vm import search
from onecore.kinds.vm.body import Archived, body, opened, pool_body, short, values, warm
from onecore.kinds.vm.fire import fire, state_of
from onecore.kinds.vm.placing import check_alone
from onecore.kinds.vm.record import History, Scheduled, Vm, VmText
from onecore.kinds.vm.shape import OF_USER
from onecore.kinds.vm.states import UNSAVED, USER_EVENTS
from onecore.kinds.vm.unsaved import unsaved
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Owed
from onecore.wire.states import VmState
from onecore.wire.template import Tree
from onecore.wire.xmlrpc import escape_bytes


async def archive(core: Core, oid: int) -> Archived | None:
    """A DONE VM, from SQL."""
    found = await asyncio.to_thread(_read, core, "oid = :oid", {"oid": oid})
    return found[0] if found else None


def _read(core: Core, where: str, parameters: dict[str, Any], limit: int | None = None) -> list[Archived]:
    vms = core.database.select(Vm, f"state = {int(VmState.DONE)} AND {where}", parameters, "oid", limit)
    out = []
    for vm in vms:
        texts = core.database.select(VmText, "oid = :oid", {"oid": vm.oid})
        if texts:
            out.append(Archived(vm, texts[0], core.database.select(History, "vid = :oid", {"oid": vm.oid}, "seq")))
    return out


VM = Kind("vm", "VM", Vm, "one.vm", "one.vmpool", body, pool_body, lockable=True, unique="", archive=archive,
          classes=(VmText, History, Owed, Scheduled), open_body=opened)
KINDS["vm"] = VM
verbs.declare(VM, "info", "rename", "chmod", "chown", "lock", "unlock")


@method("one.vm.allocate")
def allocate(req: Request, template: str, hold: bool = False) -> int:
    """Make a VM of a template."""
    return allocation.allocate(req, parse_template(template), hold)


def _action_right(action: str, *_: Any) -> str:
    return "ADMIN" if action in ("resched", "unresched") else "MANAGE"


@method("one.vm.action", right=_action_right, on="vm", object_at=1)
def action(req: Request, vm: Vm, action: str) -> int:
    """Terminate, poweroff, resume …: an action of the state table."""
    event = action.replace("-", "_")
    if event not in USER_EVENTS or "_" in action:
        raise BadArgument(f'Action "{action}" is unknown; it must be one of '
                          f'{", ".join(e.replace("_", "-") for e in USER_EVENTS)}', vm.oid)
    if event in ("terminate", "terminate_hard"):
        _check_saved(req.core, vm)
    elif event == "resume":
        check_alone(req.core, vm)
    fire(req.tx, req.core, vm, event)
    return vm.oid


def _check_saved(core: Core, vm: Vm) -> None:
    """Raise WrongState if the end of a VM that failed would remove the only copy of what it wrote on its images."""
    disks = unsaved(core, vm) if state_of(vm) in UNSAVED else []
    if disks:
        raise WrongState(f"VM {vm.oid} failed before its persistent disks ({', '.join(disks)}) were saved; recover "
                         "--retry goes on, recover --delete --force gives up what it wrote on them", vm.oid)


@method("one.vm.update", right="MANAGE", on="vm")
def update(req: Request, vm: Vm, template: str, append: int = 0) -> int:
    """Replace (0) or merge (1) the user template."""
    if append not in (0, 1):
        raise BadArgument(f"append must be 0 (replace) or 1 (merge), not {append}", vm.oid)
    with changing():
        given = parse_template(template)
        text = req.tx.get(VmText, vm.oid)
        assert text is not None
        old = tree_of(text.user)
        wanted = appended(req.core, old, given) if append else given.copy()
    restricted.keep(req, "vm", old, wanted, vm.oid)
    new = _with_conf(vm, old, wanted)
    if "SCHED_MESSAGE" in given and not given.get("SCHED_MESSAGE"):
        new = new.without(["SCHED_MESSAGE"])
    req.tx.put(replace(text, user=inner_xml(new.without(["ERROR"]))))
    if not append and vm.error:
        req.tx.put(replace(vm, error=""))
    req.tx.log("vm", vm.oid, "update", keys=given.names())
    return vm.oid


def _with_conf(vm: Vm, old: Tree, new: Tree) -> Tree:
    """NEW with what updateconf alone changes as it is; raises BadArgument when it would be another."""
    for name in OF_USER:
        if name in new and new.vector(name) not in (None, old.vector(name)):
            raise BadArgument(f"template: {name} is changed by updateconf, not by update", vm.oid)
    kept = Tree(pair for pair in old if pair[0] in OF_USER and isinstance(pair[1], dict))
    return Tree([*new.without(kept.names()), *kept])


async def _series(req: Request, vm: Vm) -> str:
    since = req.core.now() - req.core.config.retention.series_hours * 3600
    found = await asyncio.to_thread(req.core.series.read, "vm", [vm.oid], since)
    return _series_xml(found)


def _series_xml(found: dict[int, list[tuple[int, dict[str, float]]]]) -> str:
    return "".join("<MONITORING>" + values(oid, time, {k: v if k == "cpu" else int(v) for k,
                                                       v in doc.items()}) + "</MONITORING>"
                   for oid, rows in found.items() for time, doc in rows)


@method("one.vm.monitoring", right="USE", on="vm", reads=True, prepare=_series)
def monitoring(req: Request, vm: Vm) -> Body:
    """The VM's series, oldest first."""
    return Body([escape_bytes(f"<MONITORING_DATA>{req.prepared}</MONITORING_DATA>")])


# -- pools

MAX_ENDED = 1000
"""VMs that left memory in one answer of infoset."""
PIECE = 500
"""How many DONE VMs are read from SQL at once."""


async def _done(req: Request, filter_flag: int, start: int = -1, end: int = -1, state: int = -1,
                query: str = "") -> list[Archived]:
    """DONE VMs that the caller may see, read in pieces: a page needs no more than what comes before its end."""
    if state not in (-2, int(VmState.DONE)):
        return []
    paged, out, terms = end < -1, list[Archived](), search.parse(query)
    before = {oid for oid in req.core.store.tables[Vm] if paged or start <= oid and not 0 <= end < oid}
    first, last = (0, MAX_ID) if paged else (max(start, 0), end if end >= 0 else MAX_ID)
    while not paged or len(out) < max(start, 0) - end:
        found = await asyncio.to_thread(_read, req.core, "oid >= :first AND oid <= :last",
                                        {"first": first, "last": last}, PIECE)
        out += [a for a in found if verbs.wanted(req, VM, a, filter_flag) and search.matches(req.core, a, terms)]
        if len(found) < PIECE:
            break
        first = found[-1].oid + 1
    return [a for a in await _with_ended(req.core, before, out)
            if verbs.wanted(req, VM, a, filter_flag) and search.matches(req.core, a, terms)]


async def _with_ended(core: Core, before: set[Any], read: list[Archived]) -> list[Archived]:
    """READ and those of BEFORE that left memory while SQL was read, so that no VM is missed on its way to DONE."""
    found = {one.oid: one for one in read}
    while ended := [oid for oid in before if core.store.get(Vm, oid) is None]:
        before.difference_update(ended)
        for oid in ended:
            if oid not in found and (one := await archive(core, oid)) is not None:
                found[oid] = one
    return list(found.values())


@dataclass(frozen=True)
class _Ready:
    """What a pool call found before its decision: DONE VMs, and which of the others its query means, None: all."""

    ended: list[Archived]
    chosen: set[int] | None


async def _ready(req: Request, flag: int, start: int = -1, end: int = -1, state: int = -1, query: str = "") -> _Ready:
    terms, paged, chosen = search.parse(query), end < -1, None
    if terms:
        live = _live(verbs.select(req, VM, flag, -1 if paged else start, -1 if paged else end), state, set())
        chosen = await search.chosen(req.core, live, terms)
    return _Ready(await _done(req, flag, start, end, state, query), chosen)


def _pool(req: Request, flag: int, start: int, end: int, state: int, extended: bool) -> Body:
    if not -2 <= state <= max(VmState):
        raise BadArgument(f"state must be -2 (any), -1 (any but DONE) or a STATE from 0 to {max(VmState)}, not {state}")
    paged = end < -1
    ended, chosen = req.prepared.ended, req.prepared.chosen
    live: Iterable[Any] = _live(verbs.select(req, VM, flag, -1 if paged else start, -1 if paged else end), state,
                                {one.oid for one in ended})
    if chosen is not None:
        live = (vm for vm in live if vm.oid in chosen)
    found: Iterable[Any] = sorted([*live, *ended], key=lambda v: v.oid) if ended else live
    return _pool_body(req.core, islice(found, max(start, 0), max(start, 0) - end) if paged else found, extended)


def _live(records: list[Any], state: int, ended: set[int]) -> Iterator[Any]:
    """Those of a STATE (-1: any but DONE, -2: any); what ENDED names is in SQL already, and still here for a moment."""
    done = int(VmState.DONE)
    for vm in records:
        if vm.state == done:
            if state in (-2, done) and vm.oid not in ended:
                yield vm
        elif state < 0 or vm.state == state:
            yield vm


def _pool_body(core: Core, records: Iterable[Any], extended: bool) -> Body:
    out = Body([b"&lt;VM_POOL&gt;"])
    for record in records:
        if extended:
            out.extend(body(core, record))
        elif isinstance(record, Archived):
            out.append(short(core, record.vm, record.text, record.stays[-1] if record.stays else None, None))
        else:
            out.extend(pool_body(core, record))
    out.append(b"&lt;/VM_POOL&gt;")
    return out


async def _done_short(req: Request, filter_flag: int, start: int = -1, end: int = -1, *rest: Any) -> _Ready:
    if start == end == -1:
        await warm(req.core, False)
    return await _ready(req, filter_flag, start, end, *rest)


async def _done_full(req: Request, filter_flag: int, start: int = -1, end: int = -1, *rest: Any) -> _Ready:
    if start == end == -1:
        await warm(req.core, True)
    return await _ready(req, filter_flag, start, end, *rest)


@method("one.vmpool.info", reads=True, prepare=_done_short)
def pool_info(req: Request, filter_flag: int, start: int = -1, end: int = -1, state: int = -1, query: str = "") -> Body:
    """Short bodies of the VMs that QUERY means: KEY=value&KEY=value, or a word."""
    return _pool(req, filter_flag, start, end, state, False)


@method("one.vmpool.infoextended", reads=True, prepare=_done_full)
def pool_infoextended(req: Request, filter_flag: int, start: int = -1, end: int = -1, state: int = -1,
                      query: str = "") -> Body:
    """Full bodies of the VMs that QUERY means, as one.vmpool.info."""
    return _pool(req, filter_flag, start, end, state, True)


def _id_list(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    found = {whole(part, 0, MAX_ID) for part in parts}
    if None in found:
        raise BadArgument(f"ids must be numbers with commas between them, not {text[:60]!r}")
    return sorted(i for i in found if i is not None)


async def _done_set(req: Request, ids: str, extended: bool = False) -> list[Archived]:
    wanted = _id_list(ids)
    missing = [i for i in wanted if req.core.store.get(Vm, i) is None][MAX_ENDED:]
    found = await _with_ended(req.core, set(wanted).difference(missing), [])
    return [one for one in found if verbs.wanted(req, VM, one, -2)]


@method("one.vmpool.infoset", reads=True, prepare=_done_set)
def pool_infoset(req: Request, ids: str, extended: bool = False) -> Body:
    """The bodies of a list of ids; those that are not there or not to be seen are left out."""
    ended = {one.oid for one in req.prepared}
    live = [vm for i in _id_list(ids) if i not in ended and (vm := req.core.store.get(Vm, i)) is not None
            and allowed(req.core, req.caller, "USE", "vm", vm)]
    return _pool_body(req.core, sorted([*live, *req.prepared], key=lambda v: v.oid), extended)


async def _pool_series(req: Request, filter_flag: int, seconds: int = -1) -> str:
    core = req.core
    visible = [vm.oid for vm in verbs.select(req, VM, filter_flag, -1, -1)]
    if seconds == 0:
        last = core.kinds["samples"].vms
        return "".join(f"<MONITORING>{values(i, *last[i])}</MONITORING>" for i in visible if i in last)
    keep = core.config.retention.series_hours * 3600
    return _series_xml(await asyncio.to_thread(core.series.read, "vm", visible,
                                               core.now() - (keep if seconds < 0 else seconds)))


@method("one.vmpool.monitoring", reads=True, prepare=_pool_series)
def pool_monitoring(req: Request, filter_flag: int, seconds: int = -1) -> Body:
    """The series of all visible VMs: of the last SECONDS, -1: all, 0: the latest sample."""
    return Body([escape_bytes(f"<MONITORING_DATA>{req.prepared}</MONITORING_DATA>")])


def _tail_of(req: Request, oid: int, lines: int) -> str:
    req.core.log.flush_vms()
    path = req.core.log.vm_path(oid)
    if path is None or not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 400 * lines))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


@method("onecore.vm.log", right="USE", on="vm", reads=True)
def log(req: Request, vm: Vm, lines: int = 200) -> str:
    """The VM's own log, the last LINES."""
    if not 0 < lines <= 10_000:
        raise BadArgument(f"lines must be from 1 to 10000, not {lines}")
    return _tail_of(req, vm.oid, lines) or " "


__all__ = ["VM", "lookup"]
