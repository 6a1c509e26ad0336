"""one.cluster.optimize, planexecute, plandelete: the match-maker plans, an administrator looks, oned carries out.

A plan's moves are ordinary migrations, each asked for when its turn comes, with the rights of who had it carried out.
"""
from __future__ import annotations

import asyncio
import json
from collections.abc import Set
from dataclasses import replace
from typing import Any

from onecore.api import TABLE, Request, method
from onecore.errors import BadArgument, Forbidden, OneError, WrongState
from onecore.kinds import verbs
from onecore.kinds.cluster import Cluster
from onecore.kinds.host.record import Host
from onecore.kinds.kind import allowed
from onecore.kinds.plan import Move, Plan, of, row
from onecore.kinds.restore import held
from onecore.kinds.user import acting
from onecore.kinds.vm.fire import state_of
from onecore.kinds.vm.public import S
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor, Tx
from onecore.wire.states import PlanState

MOST_MOVES = 10_000
AT_ONCE, AT_A_HOST = 30, 2
"""Moves of a cluster under way, and those that one host takes part in."""


# -- methods

@method("one.cluster.optimize", right="ADMIN", on="cluster")
def optimize(req: Request, cluster: Cluster) -> int:
    """Have the match-maker plan moves that would have the cluster's VMs on better hosts; replaces an older plan."""
    old = of(req.core, cluster.oid)
    if old is not None and old.state == PlanState.APPLYING:
        raise WrongState(f"the plan of cluster {cluster.oid} ({cluster.name}) is carried out now; plandelete stops it",
                         cluster.oid)
    number = req.tx.next_id("plan")
    req.tx.put(Plan(cluster.oid, number, int(PlanState.NONE), req.core.now(), req.caller.uid, "[]"))
    _log(req.tx, cluster.oid, PlanState.NONE)
    return cluster.oid


@method("one.cluster.planexecute", right="ADMIN", on="cluster")
def planexecute(req: Request, cluster: Cluster) -> int:
    """Carry the cluster's plan out, some moves at a time."""
    plan = _planned(req, cluster)
    if plan.state != PlanState.READY:
        raise WrongState(f"the plan of cluster {cluster.oid} is in state {PlanState(plan.state).name}, "
                         "planexecute needs READY", cluster.oid)
    req.tx.put(replace(plan, state=int(PlanState.APPLYING), time=req.core.now(), uid=req.caller.uid))
    _log(req.tx, cluster.oid, PlanState.APPLYING)
    return cluster.oid


@method("one.cluster.plandelete", right="ADMIN", on="cluster")
def plandelete(req: Request, cluster: Cluster) -> int:
    """Forget the cluster's plan; moves that are under way go on, no other begins."""
    req.tx.delete(_planned(req, cluster))
    req.tx.log("cluster", cluster.oid, "plan", keys=["PLAN"])
    return cluster.oid


def _planned(req: Request, cluster: Cluster) -> Plan:
    plan = of(req.core, cluster.oid)
    if plan is None:
        raise WrongState(f"cluster {cluster.oid} ({cluster.name}) has no plan; optimize asks for one", cluster.oid)
    return plan


@method("onecore.cluster.plans", reads=True)
def plans(req: Request) -> str:
    """The plans of the clusters that the caller may use, with what their moves failed for, as JSON."""
    core = req.core
    return json.dumps([row(plan) for plan in sorted(core.store.all(Plan), key=lambda plan: plan.oid)
                       if allowed(core, req.caller, "USE", "cluster", core.store.get(Cluster, plan.oid))])


@method("onecore.cluster.planned", right="ADMIN", on="cluster")
def planned(req: Request, cluster: Cluster, number: int, moves: str) -> int:
    """For the match-maker: the plan that was asked for by NUMBER; MOVES is a JSON list of {vm, host}.

    VMs that left the cluster meanwhile are left out.
    """
    if not req.caller.admin:
        raise Forbidden("Only administrators say what a plan is.", cluster.oid)
    plan = of(req.core, cluster.oid)
    if plan is None or plan.number != number or plan.state != PlanState.NONE:
        raise WrongState(f"number: nobody waits for plan {number} of cluster {cluster.oid}", cluster.oid)
    given = [one for one in _decoded(moves) if _is_in(req.core, cluster, one["vm"])]
    made = tuple(_move(req, cluster, place, one) for place, one in enumerate(given))
    state = PlanState.READY if made else PlanState.DONE
    req.tx.put(replace(plan.with_moves(made), state=int(state), time=req.core.now()))
    _log(req.tx, cluster.oid, state)
    return cluster.oid


def _decoded(text: str) -> list[dict[str, int]]:
    try:
        found = json.loads(text)
        good = isinstance(found, list) and len(found) <= MOST_MOVES and all(
            isinstance(one, dict) and {type(one[key]) for key in ("vm", "host")} == {int} for one in found)
    except (ValueError, KeyError, RecursionError):
        good = False
    if not good:
        raise BadArgument(f'moves must be a JSON list of at most {MOST_MOVES} objects, {{"vm": 1, "host": 2}}')
    return found  # type: ignore[no-any-return]


def _is_in(core: Core, cluster: Cluster, vid: int) -> bool:
    vm = core.store.get(Vm, vid)
    return vm is not None and vm.hid >= 0 and vm.cid == cluster.oid


def _move(req: Request, cluster: Cluster, place: int, one: dict[str, int]) -> Move:
    vm: Vm = verbs.existing("vm", req.core, one["vm"])
    host: Host = verbs.existing("host", req.core, one["host"])
    if host.cid != cluster.oid:
        raise BadArgument(f"moves: host {host.oid} must be in cluster {cluster.oid}", cluster.oid)
    return Move(place, vm.oid, vm.hid, host.oid, vm.ds_id, time=req.core.now())


def _log(tx: Tx, cid: int, state: PlanState) -> None:
    tx.log("cluster", cid, "plan", new=state.name, keys=["PLAN"])


def forget(tx: Tx, kind: str, oid: int) -> None:
    """A cluster that is gone has no plan."""
    plan = tx.get(Plan, oid) if kind == "cluster" else None
    if plan is not None:
        tx.delete(plan)


verbs.ON_REMOVE.append(forget)


# -- carrying out

def advance(core: Core) -> None:
    """Look at the moves under way of all plans that are carried out, and begin others; called again and again."""
    if core.store.refuses or held(core):
        return
    for plan in [plan for plan in core.store.all(Plan) if plan.state == PlanState.APPLYING]:
        moves = tuple(_looked_at(core, plan, move) for move in plan.moves)
        if moves != plan.moves or all(move.over for move in moves):
            plan = _keep(core, plan, moves)
        if plan.state == PlanState.APPLYING:
            _begin_some(core, plan)


def _looked_at(core: Core, plan: Plan, move: Move) -> Move:
    """A move as it is by its VM's record."""
    if move.state != PlanState.APPLYING or (plan.number, move.id) in _starting(core):
        return move
    vm = core.store.get(Vm, move.vm)
    if vm is not None and vm.to_hid >= 0 and vm.op:
        return move
    if vm is not None and vm.hid == move.host:
        return replace(move, state=int(PlanState.DONE), time=core.now())
    if not move.begun:  # its beginning was lost with an oned that ended
        return replace(move, state=int(PlanState.READY))
    why = (vm.error or f"it is on host {vm.hid}") if vm is not None else "it is gone"
    return replace(move, state=int(PlanState.ERROR), time=core.now(), error=f"it did not arrive: {why}"[:500])


def _actor(plan: Plan) -> Actor:
    return Actor(plan.uid, -1, "plan", f"plan-{plan.number}")


def _keep(core: Core, plan: Plan, moves: tuple[Move, ...]) -> Plan:
    over = all(move.over for move in moves)
    state = PlanState.APPLYING if not over else PlanState.ERROR if any(move.error for move in moves) else PlanState.DONE
    with core.store.tx(_actor(plan)) as tx:
        kept = tx.put(replace(plan.with_moves(moves), state=int(state)))
        if over:
            _log(tx, plan.oid, state)
    return kept


def _starting(core: Core) -> dict[tuple[int, int], asyncio.Task[None]]:
    """Moves of which the hosts are being asked, by plan and action."""
    found: dict[tuple[int, int], asyncio.Task[None]] = core.kinds.setdefault("plan.starting", {})
    return found


def _begin_some(core: Core, plan: Plan) -> None:
    busy = [host for move in plan.moves if move.state == PlanState.APPLYING for host in (move.source, move.host)]
    chosen: list[Move] = []
    for move in plan.moves:
        if len(busy) >= 2 * AT_ONCE:
            break
        if (plan.number, move.id) in _starting(core):  # a commit failed, and it begins all the same
            busy += [move.source, move.host] if move.state == PlanState.READY else []
        elif move.state == PlanState.READY and all(busy.count(host) < AT_A_HOST for host in (move.source, move.host)):
            busy += [move.source, move.host]
            chosen.append(move)
    if chosen:
        _note(core, plan, {move.id for move in chosen}, state=int(PlanState.APPLYING))
    for move in chosen:
        key = plan.number, move.id
        _starting(core)[key] = asyncio.get_running_loop().create_task(_begin(core, plan, move))
        _starting(core)[key].add_done_callback(lambda _, key=key: _starting(core).pop(key, None))  # type: ignore[misc]


def _note(core: Core, plan: Plan, numbers: Set[int], **fields: Any) -> None:
    """Change some actions of a plan, if that is still there."""
    with core.store.tx(_actor(plan)) as tx:
        _change(tx, core, plan, numbers, **fields)


def _change(tx: Tx, core: Core, plan: Plan, numbers: Set[int], **fields: Any) -> None:
    now = tx.get(Plan, plan.oid)
    if now is not None and now.number == plan.number:
        tx.put(now.with_moves(tuple(replace(move, time=core.now(), **fields) if move.id in numbers else move
                                    for move in now.moves)))


async def _begin(core: Core, plan: Plan, move: Move) -> None:
    """Ask for a migration as who had the plan carried out would; what refuses it is the action's error."""
    try:
        await _migrate(core, plan, move)
    except OneError as error:
        _note(core, plan, {move.id}, state=int(PlanState.ERROR), error=error.text[:500])
    except Exception as error:  # a bug: told once, the other moves go on
        core.log.error(f"plan {plan.number}: VM {move.vm} could not be moved", error=error)
        if not core.store.refuses:
            _note(core, plan, {move.id}, state=int(PlanState.ERROR), error="internal error, see the log")


async def _migrate(core: Core, plan: Plan, move: Move) -> None:
    found, actor = TABLE["one.vm.migrate"], _actor(plan)
    vm, given = _vm(core, move), (move.host, state_of(_vm(core, move)) is S.RUNNING, True, -1, 0)
    req = Request(core, acting(core, plan.uid, "had the plan carried out"), found.name, actor.rid, None)  # type: ignore[arg-type]
    verbs.permit(core, req.caller, found, vm, given)
    assert found.prepare is not None
    req.prepared = await found.prepare(req, vm, *given)
    with core.store.tx(actor) as tx:
        req.tx, vm, now = tx, _vm(core, move), of(core, plan.oid)
        if now is None or (now.number, now.state) != (plan.number, PlanState.APPLYING):  # deleted, or never begun
            return
        verbs.permit(core, req.caller, found, vm, given)
        found.call(req, vm, *given)
        _change(tx, core, plan, {move.id}, state=int(PlanState.APPLYING), begun=True)


def _vm(core: Core, move: Move) -> Vm:
    vm: Vm = verbs.existing("vm", core, move.vm)
    if vm.hid != move.source:
        raise WrongState(f"VM {vm.oid} is on host {vm.hid} now, no more on {move.source}", vm.oid)
    return vm
