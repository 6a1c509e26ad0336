"""Doing what is scheduled: the action and the mark that this run is done are one transaction, so that none is twice."""
from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from onecore.api import TABLE, Method, Request
from onecore.auth.caller import Caller
from onecore.errors import NoExists, OneError
from onecore.kinds import verbs
from onecore.kinds.restore import held
from onecore.kinds.user import acting
from onecore.kinds.vm import scheduled
from onecore.kinds.vm.record import Scheduled, Vm
from onecore.lifecycle.calendar import Alarms
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor, Groups

LATE = 60
"""Seconds after which a run counts as missed."""


class _Due:
    """Follows the records: an alarm for each that is due some time."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms

    def change(self, old: Scheduled | None, new: Scheduled | None) -> None:
        """A record was added, replaced or removed."""
        was, now = old.due if old else 0, new.due if new else 0
        if new is not None and now and was != now:
            self._alarms.set(new.oid, now)
        elif old is not None and was and not now:
            self._alarms.drop(old.oid)


def add_indexes(core: Core) -> None:
    """Scheduled actions by VM, and when the next one is due."""
    core.kinds["scheduled"] = Groups[Scheduled](lambda row: row.vid)
    core.store.index(Scheduled, core.kinds["scheduled"])
    core.store.index(Scheduled, _Due(Alarms(core.clock, lambda oid: run(core, oid))))


def run(core: Core, oid: int) -> None:
    """Do a scheduled action that is due, or say why it is not done; raises nothing.

    While nothing can be stored, or the cloud is held, it stays due.
    """
    row, now = core.store.get(Scheduled, oid), core.now()
    if row is None or not 0 < row.due <= now or core.store.refuses or held(core):
        return
    try:
        _run(core, row, now)
    except Exception as error:  # a bug, or nothing can be stored: it stays due, and all others go on
        core.log.error(f"scheduled action {oid} of VM {row.vid} could not be done",
                       error=None if core.store.refuses else error)


def _run(core: Core, row: Scheduled, now: int) -> None:
    actor = Actor(row.uid, row.gid, "scheduled", f"scheduled-{row.oid}-{row.due}")
    why = f"missed its time, {_stamp(row.due)}" if row.misfire == "skip" and now - row.due > LATE else ""
    if not why:
        try:
            with core.store.tx(actor) as tx:
                req = Request(core, acting(core, row.uid, "scheduled this"), actor.method, actor.rid, tx)
                _act(req, row)
                _done(req, row, now, "")
            return
        except OneError as error:  # nothing of the action happened: that transaction was undone
            why = error.text
        except Exception as error:  # a bug: told once, this run is over, the next is not
            core.log.error(f"scheduled action {row.oid} of VM {row.vid} failed", actor.rid, error)
            why = f"internal error, see {actor.rid} in the log"
    with core.store.tx(actor) as tx:
        _done(Request(core, Caller(row.uid, row.gid, "", frozenset()), actor.method, actor.rid, tx), row, now, why)


def _act(req: Request, row: Scheduled) -> None:
    """Call the action's method as its user would; raises what that raises."""
    action, vm = scheduled.ACTIONS[row.action], req.core.store.get(Vm, row.vid)
    found: Method | None = TABLE.get(action.method)
    if found is None or vm is None:
        raise NoExists(f"{action.method} is not there" if found is None else f"VM {row.vid} is not there")
    given = scheduled.arguments(row.action, row.args)
    arguments: list[Any] = [int(part) if word.endswith("id") else part
                            for word, part in zip(action.args, given, strict=True)]
    arguments = arguments if action.args else [row.action]
    verbs.permit(req.core, req.caller, found, vm, arguments)
    found.call(req, vm, *arguments)


def _done(req: Request, row: Scheduled, now: int, why: str) -> None:
    """This run is over: done, or not and WHY."""
    core, tx, vm = req.core, req.tx, req.core.store.get(Vm, row.vid)
    text = f"scheduled action {row.oid}: {row.action} {row.args}".rstrip() + (
        f": {why}" if why else f", {now - row.due} s late" if now - row.due > LATE else "")
    tx.after(lambda: core.log.vm(row.vid, text, req.rid, "error" if why else "info"))
    if vm is None or tx.get(Scheduled, row.oid) is None:  # that was the VM's end
        return scheduled.forget(tx, core, row.vid)
    tx.put(replace(scheduled.after(row, vm.stime, now), done=row.done if why else now, message=_message(why, now)))
    tx.log("vm", row.vid, "update", old=str(row.oid), new=why[:200], keys=[scheduled.NAME])


def _message(why: str, now: int) -> str:
    return f"{_stamp(now)}: {why}" if why else ""


def _stamp(moment: int) -> str:
    return time.strftime("%F %T UTC", time.gmtime(moment))
