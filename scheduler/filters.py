"""Which hosts and datastores can take a VM: one mask a reason, so that a refusal can be told by reason."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onecore.wire.states import HostState
from scheduler.bodies import Demand
from scheduler.columns import ALL, Bools, Live, Rows
from scheduler.evaluate import holds
from scheduler.requirements import Expression, ExpressionError, names, parse_rank, parse_requirement
from scheduler.view import Fixed, View, needed

LIVE = frozenset(("CPU_USAGE", "MEM_USAGE", "RUNNING_VMS", "FREE_CPU", "FREE_MEMORY", "CURRENT_VMS"))
"""Host attributes that a placement changes."""


class BadExpression(ExpressionError):
    """An expression of the VM cannot be read; the message names the attribute."""


@dataclass(frozen=True, slots=True)
class Terms:
    """A demand's expressions, parsed.  A rank is None where the VM leaves it to the policy."""

    automatic: Expression
    requirements: Expression
    store_automatic: Expression
    store_requirements: Expression
    rank: Expression | None
    store_rank: Expression | None


@dataclass(frozen=True, slots=True)
class Stages:
    """For some hosts: does each pass the filter?  In the order in which a refusal is told."""

    elsewhere: Bools
    state: Bools
    automatic: Bools
    requirements: Bools
    cpu: Bools
    memory: Bools
    storage: Bools
    moves: Bools

    @property
    def passed(self) -> Bools:
        """The hosts that pass them all."""
        return (self.elsewhere & self.state & self.automatic & self.requirements & self.cpu & self.memory & self.storage
                & self.moves)


def terms(demand: Demand) -> Terms:
    """The demand's expressions; raises BadExpression."""
    def read(name: str, text: str, rank: bool = False) -> Expression:
        try:
            return parse_rank(text) if rank else parse_requirement(text)
        except ExpressionError as error:
            raise BadExpression(f"{name} is not valid: {error}") from None

    return Terms(
        read("AUTOMATIC_REQUIREMENTS", demand.automatic), read("SCHED_REQUIREMENTS", demand.requirements),
        read("AUTOMATIC_DS_REQUIREMENTS", demand.store_automatic),
        read("SCHED_DS_REQUIREMENTS", demand.store_requirements),
        read("SCHED_RANK", demand.rank, True) if demand.rank.strip() else None,
        read("SCHED_DS_RANK", demand.store_rank, True) if demand.store_rank.strip() else None)


def compatible(fixed: Fixed, demand: Demand) -> Bools:
    """System datastores that the VM's disks may go to: COMPATIBLE_SYS_DS of their images' ones, or where they are."""
    fits = np.ones(len(fixed.stores), dtype=np.bool_)
    for source in demand.sources & fixed.partners.keys():
        fits &= np.isin(fixed.store_ids, list(fixed.partners[source]))
    if demand.store >= 0:
        fits &= fixed.store_ids == demand.store
    return fits


def usable_stores(fixed: Fixed, demand: Demand, terms: Terms) -> Bools:
    """System datastores that are enabled, compatible and meet the VM's requirements."""
    table = fixed.store_table
    return (fixed.enabled & compatible(fixed, demand) & fixed.mask(table, terms.store_automatic)
            & fixed.mask(table, terms.store_requirements))


def stages(view: View, demand: Demand, terms: Terms, stores: Bools, rows: Rows = ALL, source: int = -1) -> Stages:
    """The filters for the hosts in ROWS; STORES are what usable_stores found, SOURCE is the host to move from."""
    fixed = view.fixed
    roomy = has_room(view, demand, rows)
    return Stages(
        fixed.host_ids[rows] != source, fixed.state[rows] == HostState.MONITORED,
        _met(view.hosts, fixed, terms.automatic, rows),
        _met(view.hosts, fixed, terms.requirements, rows), view.free_cpu[rows] >= demand.cpu,
        view.free_memory[rows] >= demand.memory, np.any(stores & fixed.reach[rows] & roomy, axis=1),
        (view.moves[rows] < view.most_moves) | (source < 0))


def has_room(view: View, demand: Demand, rows: Rows) -> Bools:
    """[host, store]: is there room for the VM's disks?  A VM that needs none finds it anywhere."""
    need = needed(view.fixed, demand)
    return np.asarray(view.space[rows] >= np.where(need > 0, need, -np.inf), dtype=np.bool_)


def _met(hosts: Live, fixed: Fixed, tree: Expression, rows: Rows) -> Bools:
    return fixed.mask(fixed.host_table, tree)[rows] if LIVE.isdisjoint(names(tree)) else holds(tree, hosts, rows)
