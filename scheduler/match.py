"""The match: VMs that wait, in order of priority and age, each to its best host at once.  Pure.

Every placement is taken off the view before the next VM is looked at.  VMs with the same demand share one row of bids,
of which only the hosts that changed since are worked out again.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from scheduler.bodies import Demand, Vm
from scheduler.columns import ALL, Bools, Floats, Ints, Rows, figure
from scheduler.company import Part, parts
from scheduler.evaluate import ranks
from scheduler.explain import bad_expression, refusal
from scheduler.filters import BadExpression, Terms, has_room, stages, terms, usable_stores
from scheduler.plan import Placement, Plan, Reason, Refusal, Waiting
from scheduler.ranks import Policy
from scheduler.view import View, needed, take_space

NEVER = -np.inf
AVOIDED = 2.0 ** 60
FEW = 16
TURN = "Cannot move VM: as many VMs as may are moving from its host; it waits for its turn"
Key = tuple[Demand, frozenset[int], int]
"""What bids are the same for: demand, hosts to avoid, the host to move from."""


class Board:
    """A view under change: which host rows were taken from, in order."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.touched: list[int] = []
        self.shared_space = 0

    def take(self, row: int, column: int, vm: Waiting) -> None:
        """Take what VM needs off host ROW and store COLUMN."""
        view, demand = self.view, vm.demand
        self.take_up(row, vm)
        if vm.source >= 0:
            self._count_move(row, vm.source)
        megabytes = int(needed(view.fixed, demand)[column])
        if megabytes:
            take_space(view.fixed, view.space, row, column, megabytes)
            self.shared_space += int(view.fixed.common[column])

    def take_up(self, row: int, vm: Waiting) -> None:
        """Count VM on host ROW, whose storage it does not touch."""
        self._count(row, vm.demand, 1)
        self.view.vms[row] = self.view.vms[row] | {vm.id}
        self.view.company.take(vm, self.view.fixed.hosts[row].id)

    def give_back(self, row: int, vm: Waiting) -> None:
        """The opposite, but that its group still knows it there."""
        self._count(row, vm.demand, -1)
        self.view.vms[row] = self.view.vms[row] - {vm.id}

    def _count(self, row: int, demand: Demand, sign: int) -> None:
        view = self.view
        view.used_cpu[row] += sign * demand.cpu
        view.used_memory[row] += sign * demand.memory
        view.running[row] += sign
        view.idle_cpu[row] -= sign * demand.cpu
        view.idle_memory[row] -= sign * demand.memory
        self.touched.append(row)

    def _count_move(self, row: int, source: int) -> None:
        """One more migration, from the host SOURCE to the one in ROW."""
        here = self.row_of(source)
        self.view.moves[row] += 1
        if here is not None:
            self.view.moves[here] += 1
            self.touched.append(here)

    def row_of(self, host: int) -> int | None:
        """The row of a host by its id."""
        found = np.flatnonzero(self.view.fixed.host_ids == host)
        return int(found[0]) if len(found) else None

    def is_busy(self, host: int) -> bool:
        """Does the host take part in as many migrations as it may?"""
        row = self.row_of(host)
        return row is not None and int(self.view.moves[row]) >= self.view.most_moves


class Bids:
    """What each host is worth for one demand, kept up with the board."""

    def __init__(self, board: Board, demand: Demand, avoid: frozenset[int], policy: Policy, source: int = -1) -> None:
        self.board, self.demand, self.policy, self.source = board, demand, policy, source
        self.terms: Terms = terms(demand)
        fixed = board.view.fixed
        self.stores: Bools = usable_stores(fixed, demand, self.terms)
        self.malus: Floats = np.where(np.isin(fixed.host_ids, list(avoid)), AVOIDED, 0.0)
        self.worth: Floats = np.full(len(fixed.hosts), NEVER)
        self.ranks: Ints = np.zeros(len(fixed.hosts), dtype=np.int64)
        self.exhausted: Refusal | None = None
        self._seen, self._shared = len(board.touched), board.shared_space
        self._work_out(ALL)

    def best(self, but: Bools | None = None) -> int | None:
        """The row of the best host, not one of those in BUT; None when none can take the VM."""
        self._catch_up()
        if not len(self.worth):
            return None
        worth = self.worth if but is None else np.where(but, NEVER, self.worth)
        row = int(worth.argmax())
        return None if worth[row] == NEVER else row

    def fits(self) -> Bools:
        """Which hosts can take the VM."""
        self._catch_up()
        found: Bools = self.worth != NEVER
        return found

    def store(self, row: int) -> int:
        """The column of the best datastore for the host in ROW, which has one."""
        view = self.board.view
        roomy = has_room(view, self.demand, np.array([row]))[0]
        columns = np.flatnonzero(self.stores & view.fixed.reach[row] & roomy)
        if len(columns) == 1:
            return int(columns[0])
        tree = self.policy.store if self.terms.store_rank is None else self.terms.store_rank
        return int(columns[ranks(tree, view.stores(row), columns).argmax()])

    def _catch_up(self) -> None:
        board = self.board
        news = board.touched[self._seen:]
        if board.shared_space != self._shared or len(news) > FEW:
            self._work_out(ALL)
        elif news:
            self._work_out(np.array(sorted(set(news)), dtype=np.int64))
        self._seen, self._shared = len(board.touched), board.shared_space

    def _work_out(self, rows: Rows) -> None:
        tree = self.policy.host if self.terms.rank is None else self.terms.rank
        passed = stages(self.board.view, self.demand, self.terms, self.stores, rows, self.source).passed
        self.ranks[rows] = ranks(tree, self.board.view.hosts, rows)
        self.worth[rows] = np.where(passed, self.ranks[rows] - self.malus[rows], NEVER)


def match(view: View, waiting: Iterable[Waiting], policy: Policy) -> Plan:
    """Decide for all that are WAITING.  VIEW is used up."""
    board, known = Board(view), dict[Key, Bids | str]()
    placements, refusals = list[Placement](), list[Refusal]()
    for vm in view.company.in_order(waiting):
        found = _decide(board, known, vm, policy)
        if isinstance(found, Placement):
            placements.append(found)
        else:
            refusals.append(found)
    return Plan(tuple(placements), tuple(refusals))


def _decide(board: Board, known: dict[Key, Bids | str], vm: Waiting, policy: Policy) -> Placement | Refusal:
    if vm.source >= 0 and board.is_busy(vm.source):
        return Refusal(vm.id, {Reason.MOVES: 1}, TURN)
    bids = _bids(board, known, (vm.demand, vm.avoid, vm.source), policy)
    if isinstance(bids, str):
        return bad_expression(vm.id, bids, vm.source)
    if bids.exhausted:
        return Refusal(vm.id, bids.exhausted.counts, bids.exhausted.text)
    return _place(board, bids, vm, _ruled(board, known, bids, vm, policy) if vm.group >= 0 else ())


def _bids(board: Board, known: dict[Key, Bids | str], key: Key, policy: Policy) -> Bids | str:
    """What hosts are worth to all VMs of KEY; the text of what cannot be read of them."""
    if key not in known:
        demand, avoid, source = key
        try:
            known[key] = Bids(board, demand, avoid, policy, source)
        except BadExpression as error:
            known[key] = str(error)
    return known[key]


def _ruled(board: Board, known: dict[Key, Bids | str], bids: Bids, vm: Waiting, policy: Policy) -> tuple[Part, ...]:
    """The hosts that the VM's group forbids, by reason."""
    view = board.view
    found = view.company.ruling(vm)
    if found is None:
        return ()
    told = list(parts(view.fixed.host_ids, view.fixed.name_of, found))
    mates = view.company.mates(vm) if not found.near else []
    if mates:
        keys = {(mate.demand, frozenset[int](), mate.host if mate.moves else -1) for mate in mates}
        others = [_bids(board, known, key, policy) for key in keys]
        told.append(_together(view, bids, vm, mates, [one for one in others if not isinstance(one, str)], found.label))
    return tuple(told)


def _together(view: View, bids: Bids, vm: Waiting, mates: list[Vm], others: list[Bids], label: str) -> Part:
    """The hosts that cannot take the VM and all its MATES, which must be on one host and are on none yet."""
    all_of_them = [vm.demand, *(mate.demand for mate in mates)]
    total = replace(vm.demand, **{name: sum(getattr(one, name) for one in all_of_them)
                                  for name in ("cpu", "memory", "disk", "saved")})
    fits = stages(view, total, bids.terms, bids.stores, source=vm.source).passed
    for one in others:
        fits = fits & one.fits()
    rest = (f"not do for it and the {len(mates)} VMs that wait and must be with it ({label}; together they need "
            f"{figure(total.cpu / 100)} CPU and {total.memory // 1024} MB)")
    return Part(~fits, f"does {rest}", f"do {rest}", last=True)


def _place(board: Board, bids: Bids, vm: Waiting, ruled: tuple[Part, ...]) -> Placement | Refusal:
    row = bids.best(np.any([part.out for part in ruled], axis=0) if ruled else None)
    if row is None:
        told = refusal(board.view, vm.id, bids.demand, bids.terms, bids.stores, vm.source, ruled)
        bids.exhausted = None if ruled else told
        return told
    column = bids.store(row)
    host, store = board.view.fixed.hosts[row], board.view.fixed.stores[column]
    placement = Placement(vm.id, host.id, store.id, int(bids.ranks[row]), host.name, vm.source)
    board.take(row, column, vm)
    return placement
