"""Cells of a user's or group's VM usage and limits.  In a pool these follow the object as a QUOTAS element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.cells import number, size, value
from cli.kind import Cell, View

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_DEFAULT, _UNLIMITED = "-1", "-2"


def _usage(body: Body) -> Body | None:
    following = body.getnext()
    if following is not None and following.tag == "QUOTAS":
        return following.find("VM_QUOTA/VM")
    return body.find("VM_QUOTA/VM")


def cell(name: str, factor: float = 0.0) -> Cell:
    """'used / limit' of NAME (VMS, CPU, MEMORY); FACTOR gives KB, 0 is a plain number; '-' without a limit."""

    def show(body: Body, view: View) -> str:
        usage = _usage(body)
        if usage is None:
            return "-"
        limit = value(usage, name, _DEFAULT)
        return f"{_text(usage, f'{name}_USED')} / {'-' if limit in (_DEFAULT, _UNLIMITED) else _text(usage, name)}"

    def _text(usage: Body, path: str) -> str:
        amount = number(usage, path)
        return size(amount * factor, View()) if factor else f"{amount:g}"

    return show
