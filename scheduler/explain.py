"""Why a VM cannot be placed, in words: every host counted once, under the first filter that it does not pass."""
from __future__ import annotations

from collections.abc import Iterator, Set

import numpy as np

from onecore.wire.states import HostState
from scheduler.bodies import Demand
from scheduler.columns import Bools, Floats, Ints, Table, figure
from scheduler.company import Part
from scheduler.evaluate import holds
from scheduler.filters import LIVE, Stages, Terms, compatible, stages
from scheduler.plan import Reason, Refusal
from scheduler.requirements import Expression, demands, names, to_text
from scheduler.view import View, needed

OPENING, MOVING = "Cannot place VM: ", "Cannot move VM: "
LONGEST = 160
_STATES = {
    HostState.ERROR: "in error", HostState.DISABLED: "disabled", HostState.OFFLINE: "offline",
    HostState.INIT: "not monitored yet", HostState.MONITORING_INIT: "not monitored yet",
    HostState.MONITORING_ERROR: "in error", HostState.MONITORING_DISABLED: "disabled",
    HostState.MONITORING_MONITORED: "not monitored yet"}
Told = Iterator[tuple[Reason, int, str]]
"""(reason, number of hosts, the sentence part)."""


def _opening(source: int) -> str:
    return OPENING if source < 0 else MOVING


def bad_expression(vm: int, text: str, source: int = -1) -> Refusal:
    """The refusal of a VM whose expression cannot be read."""
    return Refusal(vm, {Reason.EXPRESSION: 1}, _opening(source) + text)


def refused(host: str, text: str, moves: bool = False) -> str:
    """The message of a VM whose deploy, or migration, oned did not accept."""
    if moves:
        return f"{MOVING}host {host} would do, but the migration was refused: {text}"
    return f"{OPENING}host {host} would do, but the deploy was refused: {text}"


def failed(host: str, live: bool) -> str:
    """The message of a VM that came back from a migration."""
    return f"{MOVING}its {'live ' if live else ''}migration to host {host} failed, as its ERROR says"


def lost(host: str) -> str:
    """The message of a VM in UNKNOWN whose host does not answer."""
    return f"{MOVING}nobody can say whether it runs, and host {host} does not answer"


def refusal(view: View, vm: int, demand: Demand, terms: Terms, stores: Bools, source: int = -1,
            ruled: tuple[Part, ...] = ()) -> Refusal:
    """The refusal of a VM that no host in VIEW can take, other than SOURCE, which it is on; RULED: by its VM group."""
    total, opening = len(view.fixed.hosts), _opening(source)
    if not total:
        return Refusal(vm, {Reason.STATE: 0}, opening + "there are no hosts")
    told = list(_reasons(view, demand, terms, stores, source, ruled))
    counts: dict[Reason, int] = {}
    for reason, count, _ in told:
        counts[reason] = counts.get(reason, 0) + count
    parts = ", ".join(text for _, _, text in told)
    return Refusal(vm, counts, f"{opening}{_hosts(total)}: {parts}")


def _hosts(count: int) -> str:
    return f"{count} host" + "s" * (count != 1)


def _be(count: int, rest: str) -> str:
    return f"{count} {'is' if count == 1 else 'are'} {rest}"


def _have(count: int, rest: str) -> str:
    return f"{count} {'has' if count == 1 else 'have'} {rest}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST - 1] + "…"


def _reasons(view: View, demand: Demand, terms: Terms, stores: Bools, source: int, ruled: tuple[Part, ...]) -> Told:
    found: Stages = stages(view, demand, terms, stores, source=source)
    if not found.elsewhere.all():
        yield Reason.HERE, 1, "1 is the one it is on"
    yield from _by_state(view.fixed.state[found.elsewhere & ~found.state])
    left = found.elsewhere & found.state
    out, left = left & ~found.automatic, left & found.automatic
    if out.any():
        count = int(out.sum())
        yield Reason.AUTOMATIC, count, _be(
            count, f"not where its disks and networks can be used ({_short(to_text(terms.automatic))})")
    out, left = left & ~found.requirements, left & found.requirements
    if out.any():
        yield Reason.REQUIREMENTS, int(out.sum()), _unmet(view, terms.requirements, out)
    for part in ruled:
        if not part.last:
            yield from _by_group(part, left)
            left = left & ~part.out
    yield from _capacity(view, demand, found, left)
    left = left & found.cpu & found.memory
    yield from _storage(view, demand, terms, stores, left & ~found.storage)
    busy = int((left & found.storage & ~found.moves).sum())
    if busy:
        yield Reason.MOVES, busy, f"{busy} take{'s' * (busy == 1)} part in {view.most_moves} migrations already"
    for part in ruled:
        if part.last:
            yield from _by_group(part, left & found.storage & found.moves)


def _by_group(part: Part, left: Bools) -> Told:
    count = int((left & part.out).sum())
    if count:
        yield Reason.GROUP, count, f"{count} {part.one if count == 1 else part.many}"


def _by_state(states: Ints) -> Told:
    words = [_STATES.get(HostState(state), "not usable") for state in states.tolist()]
    for word in dict.fromkeys(words):
        yield Reason.STATE, words.count(word), _be(words.count(word), word)


def _unmet(view: View, tree: Expression, out: Bools) -> str:
    """The part of the requirements that rules out all hosts in OUT if there is one, else the whole."""
    count = int(out.sum())
    rows = np.flatnonzero(out)
    culprits = [part for part in demands(tree) if not holds(part, view.hosts, rows).any()]
    shown = min(culprits, key=lambda part: len(to_text(part)), default=tree)
    return (f"{count} {'does' if count == 1 else 'do'} not match SCHED_REQUIREMENTS "
            f"({_short(to_text(shown))}{_unknown(view.fixed.host_table, shown, 'host', LIVE)})")


def _unknown(table: Table, tree: Expression, kind: str, known: Set[str]) -> str:
    """Says which attributes of TREE nobody has: most often a typing error."""
    absent = sorted(name for name in names(tree) - known if not table.has(name))
    return f"; no {kind} has {' or '.join(absent)}" if absent else ""


def _capacity(view: View, demand: Demand, found: Stages, left: Bools) -> Told:
    cores = f"need {figure(demand.cpu / 100)}", view.free_cpu / 100, "CPU"
    memory = f"need {demand.memory // 1024}", view.free_memory // 1024, "MB"
    for reason, out, what, shown in (
            (Reason.CPU, left & ~found.cpu & found.memory, "CPU", (cores,)),
            (Reason.MEMORY, left & found.cpu & ~found.memory, "memory", (memory,)),
            (Reason.MEMORY, left & ~found.cpu & ~found.memory, "CPU and memory", (cores, memory))):
        if out.any():
            count = int(out.sum())
            figures = "; ".join(f"{need} {unit}, {_most(view, free, out, unit)}" for need, free, unit in shown)
            yield reason, count, _have(count, f"not enough {what} ({figures})")


def _most(view: View, free: Floats | Ints, out: Bools, unit: str) -> str:
    row = int(np.where(out, free, -np.inf).argmax())
    return f"most free {figure(max(0.0, float(free[row])))} {unit} on {view.fixed.hosts[row].name}"


def _storage(view: View, demand: Demand, terms: Terms, stores: Bools, left: Bools) -> Told:
    near = (stores & view.fixed.reach).any(axis=1)
    out = left & near
    if out.any():
        count = int(out.sum())
        usable = np.where(stores & view.fixed.reach & out[:, None], view.space, -np.inf)
        row, column = np.unravel_index(int(usable.argmax()), usable.shape)
        place = f"{view.fixed.stores[int(column)].name} on {view.fixed.hosts[int(row)].name}"
        most, need = figure(max(0.0, float(usable.max()))), int(needed(view.fixed, demand)[column])
        yield Reason.SPACE, count, _have(
            count, f"not enough space in a system datastore (need {need} MB, most free {most} MB in {place})")
    out = left & ~near
    if out.any():
        count = int(out.sum())
        yield Reason.DATASTORE, count, _have(count, f"no system datastore for it ({_stores(view, demand, terms)})")


def _stores(view: View, demand: Demand, terms: Terms) -> str:
    """What rules out each system datastore, counted."""
    fixed, total = view.fixed, len(view.fixed.stores)
    if not total:
        return "there is none"
    left, parts = np.ones(total, dtype=np.bool_), list[str]()
    for mask, words in (
            (fixed.enabled, "disabled"),
            (compatible(fixed, demand),
             "not where its disks are" if demand.store >= 0 else "not compatible with its images"),
            (fixed.mask(fixed.store_table, terms.store_automatic),
             f"not where its disks and networks can be used ({_short(to_text(terms.store_automatic))})"),
            (fixed.mask(fixed.store_table, terms.store_requirements),
             f"outside SCHED_DS_REQUIREMENTS ({_short(to_text(terms.store_requirements))}"
             f"{_unknown(fixed.store_table, terms.store_requirements, 'system datastore', set())})")):
        count = int((left & ~mask).sum())
        left &= mask
        if count:
            parts.append(_be(count, words))
    if left.any():
        parts.append(_be(int(left.sum()), "not in the host's cluster"))
    return f"{total} system datastore{'s' * (total != 1)}: {', '.join(parts)}"
