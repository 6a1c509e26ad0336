"""tm/qcow2 and ds/fs under the contract suite, on a directory of this machine; they need qemu-img."""
from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rig import Ground, Rig

from onecore.wire.messages import Doc

_MB = 1 << 20


def _image_file(directory: Path, name: str) -> str:
    path = directory / "images" / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode().ljust(_MB, b"."))
    return str(path)


def _vm(directory: Path, number: int) -> Doc:
    def image(disk: str, name: str, **more: str) -> Doc:
        return {"DISK_ID": disk, "TYPE": "FILE", "IMAGE_ID": disk, "SOURCE": _image_file(directory, name),
                "FORMAT": "raw", "SIZE": "1", "ORIGINAL_SIZE": "1", "CLONE": "YES", "SAVE": "NO", **more}

    disks = [image("0", "shared"), image("1", f"own{number}", CLONE="NO", SAVE="YES"), image("2", "disc", TYPE="CDROM"),
             {"DISK_ID": "3", "TYPE": "swap", "SIZE": "1"},
             {"DISK_ID": "4", "TYPE": "fs", "SIZE": "4", "FORMAT": "qcow2", "FS": "ext4"}]
    return {"id": number, "name": f"vm{number}", "generation": 1, "deploy_id": "", "uuid": "",
            "dir": str(directory / "home/datastores/0" / str(number)), "cpu": 0.5, "vcpu": 1, "memory_mb": 128,
            "attrs": {}, "disks": disks, "nics": [], "user": {}, "context": {}, "context_disk": None,
            "context_files": []}


@contextmanager
def _opened(directory: Path) -> Iterator[Ground]:
    home = directory / "home"
    home.mkdir()

    def datastore(number: int, kind: int) -> Doc:
        return {"id": number, "name": f"store{number}", "type": kind, "ds_mad": "fs", "tm_mad": "qcow2",
                "base_path": str(home / "datastores" / str(number)), "attrs": {}}

    def image(number: int) -> Doc:
        return {"id": number, "name": f"image{number}", "type": 0, "persistent": False, "format": "raw", "fs": "",
                "size_mb": 1, "source": "", "path": _image_file(directory, f"image{number}"), "attrs": {}}

    host = {"id": 0, "name": "localhost", "im_mad": "kvm", "vm_mad": "kvm", "attrs": {}}
    yield Ground(home=home, host=lambda: dict(host), vm=lambda number: _vm(directory, number),
                 datastore=lambda: datastore(1, 0), image=image)


_NEEDS = (pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img (qemu-utils) is not installed"),)
RIGS = [Rig("tm", "qcow2", _opened, _NEEDS), Rig("ds", "fs", _opened, _NEEDS)]
