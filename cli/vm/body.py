"""What every command reads in the body of a VM."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING

from cli.cells import number, value

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ADDRESSES = ("IP", "IP6", "IP6_GLOBAL", "IP6_ULA")


def state_pair(body: Body) -> tuple[int, int]:
    """(STATE, LCM_STATE)."""
    return int(number(body, "STATE")), int(number(body, "LCM_STATE"))


def addresses(nic: Body) -> list[str]:
    """The addresses of a NIC or NIC_ALIAS element."""
    return [value(nic, name) for name in _ADDRESSES if value(nic, name)]


def decoded(text: str) -> str:
    """What a command in a guest printed: base64 as OpenNebula has it, else as it is."""
    try:
        return b64decode(text, validate=True).decode(errors="replace")
    except ValueError:
        return text


def harmless(text: str) -> str:
    """TEXT that a guest wrote, without what would command a terminal."""
    return _CONTROLS.sub("?", text)
