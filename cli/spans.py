"""Spans of time and moments as options take them."""

from __future__ import annotations

import re
import time

from cli.errors import CliError

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
"""Seconds of each unit of time."""
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)\Z")


SPANS = "90 (seconds), 5m, 1h or 2d"
"""What `seconds` takes, for texts of help."""


def seconds(text: str, name: str = "--timeout") -> float:
    """Seconds of `90`, `5m`, `1h` or `2d`; raises CliError that names the option NAME."""
    found = _SPAN.match(text.strip())
    if not found:
        raise CliError(f"{name} {text!r} is not a time, as in {SPANS}")
    return float(found[1]) * UNITS[found[2]]


MOMENTS = '2h or 7d ago, 2026-03-31, "2026-03-31 17:05", or Unix seconds'
"""What `moment` takes, for texts of help."""
_AGO = re.compile(r"(\d+)([smhd])\Z")
_DATES = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%m/%d/%Y")


def moment(text: str, name: str) -> int:
    """Unix seconds of so long ago, a date with or without a time of day (of this machine), or themselves.

    Raises CliError that names the option NAME.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return int(text)
    ago = _AGO.match(text)
    if ago:
        return int(time.time()) - int(ago[1]) * UNITS[ago[2]]
    for form in _DATES:
        try:
            return int(time.mktime(time.strptime(text, form)))
        except (ValueError, OverflowError):
            continue
    raise CliError(f"{name} {text!r} is no moment, as in {MOMENTS}")
