"""Spans of time as options take them."""

from __future__ import annotations

import re

from cli.errors import CliError

_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smh]?)\Z")


def seconds(text: str) -> float:
    """Seconds of `90`, `5m` or `1h`; raises CliError."""
    found = _SPAN.match(text.strip())
    if not found:
        raise CliError(f"{text!r} is not a time, as in 90, 5m or 1h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
