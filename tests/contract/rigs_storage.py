"""The transfer drivers and ds/fs under the contract suite, on directories of this machine; they need qemu-img.

tm/ssh has a host that is all there but for the wire.
"""
from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rig import Ground, Rig

from drivers.tm.layout import active_format, one_disk
from onecore.wire.messages import Doc

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from storage_ground import FakeRemote

_MB = 1 << 20


def _image_file(directory: Path, name: str) -> str:
    path = directory / "images" / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode().ljust(_MB, b"."))
    return str(path)


def _vm(directory: Path, tm_mad: str, number: int) -> Doc:
    def image(disk: str, name: str, **more: str) -> Doc:
        return {"DISK_ID": disk, "TYPE": "FILE", "IMAGE_ID": disk, "SOURCE": _image_file(directory, name),
                "FORMAT": "raw", "SIZE": "1", "ORIGINAL_SIZE": "1", "CLONE": "YES", "SAVE": "NO", **more}

    disks = [image("0", "shared"), image("1", f"own{number}", CLONE="NO", SAVE="YES"), image("2", "disc", TYPE="CDROM"),
             {"DISK_ID": "3", "TYPE": "swap", "SIZE": "1"},
             {"DISK_ID": "4", "TYPE": "fs", "SIZE": "4", "FORMAT": "qcow2", "FS": "ext4"}]
    return {"id": number, "name": f"vm{number}", "generation": 1, "deploy_id": "", "uuid": "",
            "dir": str(directory / "home/datastores/0" / str(number)), "tm_mad": tm_mad, "away": False,
            "cpu": 0.5, "vcpu": 1, "memory_mb": 128, "attrs": {}, "disks": disks, "nics": [],
            "user": {}, "context": {}, "context_disk": None, "context_files": []}


class _Files:
    """Disks that are files of this machine."""

    def __init__(self, on: Callable[[Doc, str], Path]) -> None:
        self._on = on

    def write(self, host: Doc, vm: Doc, disk: int, number: int) -> None:
        self._io(host, vm, disk, f"write -P {number} 0 64k")

    def read(self, host: Doc, vm: Doc, disk: int) -> int:
        return int(self._io(host, vm, disk, "read -v 0 512").split(":")[1].split()[0], 16)

    def size_mb(self, host: Doc, vm: Doc, disk: int) -> int:
        facts = run("qemu-img", "info", "-f", self._form(vm, disk), "--output=json", self._file(host, vm, disk))
        return int(json.loads(facts)["virtual-size"]) // _MB

    def image(self, source: str) -> int:
        return Path(source).read_bytes()[0]

    def copied(self, host: Doc, vm: Doc, disk: int, number: int) -> None:
        path = f"{self._file(host, vm, disk)}.saveas"
        run("qemu-img", "create", "-q", "-f", "qcow2", path, "1M")
        run("qemu-io", "-f", "qcow2", "-c", f"write -P {number} 0 64k", path)

    def _io(self, host: Doc, vm: Doc, disk: int, command: str) -> str:
        return run("qemu-io", "-f", self._form(vm, disk), "-c", command, self._file(host, vm, disk))

    def _file(self, host: Doc, vm: Doc, disk: int) -> str:
        return str(self._on(host, f"{vm['dir']}/disk.{disk}"))

    def _form(self, vm: Doc, disk: int) -> str:
        return active_format(vm, one_disk(vm, disk))


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@contextmanager
def _opened(tm_mad: str, directory: Path) -> Iterator[Ground]:
    """Two hosts that see the same files."""
    with _hosts(directory, lambda name: directory / "home"), _ground(tm_mad, directory) as ground:
        yield ground


@contextmanager
def _ground(tm_mad: str, directory: Path) -> Iterator[Ground]:
    home = directory / "home"
    home.mkdir()

    def datastore(number: int, kind: int) -> Doc:
        return {"id": number, "name": f"store{number}", "type": kind, "ds_mad": "fs", "tm_mad": tm_mad,
                "base_path": str(home / "datastores" / str(number)), "attrs": {}}

    def image(number: int) -> Doc:
        return {"id": number, "name": f"image{number}", "type": 0, "persistent": False, "format": "raw", "fs": "",
                "size_mb": 1, "source": "", "path": _image_file(directory, f"image{number}"), "attrs": {}}

    host = {"id": 0, "name": "localhost", "im_mad": "kvm", "vm_mad": "kvm", "attrs": {}}
    yield Ground(home=home, host=lambda: dict(host), vm=lambda number: _vm(directory, tm_mad, number),
                 datastore=lambda: datastore(1, 0), image=image, other=lambda: {**host, "id": 1, "name": "node2"},
                 disks=_Files(lambda host, path: Path(path)))


@contextmanager
def _remote(directory: Path) -> Iterator[Ground]:
    """The same with hosts of their own instead of this machine."""
    def on(host: Doc, path: str) -> Path:
        return directory / host["name"] / Path(path).relative_to(directory / "home")

    with _hosts(directory, lambda name: directory / name), _ground("ssh", directory) as ground:
        ground.host = lambda: {"id": 0, "name": "node1", "im_mad": "kvm", "vm_mad": "kvm", "attrs": {}}
        ground.on_host = lambda path: on(ground.host(), path)
        ground.disks = _Files(on)
        yield ground


@contextmanager
def _hosts(directory: Path, root: Callable[[str], Path]) -> Iterator[None]:
    """Hosts that are all there but for the wire, each with ROOT (by its name) for the home."""
    def reach(hosts: Any, host: Doc, *bounds: Any) -> FakeRemote:
        root(host["name"]).mkdir(exist_ok=True)
        return FakeRemote(directory / "home", root(host["name"]), lambda: None, *bounds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drivers.ssh.executor.SshExecutor", reach)
        yield


def _rig(family: str, driver: str, opened: Callable[[Path], AbstractContextManager[Ground]]) -> Rig:
    missing = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img (qemu-utils) is not installed")
    return Rig(family, driver, opened, (missing,))


RIGS = [_rig("tm", "qcow2", partial(_opened, "qcow2")), _rig("tm", "shared", partial(_opened, "shared")),
        _rig("tm", "ssh", _remote), _rig("ds", "fs", partial(_opened, "qcow2"))]
