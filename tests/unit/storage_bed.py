"""VM 7 under each storage driver, on hosts that are directories of this machine; guests write one byte."""
from __future__ import annotations

import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

from storage_ground import Ground, qemu_img

from drivers.tm.layout import active_format

MB = 1 << 20
Vm = dict[str, Any]


class Bed:
    """VM 7 under one storage driver: a raw clone, a persistent disk of FORM, a volatile one."""

    def __init__(self, directory: Path, kind: str, form: str = "raw") -> None:
        directory.mkdir(exist_ok=True)
        self.ground, self.kind = Ground(directory), kind
        self.ground.host = "node1"
        self.ground.shares = kind != "ssh"
        self.actions = import_module(f"drivers.tm.{kind}").ACTIONS
        self.image("raw", "raw")
        self.image("own", form)
        self.vm: Vm = self.ground.vm(self.disk(0, "raw"), self.disk(1, "own", form, CLONE="NO", SAVE="YES"),
                                     {"DISK_ID": "2", "TYPE": "fs", "SIZE": "1", "FORMAT": "qcow2"},
                                     tm_mad=kind, snapshots={})

    def image(self, name: str, form: str) -> None:
        raw = self.ground.outside / name
        raw.write_bytes(b"\0" * MB)
        if form == "raw":
            raw.rename(self.ground.images / name)
        else:
            qemu_img("convert", "-f", "raw", "-O", form, raw, self.ground.images / name)

    def disk(self, number: int, name: str, form: str = "raw", **more: str) -> dict[str, str]:
        return {"DISK_ID": str(number), "TYPE": "FILE", "IMAGE_ID": str(number), "FORMAT": form, "SIZE": "1",
                "SOURCE": str(self.ground.images / name), "ORIGINAL_SIZE": "1", "CLONE": "YES", "SAVE": "NO", **more}

    def do(self, action: str, op: int = 0, **more: Any) -> dict[str, Any]:
        return self.actions[action](self.ground.context(), {**self.ground.vm_args(self.vm, op), **more})

    @property
    def dir(self) -> Path:
        return self.ground.on(self.ground.host, self.vm["dir"])

    def path(self, number: int) -> Path:
        return self.dir / f"disk.{number}"

    def form(self, number: int) -> str:
        disk = next(each for each in self.vm["disks"] if each["DISK_ID"] == str(number))
        return active_format(self.vm, disk)

    def write(self, number: int, byte: int) -> None:
        """The guest writes."""
        if self.form(number) == "raw":
            with self.path(number).open("r+b") as file:
                file.write(bytes([byte]) * 65536)
        else:
            io(self.path(number), self.form(number), f"write -P {byte} 0 64k")

    def reads(self, number: int) -> int:
        """What the guest reads."""
        return first_byte(self.path(number), self.form(number))

    def told(self, number: int, base: int, *parents: tuple[int, int]) -> None:
        """The VM's document: snapshots (id, parent) of a disk, which stands on BASE."""
        self.vm["snapshots"][str(number)] = {"base": base, "list": [
            {"id": each, "parent": parent, "name": "", "size_mb": 1} for each, parent in parents]}

    def snap(self, number: int, snapshot: int, base: int, *parents: tuple[int, int], action: str = "create") -> None:
        """Tell it, then do it, twice."""
        self.told(number, base, *parents)
        for _ in range(1 if action == "revert" else 2):
            self.do(f"snap_{action}", disk_id=number, snap_id=snapshot)

    def image_byte(self, name: str = "own", form: str = "raw") -> int:
        """What the image holds, seen alone."""
        return first_byte(self.ground.images / name, form)

    def saveas(self, op: int = 0, **more: Any) -> dict[str, Any]:
        args = {"snap_id": -1, "live": False, "image": self.ground.image(name="new"), **more}
        return self.do("saveas", op, image_datastore=self.ground.datastore(), **args)


def io(path: Path, form: str, command: str) -> str:
    return subprocess.run(["qemu-io", "-f", form, "-c", command, str(path)], check=True, capture_output=True,
                          text=True).stdout


def first_byte(path: Path, form: str) -> int:
    """Of the disk; all its first 64 KB are the same."""
    if form == "raw":
        with path.open("rb") as file:
            return file.read(1)[0]
    return int(io(path, form, "read -v 0 512").split(":")[1].split()[0], 16)


def copy_tree(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", source, target], check=True)
