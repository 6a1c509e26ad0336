"""What a dummy VM's disks hold beside their content, wherever they are: `HOME/dummy/%moments/ID`, there if anything is.

A JSON object: `snapshots` (system snapshots: names by hypervisor id), `disks` (ids of each disk's snapshots, by disk),
`saveas` (disks of which a copy waits to be taken).
"""
from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from drivers.base import Context


class Moments:
    """The moments of all VMs of a home."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/%moments"

    def get(self, vm: int) -> dict[str, Any]:
        """What is kept of the VM; {} when nothing is."""
        try:
            with open(f"{self._root}/{vm}") as file:
                return dict(json.load(file))
        except (FileNotFoundError, ValueError):
            return {}

    def put(self, vm: int, kept: dict[str, Any]) -> None:
        """Keep that instead, in one step; what is empty is not kept."""
        full = {name: value for name, value in kept.items() if value}
        if not full:
            self.clear(vm)
            return
        os.makedirs(self._root, exist_ok=True)
        made = f"{self._root}/.{vm}"
        with open(made, "w") as file:
            json.dump(full, file)
        os.rename(made, f"{self._root}/{vm}")

    def clear(self, vm: int) -> None:
        """The VM's disks are gone."""
        with suppress(FileNotFoundError):
            os.unlink(f"{self._root}/{vm}")

    def add(self, vm: int, kind: str, disk: str, snapshot: int = 0) -> None:
        """Keep a snapshot of a disk (`disks`), or a copy (`saveas`); there already: fine."""
        kept = self.get(vm)
        numbers = kept.setdefault(kind, {}).setdefault(disk, [])
        if snapshot not in numbers:
            numbers.append(snapshot)
            self.put(vm, kept)

    def remove(self, vm: int, kind: str, disk: str, snapshot: int = 0) -> None:
        """The reverse; not there: fine."""
        kept = self.get(vm)
        numbers = kept.get(kind, {}).get(disk, [])
        if snapshot in numbers:
            numbers.remove(snapshot)
            if not numbers:
                del kept[kind][disk]
            self.put(vm, kept)


def moments(ctx: Context) -> Moments:
    """The moments of this process's home."""
    return ctx.keep("dummy.moments", lambda: Moments(ctx.home / "dummy"))
