"""What stands in a cell of a list or a line of `show`: plain functions from an XML body to text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cli.kind import Cell, View

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_UNITS = "KMGTP"
_CLOCK = "%m/%d %H:%M:%S"


def value(body: Body, path: str, default: str = "") -> str:
    """The text at PATH, stripped, or DEFAULT when there is none."""
    return (body.findtext(path) or "").strip() or default


def number(body: Body, path: str) -> float:
    """The number at PATH, 0 when there is none."""
    try:
        return float(value(body, path, "0"))
    except ValueError:
        return 0.0


def leaf(path: str, default: str = "-") -> Cell:
    """A cell that shows the text at PATH."""
    return lambda body, view: value(body, path, default)


def named(name: str, oid: str) -> Cell:
    """A cell that shows the name at NAME, with --numeric the id at OID."""
    return lambda body, view: value(body, oid if view.numeric else name, "-")


def flag(path: str) -> Cell:
    """Yes or No for a 0/1 leaf."""
    return lambda body, view: "Yes" if value(body, path) in ("1", "YES", "yes") else "No"


def counted(path: str) -> Cell:
    """How many elements PATH finds."""
    return lambda body, view: str(len(body.findall(path)))


def listed(path: str) -> Cell:
    """The texts that PATH finds, comma separated."""
    return lambda body, view: ",".join(e.text or "" for e in body.findall(path)) or "-"


def size(kilobytes: float, view: View) -> str:
    """KILOBYTES with a unit: 128M, 1.5G; with --kilobytes the bare number."""
    if view.kilobytes:
        return f"{kilobytes:.0f}"
    step = 0
    while abs(kilobytes) >= 1024 and step < len(_UNITS) - 1:
        kilobytes, step = kilobytes / 1024, step + 1
    return f"{kilobytes:.1f}".removesuffix(".0") + _UNITS[step]


def kilobytes(path: str) -> Cell:
    """The size at PATH, which is in KB."""
    return lambda body, view: size(number(body, path), view)


def megabytes(path: str) -> Cell:
    """The size at PATH, which is in MB; '-' when it is nought."""
    return lambda body, view: size(number(body, path) * 1024, view) if number(body, path) else "-"


def share(used: str, total: str, in_kilobytes: bool = False) -> Cell:
    """'used / total (percent%)' of two leaves; '-' when the total is not known."""

    def cell(body: Body, view: View) -> str:
        most, part = number(body, total), number(body, used)
        if most <= 0:
            return "-"
        left, right = (size(n, view) if in_kilobytes else f"{n:.0f}" for n in (part, most))
        return f"{left} / {right} ({100 * part / most:.0f}%)"

    return cell


def clock(seconds: float) -> str:
    """A moment as month/day and time of day; '-' for nought."""
    return time.strftime(_CLOCK, time.localtime(seconds)) if seconds > 0 else "-"


def moment(path: str) -> Cell:
    """The epoch seconds at PATH as a moment."""
    return lambda body, view: clock(number(body, path))


def lasted(seconds: float, full: bool = False) -> str:
    """A duration: '  0d 00h01', with FULL down to the second."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    return f"{days:3d}d {hours:02d}h{minutes:02d}" + (f"m{whole % 60:02d}s" if full else "")
