"""Records of what has to be done on hosts: commands that await their result, and clean-up that is owed."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onecore.pool.record import Object, Record

CANCEL = "cancel"
"""In an outbox row's `args`: its command is to be stopped."""


@dataclass(frozen=True, slots=True)
class Outbox(Record):
    """A command under way.  Its arguments are made from the object's records when it is sent."""

    TABLE: ClassVar[str] = "outbox"
    KEY: ClassVar[tuple[str, ...]] = ("op",)
    op: int
    kind: str
    oid: int
    command: str
    """FAMILY.ACTION."""
    attempt: int
    since: int
    """Unix time at which it was decided."""
    rid: str = ""
    args: str = ""
    """Words: force (an image is removed whatever its file does), cancel."""

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for its end."""
        return CANCEL in self.args.split()

    def touches(self) -> tuple[Object, ...]:
        """An outbox row shows nowhere."""
        return ()


@dataclass(frozen=True, slots=True)
class Owed(Record):
    """Clean-up that a host owes: what was left there by generation GENERATION of VM `vid`."""

    TABLE: ClassVar[str] = "owed"
    KEY: ClassVar[tuple[str, ...]] = ("hid", "vid")
    hid: int
    vid: int
    generation: int
    ds_id: int
    since: int
    files: int
    """1: the VM's directory goes too; 0: the domain only."""
    fenced: int = 0
    """1: the host is certainly off until it returns, so that the VM may start elsewhere meanwhile."""
    nics: str = ""
    """The NICs that the VM had, a JSON array: their networks are cleaned too."""
    images: str = ""
    """Persistent images whose files its guest has as disks and may write to, ids with commas between."""

    def touches(self) -> tuple[Object, ...]:
        """Shown with the host."""
        return (("host", self.hid),)
