"""Scheduled actions in the API: those of a new VM, and one.vm.sched{add,update,delete}."""
from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from onecore.api import Request, method
from onecore.errors import BadArgument, NoExists, NotAllocated
from onecore.kinds.kind import changing, parse_template
from onecore.kinds.vm import scheduled
from onecore.kinds.vm.record import Scheduled, Vm
from onecore.wire.template import Tree, Vector

NAME = scheduled.NAME
_CALENDAR = ("time", "repeat", "days", "end_type", "end_value")
_SAME = ("action", "args", *_CALENDAR)


def take(req: Request, tree: Tree, vid: int, stime: int) -> None:
    """Take the SCHED_ACTIONs out of a new VM's TREE and make them; raises NotAllocated naming what is wrong."""
    for vector in tree.vectors(NAME):
        _make(req, vid, stime, vector)
    tree.remove(NAME)


def check(tree: Tree) -> None:
    """Raise NotAllocated when a SCHED_ACTION of a template is none; its time may be past, which its use shows."""
    for value in tree.all(NAME):
        if not isinstance(value, dict):
            raise NotAllocated(f"{NAME} must be a vector, {NAME} = [ … ], not {value[:40]!r}")
        scheduled.read(value)


def _make(req: Request, vid: int, stime: int, vector: Vector) -> int:
    row = scheduled.plan(scheduled.read(vector), stime, req.core.now())
    there = scheduled.of(req.core, vid)
    same = next((r for r in there if r.due and all(getattr(r, f) == getattr(row, f) for f in _SAME)), None)
    if same is not None:
        raise NotAllocated(f"{NAME} is the same as {same.oid}, which is there already")
    if len(there) >= scheduled.MOST:
        raise NotAllocated(f"{NAME} may be given {scheduled.MOST} times for one VM")
    oid = req.tx.next_id("scheduled")
    req.tx.put(replace(row, oid=oid, vid=vid, uid=req.caller.uid, gid=req.caller.gid))
    return oid


def _given(text: str) -> Vector:
    found = parse_template(text).all(NAME)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise BadArgument(f"template must hold one vector {NAME} = [ … ], it holds {len(found)}")
    return found[0]


def _existing(req: Request, vm: Vm, oid: int) -> Scheduled:
    row = req.core.store.get(Scheduled, oid)
    if row is None or row.vid != vm.oid:
        raise NoExists(f"VM {vm.oid} has no scheduled action {oid}.", vm.oid)
    return row


@method("one.vm.schedadd", right="MANAGE", on="vm")
def add(req: Request, vm: Vm, template: str) -> int:
    """Schedule an action, which is done with the caller's rights; returns its id."""
    with changing():
        oid = _make(req, vm.oid, vm.stime, _given(template))
    req.tx.log("vm", vm.oid, "update", new=str(oid), keys=[NAME])
    return oid


@method("one.vm.schedupdate", right="MANAGE", on="vm")
def update(req: Request, vm: Vm, sched_id: int, template: str) -> int:
    """Change what TEMPLATE names of a scheduled action, which is the caller's from now on; returns its id.

    A change of its times begins them anew, its runs are counted from none.
    """
    old = _existing(req, vm, sched_id)
    with changing():
        new = _changed(old, _given(template))
        if any(getattr(new, field) != getattr(old, field) for field in _CALENDAR):
            new = scheduled.plan(replace(new, runs=0), vm.stime, req.core.now())
    req.tx.put(replace(new, message="", uid=req.caller.uid, gid=req.caller.gid))
    req.tx.log("vm", vm.oid, "update", old=str(sched_id), new=str(sched_id), keys=[NAME])
    return sched_id


def _changed(old: Scheduled, given: Vector) -> Scheduled:
    """OLD with what is given and not just what bodies show of it."""
    shown = scheduled.vector(old)
    stated = {**shown, "TIME": old.time}
    new = scheduled.read({**stated, **{key: value for key, value in given.items() if value != shown.get(key)}})
    return replace(new, oid=old.oid, vid=old.vid, runs=old.runs, done=old.done, due=old.due)


@method("one.vm.scheddelete", right="MANAGE", on="vm")
def delete(req: Request, vm: Vm, sched_id: int) -> int:
    """Forget a scheduled action."""
    req.tx.delete(_existing(req, vm, sched_id))
    req.tx.log("vm", vm.oid, "update", old=str(sched_id), keys=[NAME])
    return vm.oid


@method("onecore.vm.schedule", right="USE", on="vm", reads=True)
def schedule(req: Request, vm: Vm) -> str:
    """The scheduled actions of a VM, with what its body cannot show."""
    return json.dumps([_doc(row) for row in scheduled.of(req.core, vm.oid)])


def _doc(row: Scheduled) -> dict[str, Any]:
    return {"id": row.oid, "action": row.action, "args": row.args, "time": row.time, "due": row.due, "done": row.done,
            "runs": row.runs, "misfire": row.misfire, "message": row.message, "uid": row.uid}
