"""A cluster's plan: moves that would have VMs on better hosts.  The record, and how bodies show it.

`optimize.py` has the methods and carries plans out; the match-maker makes them.
"""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

from onecore.lifecycle.core import Core
from onecore.pool.record import Object, Record
from onecore.wire import xmlbody
from onecore.wire.states import PlanState


@dataclass(frozen=True, slots=True)
class Move:
    """One action: a VM goes from SOURCE to HOST and stays in datastore DS.

    `begun`: its migration was accepted.  `time`: of its last change.  `error`: why it was not done.
    """

    id: int
    vm: int
    source: int
    host: int
    ds: int
    state: int = 0
    begun: bool = False
    time: int = 0
    error: str = ""

    @property
    def over(self) -> bool:
        """Whether it is done, or will not be."""
        return self.state > PlanState.APPLYING


@lru_cache(64)
def _moves(actions: str) -> tuple[Move, ...]:
    return tuple(Move(**one) for one in json.loads(actions))


@dataclass(frozen=True, slots=True)
class Plan(Record):
    """A cluster's latest plan; `number` rises with each, `uid` is who asked, or who had it carried out."""

    TABLE: ClassVar[str] = "plan_pool"
    oid: int
    number: int
    state: int
    time: int
    uid: int
    actions: str

    def touches(self) -> tuple[Object, ...]:
        """The cluster."""
        return (("cluster", self.oid),)

    @property
    def moves(self) -> tuple[Move, ...]:
        """Its actions."""
        return _moves(self.actions)

    def with_moves(self, moves: tuple[Move, ...]) -> Plan:
        """The plan with other actions."""
        return replace(self, actions=json.dumps([asdict(move) for move in moves], separators=(",", ":")))


def of(core: Core, cid: int) -> Plan | None:
    """The plan of a cluster."""
    return core.store.get(Plan, cid)


def xml(plan: Plan | None) -> str:
    """<PLAN>, once it has actions: the schema demands one."""
    moves = plan.moves if plan else ()
    if plan is None or not moves:
        return ""
    actions = "".join(
        f"<ACTION><ID>{move.id}</ID><VM_ID>{move.vm}</VM_ID><STATE>{move.state}</STATE><OPERATION>migrate</OPERATION>"
        f"<HOST_ID>{move.host}</HOST_ID><DS_ID>{move.ds}</DS_ID><TIMESTAMP>{move.time}</TIMESTAMP></ACTION>"
        for move in moves)
    return f"<PLAN><ID>{plan.oid}</ID><STATE>{plan.state}</STATE>{actions}</PLAN>"


MESSAGE = "PLAN_MESSAGE"
"""The attribute that bodies show where a plan cannot tell enough by itself."""


def message(plan: Plan | None) -> str:
    """PLAN_MESSAGE: that the match-maker is asked, that nothing is better, or which moves failed and why."""
    if plan is None:
        return ""
    failed = [f"VM {move.vm}: {move.error}" for move in plan.moves if move.error]
    said = {PlanState.NONE: "the match-maker was asked for a plan",
            PlanState.DONE: "" if plan.moves else "no VM would be better on another host"}.get(
                PlanState(plan.state), "; ".join(failed[:5]))
    return xmlbody.text(MESSAGE, said) if said else ""


def row(plan: Plan) -> dict[str, Any]:
    """As onecore.cluster.plans tells it."""
    return {"cluster": plan.oid, "number": plan.number, "state": plan.state, "time": plan.time, "user": plan.uid,
            "actions": [asdict(move) for move in plan.moves]}
