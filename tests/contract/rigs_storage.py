"""The transfer drivers and ds/fs under the contract suite, on directories of this machine; they need qemu-img.

tm/ssh has a host that is all there but for the wire.
"""
from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rig import Ground, Rig

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


@contextmanager
def _opened(tm_mad: str, directory: Path) -> Iterator[Ground]:
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
                 datastore=lambda: datastore(1, 0), image=image)


@contextmanager
def _remote(directory: Path) -> Iterator[Ground]:
    """The same with a host of its own instead of this machine."""
    root = directory / "node1"
    root.mkdir()

    def reach(hosts: Any, host: Doc, *bounds: Any) -> FakeRemote:
        return FakeRemote(directory / "home", root, lambda: None, *bounds)

    with _opened("ssh", directory) as ground, pytest.MonkeyPatch.context() as patch:
        patch.setattr("drivers.ssh.executor.SshExecutor", reach)
        ground.host = lambda: {"id": 0, "name": "node1", "im_mad": "kvm", "vm_mad": "kvm", "attrs": {}}
        ground.on_host = lambda path: root / Path(path).relative_to(directory / "home")
        yield ground


def _rig(family: str, driver: str, opened: Callable[[Path], AbstractContextManager[Ground]]) -> Rig:
    missing = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img (qemu-utils) is not installed")
    return Rig(family, driver, opened, (missing,))


RIGS = [_rig("tm", "qcow2", partial(_opened, "qcow2")), _rig("tm", "shared", partial(_opened, "shared")),
        _rig("tm", "ssh", _remote), _rig("ds", "fs", partial(_opened, "qcow2"))]
