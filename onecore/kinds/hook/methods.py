"""The methods of hooks and of their log."""
from __future__ import annotations

import asyncio
from typing import Any

from onecore.api import TABLE, Body, Request, method
from onecore.errors import BadArgument, NoExists
from onecore.kinds import verbs
from onecore.kinds.hook.match import checked
from onecore.kinds.hook.record import HOOK, Hook, HookRun, body, run_xml
from onecore.kinds.hook.runner import KEPT, Job, Runner
from onecore.kinds.kind import check_name, inner_xml, parse_template
from onecore.lifecycle.core import Core
from onecore.pool.store import Event
from onecore.wire.template import Tree
from onecore.wire.xmlrpc import escape_bytes

SHOWN, MOST = 20, 1000
"""Runs in the body of a hook, and in one answer of the log."""


def _updated(req: Request, hook: Hook, _old: Tree, new: Tree) -> Hook:
    new.set("TYPE", hook.type)
    ordered = checked(new, set(TABLE))
    new.pairs[:] = ordered.pairs
    req.tx.after(lambda: follow(req.core))
    return hook


verbs.declare(HOOK, "update", "rename", "lock", "unlock", on_update=_updated)


def runner(core: Core) -> Runner:
    """What runs them."""
    made: Runner = core.kinds["hooks"]
    return made


def follow(core: Core) -> None:
    """Hooks changed: so may the calls that are written down for them."""
    core.kinds["hook.calls"] = runner(core).calls()
    runner(core).wake()


@method("one.hookpool.info", reads=True)
def pool_info(req: Request, filter_flag: int = -2, start: int = -1, end: int = -1) -> Body:
    """The hooks that the caller may use."""
    return verbs.pool_body(req, HOOK, verbs.select(req, HOOK, -2, -1, -1))


async def _latest(req: Request, hook: Hook, decrypt: bool = False) -> list[HookRun]:
    return await asyncio.to_thread(_read, req.core, "hook = :hook", {"hook": hook.oid}, SHOWN)


def _read(core: Core, where: str, values: dict[str, Any], limit: int) -> list[HookRun]:
    return core.database.select(HookRun, where, values, "time DESC, hook, number DESC", limit)[::-1]


@method("one.hook.info", right="USE", on="hook", reads=True, prepare=_latest)
def info(req: Request, hook: Hook, decrypt: bool = False) -> Body:
    """The body, with the latest runs."""
    return Body(body(req.core, hook, req.prepared))


@method("one.hook.allocate")
def allocate(req: Request, template: str) -> int:
    """Make a hook: NAME, TYPE (api or state), COMMAND, and when it runs."""
    verbs.require_create(req, "hook")
    tree = parse_template(template)
    kept = checked(tree, set(TABLE))
    name = check_name(req.tx, req.core, HOOK, tree.get("NAME"), -1)
    oid = req.tx.next_id("hook")
    req.tx.put(Hook(oid, name, "", tree.get("TYPE").lower(), inner_xml(kept), req.core.store.given, 0))
    req.tx.log("hook", oid, "create", new=name)
    req.tx.after(lambda: follow(req.core))
    return oid


@method("one.hook.delete", right="MANAGE", on="hook")
def delete(req: Request, hook: Hook) -> int:
    """Remove it; what it ran stays in the log until that is full."""
    verbs.remove(req.tx, HOOK, hook)
    req.tx.after(lambda: follow(req.core))
    return hook.oid


async def _run(req: Request, hook: Hook, hk_exe_id: int) -> HookRun | None:
    found = await asyncio.to_thread(_read, req.core, "hook = :hook AND number = :number",
                                    {"hook": hook.oid, "number": hk_exe_id}, 1)
    return found[0] if found else None


@method("one.hook.retry", right="MANAGE", on="hook", prepare=_run)
def retry(req: Request, hook: Hook, hk_exe_id: int) -> int:
    """Run once more what a run did, with the same arguments."""
    run: HookRun | None = req.prepared
    if run is None:
        raise NoExists(f"hook {hook.oid} has no run {hk_exe_id} (the last {KEPT} are kept)", hook.oid)
    req.tx.log("hook", hook.oid, "update", keys=["RETRY"])
    event = Event(req.core.store.given + 1, 0, req.core.now(), "hook", hook.oid, "retry", "", "", "", req.caller.uid,
                  req.method, req.rid)
    req.tx.after(lambda: runner(req.core).add(Job(hook.oid, event, run)))
    return hook.oid


async def _log(req: Request, min_ts: int, max_ts: int, hook_id: int, rc_hook: int) -> list[HookRun]:
    if rc_hook not in (-1, 0, 1):
        raise BadArgument(f"rc_hook must be -1 (failed), 0 (all) or 1 (succeeded), not {rc_hook}")
    where, values = ["time >= :first"], {"first": max(min_ts, 0)}
    if max_ts >= 0:
        where.append("time <= :last")
        values["last"] = max_ts
    if hook_id >= 0:
        where.append("hook = :hook")
        values["hook"] = hook_id
    if rc_hook:
        where.append("code = 0" if rc_hook == 1 else "code <> 0")
    return await asyncio.to_thread(_read, req.core, " AND ".join(where), values, MOST)


@method("one.hooklog.info", reads=True, prepare=_log)
def log(req: Request, min_ts: int = -1, max_ts: int = -1, hook_id: int = -1, rc_hook: int = 0) -> Body:
    """What hooks ran, between two Unix seconds (-1: any), of one hook (-1: all), by how it ended; the latest 1,000."""
    verbs.require(req, "USE", "hook")
    return Body([escape_bytes(f"<HOOKLOG>{''.join(map(run_xml, req.prepared))}</HOOKLOG>")])
