"""A VM's directory as a value: which disks are in it, what was written on them, their snapshots.  No I/O here.

What is on a disk is a number that each start of a guest raises: who knows it, knows whether a write was lost.
"""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from drivers.base import Permanent
from onecore.wire.messages import Doc

ARRIVING = "arriving"


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk's file and what belongs to it; `snapshots` is what they hold by id, `copy` what `disk.N.saveas` does."""

    mb: int = 0
    content: int = 0
    snapshots: Mapping[str, int] = field(default_factory=dict)
    copy: int | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """`mark` says that it is being filled: what is in it is not to be believed then."""

    disks: Mapping[str, Disk] = field(default_factory=dict)
    checkpoint: bool = False
    mark: str = ""
    by: tuple[int, ...] = ()
    """Epoch, generation and number of the operation that made it so."""

    @property
    def mb(self) -> int:
        """What its disks take."""
        return sum(disk.mb for disk in self.disks.values())

    def disk(self, number: str) -> Disk:
        """One of its disks; Permanent when it is not there."""
        if number not in self.disks:
            raise Permanent(f"disk {number}: its file disk.{number} is missing")
        return self.disks[number]

    def having(self, number: str, disk: Disk | None) -> Folder:
        """The same with DISK as its disk NUMBER; None: without that."""
        rest = {each: there for each, there in self.disks.items() if each != number}
        return replace(self, disks=rest if disk is None else {**rest, number: disk})

    def written(self) -> Folder:
        """The same after the guest wrote on every disk."""
        return replace(self, disks={number: replace(disk, content=disk.content + 1)
                                    for number, disk in self.disks.items()})

    def text(self) -> str:
        """The content of its file: MB on the first line, all else as JSON on the second."""
        said: Doc = {"disks": {number: _said(disk) for number, disk in self.disks.items()}}
        if self.checkpoint:
            said["checkpoint"] = True
        if self.mark:
            said["mark"] = self.mark
        if self.by:
            said["by"] = self.by
        return f"{self.mb}\n{json.dumps(said)}\n"

    @staticmethod
    def parse(text: str) -> Folder:
        """What a file says; ValueError when it makes no sense."""
        said = json.loads(text.partition("\n")[2])
        disks = {number: Disk(disk["mb"], disk["content"], disk.get("snapshots", {}), disk.get("copy"))
                 for number, disk in said["disks"].items()}
        return Folder(disks, bool(said.get("checkpoint")), str(said.get("mark", "")), tuple(said.get("by", ())))


def missing(vm: Doc, folder: Folder | None) -> list[str]:
    """The ids of the VM's disks that are not complete in FOLDER."""
    believed = folder.disks if folder and not folder.mark else {}
    return [disk["DISK_ID"] for disk in vm.get("disks", []) if disk["DISK_ID"] not in believed]


def is_whole(vm: Doc, folder: Folder | None) -> bool:
    """Whether there is a directory with all of the VM's disks, which nothing says not to believe."""
    return folder is not None and not folder.mark and not missing(vm, folder)


def image(disk: Mapping[str, str]) -> str:
    """The name of the disk's image; empty: it has none."""
    return disk.get("SOURCE") or (f"dummy-{disk['IMAGE_ID']}" if disk.get("IMAGE_ID") else "")


def is_saved(disk: Mapping[str, str]) -> bool:
    """Whether what is written on the disk belongs to its image."""
    return disk.get("SAVE", "").upper() == "YES" and disk.get("TYPE", "").upper() != "CDROM" and bool(image(disk))


def saved_disks(vm: Doc) -> list[Doc]:
    """The disks of a VM that are."""
    return [disk for disk in vm.get("disks", []) if is_saved(disk)]


def size_mb(disk: Mapping[str, str]) -> int:
    """The disk's SIZE, 0 when it gives none."""
    size = disk.get("SIZE", "")
    return int(size) if size.isascii() and size.isdigit() else 0


def _said(disk: Disk) -> dict[str, Any]:
    said: dict[str, Any] = {"mb": disk.mb, "content": disk.content}
    if disk.snapshots:
        said["snapshots"] = dict(disk.snapshots)
    if disk.copy is not None:
        said["copy"] = disk.copy
    return said
