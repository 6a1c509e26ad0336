"""What a match decides, as values: where VMs go, and why others cannot."""
from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from scheduler.bodies import Demand


class Reason(Enum):
    """Why a host, or all of them, cannot take a VM."""

    EXPRESSION = "expression"
    STATE = "state"
    AUTOMATIC = "automatic requirements"
    REQUIREMENTS = "requirements"
    CPU = "cpu"
    MEMORY = "memory"
    SPACE = "space"
    DATASTORE = "datastore"
    HERE = "it is on this one"
    MOVES = "migrations under way"
    GROUP = "vm group"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A VM that waits for a host; AVOID are hosts that refused it, taken only when no other fits.

    SOURCE is the host that it moves from, -1: it is on none.  It has ROLE in a VM group, -1: it is in none.
    """

    id: int
    demand: Demand
    priority: float = 0.0
    avoid: frozenset[int] = frozenset()
    source: int = -1
    group: int = -1
    role: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """A VM goes to a host and a system datastore; `name` is the host's.

    `source` is the host that it is moved from, -1: it is deployed.  `live`: as it runs.
    """

    vm: int
    host: int
    store: int
    rank: int = 0
    name: str = ""
    source: int = -1
    live: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """No host can take the VM now: hosts by reason, and the same as a text for its owner."""

    vm: int
    counts: dict[Reason, int]
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions of one match, best VM first."""

    placements: tuple[Placement, ...] = ()
    refusals: tuple[Refusal, ...] = field(default=())
