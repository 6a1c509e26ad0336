"""When a command must stop; the hand on a host knows the same mark."""
from __future__ import annotations

from drivers.hand.token import Token

__all__ = ["Token"]
