"""The VMs that wait for a host, and when each is looked at next.  Pure; the time is handed in.

A VM is due (new, changed, or its pause is over), on its way, stuck (fits nowhere until something changes) or resting
(its deploy was refused).  One bad VM costs the others nothing: it only ever waits for itself.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from onecore.wire.states import VmState
from scheduler.bodies import Vm

NEVER = float("inf")
HASTY = 3
"""A VM refused more often than this is not woken before its pause is over."""


@dataclass(slots=True)
class _Turn:
    """One VM's turn: it is due at `at`, never while its deploy is under way; `since` is when that was decided."""

    at: float = 0.0
    since: float = 0.0
    refusals: int = 0
    avoid: set[int] = field(default_factory=set)


def wants_host(vm: Vm) -> bool:
    """Does the VM wait for us?  (Running VMs marked RESCHED will be the second kind of customer; not yet.)"""
    return vm.state == VmState.PENDING and not vm.placing


class Queue:
    """Who waits.  PAUSE is that after a first refusal, LONGEST the longest; both in seconds."""

    def __init__(self, pause: float, longest: float) -> None:
        self.pause, self.longest = pause, longest
        self._turns: dict[int, _Turn] = {}
        self._earliest = NEVER

    def __len__(self) -> int:
        return len(self._turns)

    def __contains__(self, vm: int) -> bool:
        return vm in self._turns

    def changed(self, vm: int) -> None:
        """The VM is new, or asks for something else: look at it now, as if for the first time."""
        self._turns[vm] = _Turn()
        self._earliest = 0.0

    def drop(self, vm: int) -> None:
        """The VM does not wait any more."""
        self._turns.pop(vm, None)

    def sent(self, vm: int) -> None:
        """The VM's deploy is under way."""
        self._turns[vm].at = NEVER

    def stuck(self, vm: int, now: float) -> None:
        """The VM fits nowhere: look again when something changes, or in a while."""
        self._set(self._turns.setdefault(vm, _Turn()), now + self.longest, now)

    def refused(self, vm: int, host: int, now: float) -> int:
        """The deploy on HOST was refused: rest, each time twice as long.  Says how many refusals in a row."""
        turn = self._turns.setdefault(vm, _Turn())
        self._set(turn, now + min(self.longest, self.pause * 2.0 ** min(turn.refusals, 30)), now)
        turn.refusals += 1
        turn.avoid.add(host)
        return turn.refusals

    def wake(self, now: float, fits: Callable[[int], bool]) -> None:
        """Something has changed: those that wait for that, and may profit as FITS says, are due."""
        for vm, turn in self._turns.items():
            if now < turn.at < NEVER and turn.since < now and turn.refusals <= HASTY and fits(vm):
                self._set(turn, 0.0, now)

    def due(self, now: float) -> list[tuple[int, frozenset[int]]]:
        """(VM, hosts that refused it) for those to look at now."""
        if now < self._earliest:
            return []
        found = [(vm, frozenset(turn.avoid)) for vm, turn in self._turns.items() if turn.at <= now]
        self._earliest = min((turn.at for turn in self._turns.values() if turn.at > now), default=NEVER)
        return found

    def next_due(self) -> float:
        """The earliest time at which a VM may be due; infinite without one."""
        return self._earliest

    def _set(self, turn: _Turn, at: float, since: float) -> None:
        turn.at, turn.since = at, since
        self._earliest = min(self._earliest, at)
