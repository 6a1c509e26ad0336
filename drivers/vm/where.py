"""Where a guest is that was to move, from what its two hosts say: the last word of every live migration."""
from __future__ import annotations

from typing import Literal

Where = Literal["to", "from", "unknown"]


def where(here: bool | None, there: bool | None) -> Where:
    """`to`, `from` or `unknown`, from whether it runs on the host that it leaves and on the other (None: not told).

    A guest that runs on neither ended where it was.
    """
    if there:
        return "to"
    if here or there is False:
        return "from"
    return "unknown"
