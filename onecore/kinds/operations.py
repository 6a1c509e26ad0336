"""onecore.op.*: what is being done, for which object, how far it is, and a way to end it or wait for its end."""
from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from onecore.api import Request, method
from onecore.auth.authorize import authorize
from onecore.errors import BadArgument, NoExists, WrongState
from onecore.kinds import verbs
from onecore.kinds.kind import KINDS, allowed, rules
from onecore.lifecycle.core import Core
from onecore.lifecycle.operations import Ended
from onecore.lifecycle.outbox import CANCEL, Outbox
from onecore.wire.messages import Doc

MAX_WAIT, LINES = 60, 200
TO_THE_END = frozenset(("vm.destroy", "vm.cleanup", "tm.delete", "tm.move_back", "tm.remove"))
"""What cannot be cancelled: the end of something, or the way back."""


def _row(core: Core, box: Outbox) -> Doc:
    obj: Any = core.store.get(KINDS[box.kind].record, box.oid)
    step, left = core.dispatcher.step(box), core.dispatcher.deadline(box.op)
    text = step.step if step else ""
    state = ("held" if text.startswith("held") else "cancelling" if box.cancelled
             else "waiting" if text.startswith("waiting") or left is None else "running")
    return {"id": box.op, "kind": box.kind, "oid": box.oid, "vm": box.oid if box.kind == "vm" else -1,
            "name": getattr(obj, "name", ""), "what": getattr(obj, "op_kind", "") or box.command.split(".")[1],
            "command": box.command, "step": text, "done": step.done if step else 0, "total": step.total if step else 0,
            "since": getattr(obj, "op_since", 0) or box.since, "deadline": None if left is None else round(left, 1),
            "attempt": box.attempt, "state": state, "rid": box.rid, "user": getattr(obj, "uid", -1)}


def _ended(core: Core, ended: Ended) -> Doc:
    obj: Any = core.store.get(KINDS[ended.kind].record, ended.oid)
    return {"id": ended.op, "kind": ended.kind, "oid": ended.oid, "vm": ended.oid if ended.kind == "vm" else -1,
            "name": getattr(obj, "name", ""), "what": ended.what, "since": ended.since, "time": ended.time,
            "state": "ended", "ok": ended.ok, "error": ended.error, "rid": ended.rid}


def _visible(req: Request, kind: str, oid: int, right: str) -> bool:
    obj: Any = req.core.store.get(KINDS[kind].record, oid)
    return req.caller.admin if obj is None else allowed(req.core, req.caller, right, kind, obj)


def _find(req: Request, op: int, right: str) -> Outbox | Ended:
    """The operation; raises NoExists, or Forbidden without RIGHT on what it is about."""
    found = req.core.store.get(Outbox, op) or req.core.operations.find(op)
    if found is None:
        raise NoExists(f"there is no operation {op}; operations that ended are known for a while only", op)
    obj: Any = req.core.store.get(KINDS[found.kind].record, found.oid)
    if obj is not None:
        authorize(req.caller, right, found.kind, obj, rules(req.core))
    elif not req.caller.admin:
        raise NoExists(f"there is no operation {op}", op)
    return found


@method("onecore.op.list", reads=True)
def op_list(req: Request, filter_flag: int = -2) -> str:
    """All operations under way that the caller may see, as JSON, oldest first; FILTER_FLAG as for pools."""
    if filter_flag < -4:
        raise BadArgument(f"filter_flag must be -4 to -1 or a user's id, not {filter_flag}")
    return json.dumps([_row(req.core, box) for box in sorted(req.core.store.all(Outbox), key=lambda box: box.op)
                       if _wanted(req, box, filter_flag)])


def _wanted(req: Request, box: Outbox, flag: int) -> bool:
    kind = KINDS[box.kind]
    about: Any = req.core.store.get(kind.record, box.oid)
    return about is not None and verbs.wanted(req, kind, about, flag)


async def _lines(req: Request, op: int) -> list[str]:
    await _settled(req.core, op)
    found = _find(req, op, "USE")
    path = req.core.log.vm_path(found.oid) if found.kind == "vm" else None
    if path is None:
        return []
    return await asyncio.to_thread(_read, req.core, path, found.rid)


def _read(core: Core, path: Any, rid: str) -> list[str]:
    core.log.flush_vms()
    if not path.is_file() or not rid:
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        lines = file.read().decode(errors="replace").splitlines()
    return [line for line in lines if f"[{rid}]" in line][-LINES:]


def _document(req: Request, op: int, lines: list[str]) -> str:
    found = _find(req, op, "USE")
    row = _row(req.core, found) if isinstance(found, Outbox) else _ended(req.core, found)
    return json.dumps(row | {"log": lines})


@method("onecore.op.info", reads=True, prepare=_lines)
def op_info(req: Request, op: int) -> str:
    """One operation, as JSON: under way, or how it ended; with its lines of the VM's log."""
    return _document(req, op, req.prepared)


async def _settled(core: Core, op: int) -> None:
    """An operation that ended a moment ago is known as such when that is durable: wait for it."""
    if core.store.get(Outbox, op) is None and core.operations.find(op) is None:
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        core.store.when_durable(core.store.given, lambda error: None if told.done() else told.set_result(None))
        await told


async def _until_ended(req: Request, op: int, timeout: int = 0) -> list[str]:
    if timeout < 0:
        raise BadArgument(f"timeout must be seconds from 0 to {MAX_WAIT}, not {timeout}")
    await _settled(req.core, op)
    found = _find(req, op, "USE")
    if isinstance(found, Outbox):
        await req.core.operations.wait(op, min(max(timeout, 0), MAX_WAIT))
    return await _lines(req, op)


@method("onecore.op.wait", reads=True, prepare=_until_ended)
def op_wait(req: Request, op: int, timeout: int = 0) -> str:
    """As info, when the operation has ended, or after TIMEOUT seconds (60 at most)."""
    return _document(req, op, req.prepared)


@method("onecore.op.cancel")
def op_cancel(req: Request, op: int) -> int:
    """End the operation's step; what then, the state says: most go back to where they came from."""
    found = _find(req, op, "MANAGE")
    if isinstance(found, Ended):
        raise WrongState(f"operation {op} has ended", op)
    if found.command in TO_THE_END:
        raise WrongState(f"operation {op} cannot be cancelled while {found.command} is under way", op)
    if not found.cancelled:
        req.tx.put(replace(found, args=f"{found.args} {CANCEL}".strip()))
        req.tx.log(found.kind, found.oid, "update", keys=["CANCEL"])
        req.tx.after(lambda: req.core.dispatcher.stop(op))
        if found.kind == "vm":
            req.core.log.vm(found.oid, f"{found.command} is to be cancelled, asked by user {req.caller.uid}", req.rid)
    return op
