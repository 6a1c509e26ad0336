"""What the storage tests stand on: a context as the driver process gives it, documents as in docs/drivers.md."""
from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from drivers.context import Running, Surroundings
from drivers.journal import Journal
from drivers.token import Token
from onecore.wire.messages import Command, Message

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img (qemu-utils) is not installed")


class Ground:
    """One home with a context for one command after the other; `messages` is what they emitted."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.images = self.home / "datastores/1"
        self.outside = directory / "outside"
        for path in (self.images, self.outside):
            path.mkdir(parents=True)
        self.messages: list[Message] = []
        self.token = Token()
        self.op = 0

    def context(self, timeout: float = 30.0) -> Running:
        """A context for one more command."""
        around = Surroundings(self.home, {}, time.monotonic, Token.wait, self.messages.append, Journal())
        return Running(around, Command(self.op, 1, 1, 1, "lane", "x", "x", ("vm", 7), timeout), self.token)

    def run(self, op: int = 0) -> dict[str, Any]:
        """What the runner puts under `_`: the next operation, or OP again."""
        self.op = op or self.op + 1
        return {"op": self.op, "attempt": 1, "epoch": 1, "generation": 1, "timeout": 30.0}

    def vm(self, *disks: dict[str, str], **more: Any) -> dict[str, Any]:
        """VM 7 with DISKS."""
        return {"id": 7, "dir": str(self.home / "datastores/0/7"), "disks": list(disks), **more}

    def vm_args(self, vm: dict[str, Any], op: int = 0) -> dict[str, Any]:
        """Arguments of a tm action."""
        return {"host": {"id": 0, "name": "localhost"}, "vm": vm, "datastore": {"id": 0}, "_": self.run(op)}

    def datastore(self, **attrs: str) -> dict[str, Any]:
        """Datastore 1."""
        return {"id": 1, "name": "default", "type": 0, "base_path": str(self.images), "attrs": attrs}

    def image(self, path: object = "", **more: Any) -> dict[str, Any]:
        """Image 4."""
        attrs = more.pop("attrs", {})
        return {"id": 4, "name": "tiny", "type": 0, "format": "", "fs": "", "size_mb": 0, "source": "",
                "path": str(path), "attrs": attrs, **more}

    def image_args(self, image: dict[str, Any], op: int = 0, **attrs: str) -> dict[str, Any]:
        """Arguments of a ds action."""
        return {"datastore": self.datastore(**attrs), "image": image, "_": self.run(op)}

    def left(self) -> list[str]:
        """The names of the files in the image datastore."""
        return sorted(path.name for path in self.images.iterdir())


def qemu_img(*words: object) -> str:
    """Run qemu-img."""
    return subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True, text=True).stdout
