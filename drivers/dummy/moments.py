"""The system snapshots of a dummy VM, wherever its disks are: `HOME/dummy/%moments/ID`, there if it has any.

A JSON object, `{"snapshots": {HYPERVISOR_ID: NAME}}`.
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


def moments(ctx: Context) -> Moments:
    """The moments of this process's home."""
    return ctx.keep("dummy.moments", lambda: Moments(ctx.home / "dummy"))
