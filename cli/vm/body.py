"""What every command reads in the body of a VM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.cells import number, value

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_ADDRESSES = ("IP", "IP6", "IP6_GLOBAL", "IP6_ULA")


def state_pair(body: Body) -> tuple[int, int]:
    """(STATE, LCM_STATE)."""
    return int(number(body, "STATE")), int(number(body, "LCM_STATE"))


def addresses(nic: Body) -> list[str]:
    """The addresses of a NIC or NIC_ALIAS element."""
    return [value(nic, name) for name in _ADDRESSES if value(nic, name)]
