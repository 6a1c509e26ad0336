"""A cluster's plan: which of its VMs would be better on another of its hosts, by the rank that placed them.  Pure.

Each VM is taken off its host in thought and ranked as one that waits; it moves where that ranks higher than where it
was, at most once, and the next one sees the cloud with that done.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from onecore.wire.states import HostState, Lcm
from scheduler.bodies import MOVABLE, Cluster, Demand
from scheduler.columns import Bools
from scheduler.company import parts
from scheduler.filters import BadExpression
from scheduler.match import Bids, Board
from scheduler.plan import Placement, Waiting
from scheduler.ranks import Policy, policy
from scheduler.snapshot import Snapshot

GOALS = {"PACK": "packing", "BALANCE": "striping"}
"""ONE_DRS/POLICY of a cluster, and the policy that it stands for."""
ANY = 1_000_000
"""Migrations of a host: a plan has no limit, only its carrying out."""


def movable(snapshot: Snapshot, cluster: Cluster) -> list[int]:
    """The VMs of a cluster that may be moved and rest on hosts in order."""
    hosts = {host.id for host in snapshot.hosts.values()
             if host.cluster == cluster.id and host.state == HostState.MONITORED}
    return sorted(vm.id for vm in snapshot.vms.values() if vm.host in hosts and (vm.state, vm.lcm) in MOVABLE
                  and vm.lcm != Lcm.UNKNOWN and not vm.resched and not vm.placing and vm.to < 0)


def optimize(snapshot: Snapshot, cluster: Cluster, demands: Mapping[int, Demand], own: Policy) -> list[Placement]:
    """The moves of a plan, in order; DEMANDS are those of its VMs in full."""
    goal = GOALS.get(cluster.goal)
    chosen = own if goal is None else replace(own, host=policy(goal).host)
    board = Board(snapshot.view(ANY))
    inside = np.array([host.cluster == cluster.id for host in board.view.fixed.hosts], dtype=np.bool_)
    moves = list[Placement]()
    for vm in movable(snapshot, cluster):
        if cluster.most >= 0 and len(moves) >= cluster.most:
            break
        if vm in demands:
            known = snapshot.vms[vm]
            waiting = Waiting(vm, demands[vm], source=known.host, group=known.group, role=known.role)
            found = _better(board, waiting, known.datastore, inside, chosen)
            if found is not None:
                moves.append(found)
    return moves


def _better(board: Board, vm: Waiting, store: int, inside: Bools, own: Policy) -> Placement | None:
    """Where the VM had better be, taken off its host and put there; else None, and it is as it was."""
    row = board.row_of(vm.source)
    if row is None:
        return None
    board.give_back(row, vm)
    best, ranks = _best(board, vm, inside, own)
    moves = best is not None and ranks[best] > ranks[row]
    board.take_up(best if moves and best is not None else row, vm)
    if not moves or best is None:
        return None
    there = board.view.fixed.hosts[best]
    return Placement(vm.id, there.id, store, int(ranks[best]), there.name, vm.source)


def _best(board: Board, vm: Waiting, inside: Bools, own: Policy) -> tuple[int | None, list[int]]:
    """The row of the best host in the cluster for the VM, None when it may be nowhere; and all ranks."""
    try:
        bids = Bids(board, vm.demand, frozenset(), own)
    except BadExpression:
        return None, [0] * len(inside)
    ruled = board.view.company.ruling(vm)
    out = ~inside
    for part in parts(board.view.fixed.host_ids, board.view.fixed.name_of, ruled) if ruled else ():
        out = out | part.out
    best = bids.best(out)
    return best, bids.ranks.tolist()

