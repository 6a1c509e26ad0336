"""What a row is: an action at a starting place, and where it leads."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chaos_facts import Facts
from chaos_roads import act
from chaos_site import STORES, Site, Step

Done = Callable[[Facts, Site], bool]


@dataclass(frozen=True)
class Action:
    """A row: what is done at a starting place, and where that leads when nothing else happens.

    `first` is done before anything is struck; `ask` is asked again when nobody heard it.  `patience`: seconds that it
    takes by itself.  `then`: what somebody does afterwards about what it leaves on purpose.
    """

    start: str
    name: str
    ask: Step
    goals: frozenset[str]
    first: tuple[Step, ...] = ()
    then: tuple[Step, ...] = ()
    patience: float = 0.0
    stores: tuple[str, ...] = STORES
    done: Done = lambda facts, site: True
    """Whether it shows that it was done: exactly then no error is kept."""
    subject: str = ""
    """The name of the image that the goals are about; empty: the VM."""
    overtaken: frozenset[str] = frozenset()
    """Where it may be instead when what it is about ended by itself before it was heard."""
    again: frozenset[str] = frozenset()
    """Where another try may lead besides, as the first one was done in part."""
    retry: Step | None = None
    """How somebody tries again, where that is not asking for the same: it was scheduled, and its time is over."""
    leaves: bool = False
    """It leaves things on hosts, on purpose; `then` is what becomes of them."""
    forgets: bool = False
    """What was written on disks is given up."""
    fails_before: bool = False
    """It has an error already, which stays."""
    ignored: bool = False
    """It is accepted, and changes nothing that is stored."""
    lies: bool = False
    """An administrator says what is not so: no other try mends what comes of it."""

    @property
    def key(self) -> str:
        """How the command line names it."""
        return f"{self.start}/{self.name}".replace(" ", "-")


def user(start: str, action: str, goals: str, then: tuple[Step, ...] = (), **more: Any) -> Action:
    """An action of one.vm.action, a deploy or a recover."""
    return Action(start, action, act(action), frozenset(goals.split()), then=then, leaves=bool(then),
                  forgets=forgets_disks(start, action), **more)


def forgets_disks(start: str, action: str) -> bool:
    """Whether an action gives up what was written on disks."""
    return action in ("recover-delete", "recover-recreate", "recover-deletedb") or (
        "_FAILURE" in start and action.startswith("terminate"))
