"""The VMs that wait for a host, and when each is looked at next.  Pure; the time is handed in.

A VM is due (new, changed, or its pause is over), on its way, stuck (fits nowhere until something changes) or resting
(its deploy was refused).  One bad VM costs the others nothing: it only ever waits for itself.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from onecore.wire.states import Lcm, VmState
from scheduler.bodies import Vm
from scheduler.config import LIVE, SAVE

NEVER = float("inf")
HASTY = 3
"""A VM refused more often than this is not woken before its pause is over."""


@dataclass(slots=True)
class _Turn:
    """One VM's turn: it is due at `at`, never while its deploy is under way; `since` is when that was decided.

    `to` and `live` are where and how it was last sent to move; `not_live` the hosts that it cannot move to live.
    """

    at: float = 0.0
    since: float = 0.0
    refusals: int = 0
    avoid: set[int] = field(default_factory=set)
    to: int = -1
    to_name: str = ""
    live: bool = False
    not_live: set[int] = field(default_factory=set)


def wants_host(vm: Vm) -> bool:
    """Does the VM wait for us, to be deployed or moved?"""
    return vm.waits and not vm.placing and vm.to < 0


LIVE_TRIES = 2
"""A VM that could not move live to so many hosts is saved, if that is allowed."""


def is_live(vm: Vm, host: int, not_live: frozenset[int], rescheds: str) -> bool:
    """Does the VM move to HOST as it runs?  NOT_LIVE are hosts to which that did not work."""
    if vm.state != VmState.ACTIVE or vm.lcm != Lcm.RUNNING or rescheds == SAVE:
        return False
    return rescheds == LIVE or not (host in not_live or len(not_live) >= LIVE_TRIES)


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

    def moving(self, vm: int, host: int, name: str, live: bool) -> None:
        """The VM's migration to a host is under way."""
        turn = self._turns[vm]
        turn.at, turn.to, turn.to_name, turn.live = NEVER, host, name, live

    def sent_to(self, vm: int) -> tuple[int, str, bool] | None:
        """The host that the VM was sent to, its name, and whether live, if it was sent to move and nothing since."""
        turn = self._turns.get(vm)
        return (turn.to, turn.to_name, turn.live) if turn and turn.at == NEVER and turn.to >= 0 else None

    def not_live(self, vm: int) -> frozenset[int]:
        """The hosts that a live migration of the VM to is known not to work."""
        turn = self._turns.get(vm)
        return frozenset(turn.not_live) if turn else frozenset()

    def stuck(self, vm: int, now: float) -> None:
        """The VM fits nowhere: look again when something changes, or in a while."""
        self._set(self._turns.setdefault(vm, _Turn()), now + self.longest, now)

    def refused(self, vm: int, host: int, now: float, not_live: bool = False) -> int:
        """The deploy or migration to HOST was refused, or failed: rest, each time twice as long.

        NOT_LIVE: it may still move there otherwise than live.  Says how many refusals in a row.
        """
        turn = self._turns.setdefault(vm, _Turn())
        self._set(turn, now + min(self.longest, self.pause * 2.0 ** min(turn.refusals, 30)), now)
        turn.refusals += 1
        turn.to = -1
        turn.avoid.add(host)
        if not_live:
            turn.not_live.add(host)
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
