"""How far a host is with getting rid of its VMs, as the server tells it, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cli import sections
from cli.cells import clock
from cli.errors import one_line
from cli.session import Session

Drain = Mapping[str, Any]


def ask(session: Session, oid: int) -> Drain:
    """What onecore.host.drain says of host OID."""
    found: Drain = json.loads(session.text("onecore.host.drain", oid))
    return found


def is_over(found: Drain) -> bool:
    """Whether nothing is moved away any more."""
    return not found["since"]


def summary(found: Drain) -> str:
    """`since 09/21 14:13:13, 4 moved, 2 left`."""
    return f"since {clock(float(found['since']))}, {found['moved']} moved, {len(found['left'])} left"


def left(found: Drain) -> list[str]:
    """A line for each VM that is left, and why."""
    heads = [("ID", 4, False), ("NAME", 15, True), ("STATE", 15, True), ("WHY", 20, True)]
    return sections.grid(heads, [_row(vm) for vm in found["left"]])


def _row(vm: Mapping[str, Any]) -> Sequence[str]:
    return [str(vm["vm"]), str(vm["name"]), str(vm["state"]).lower(), one_line(vm["why"])]
