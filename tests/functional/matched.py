"""What the match-maker makes of a simulated cloud: it reads as onesched does, and decides; nothing is sent."""
from __future__ import annotations

from sim import Sim

from scheduler.match import match
from scheduler.plan import Plan, Waiting
from scheduler.ranks import policy
from scheduler.reader import read_everything
from scheduler.snapshot import Snapshot
from scheduler.waiting import wants_host


class _Reads:
    """What it reads through."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim

    def text(self, method: str, *given: object) -> str:
        """The answer to a call."""
        return str(self._sim.call(method, *given))


def plan_of(sim: Sim) -> Plan:
    """A place for each VM that waits, or why there is none."""
    snapshot = Snapshot()
    read_everything(_Reads(sim), snapshot, 100)  # type: ignore[arg-type]
    waiting = [Waiting(vm.id, vm.demand, vm.priority, frozenset(), vm.host if vm.moves else -1, vm.group, vm.role)
               for vm in snapshot.vms.values() if wants_host(vm)]
    plan = match(snapshot.view(), waiting, policy())
    assert len(plan.placements) + len(plan.refusals) == len(waiting), plan
    return plan
