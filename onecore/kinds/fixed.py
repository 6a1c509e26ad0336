"""Kinds that clients expect and that are fixed: VDC 0."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onecore.kinds.kind import KINDS, Kind
from onecore.lifecycle.core import Core
from onecore.pool.record import Record


@dataclass(frozen=True, slots=True)
class Vdc(Record):
    """A virtual data centre."""

    TABLE: ClassVar[str] = "vdc_pool"
    KIND: ClassVar[str] = "vdc"
    oid: int
    name: str
    template: bytes


def _no_body(core: Core, record: Record) -> list[bytes]:
    return []


KINDS["vdc"] = Kind("vdc", "VDC", Vdc, "one.vdc", "one.vdcpool", _no_body, owned=False, unique="all")
