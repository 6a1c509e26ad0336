"""What the fixtures that make clouds hand out."""
from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cloud_process import Cloud, Settings
from sim_ground import Ground

One = Callable[..., str]
"""one("vm", "list") as oneadmin gives what was printed; AssertionError with the message when it fails."""


class MakeCloud(Protocol):
    """Makes a cloud with its own configuration; DB is a [database] url, START=False only prepares its home."""

    def __call__(self, config: Settings | None = None, db: str = "", start: bool = True) -> Cloud: ...


class MakeGround(Protocol):
    """Makes a simulated cloud; the keyword arguments are deadlines in seconds."""

    def __call__(self, seed: int = 0, **deadlines: int) -> Ground: ...
