"""The dummies under the contract suite."""
from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rig import Ground, Rig

from drivers.dummy.folder import Disk, Folder
from drivers.dummy.shelf import Place, Shelf
from onecore.wire.messages import Doc

_HOST: Doc = {"id": 3, "name": "node1", "im_mad": "dummy", "vm_mad": "dummy", "attrs": {"DUMMY_CPU": "800"}}


@contextmanager
def _opened(directory: Path) -> Iterator[Ground]:
    def vm(number: int) -> Doc:
        return {"id": number, "name": f"vm{number}", "generation": 1, "deploy_id": "", "uuid": "",
                "dir": str(directory / "datastores" / "0" / str(number)), "cpu": 0.5, "vcpu": 1, "memory_mb": 128,
                "attrs": {}, "disks": [{"DISK_ID": "0", "TYPE": "FILE", "IMAGE_ID": "1"}],
                "nics": [{"NIC_ID": "0", "VN_MAD": "dummy"}], "user": {}, "context": {}, "context_disk": None,
                "context_files": []}

    def datastore() -> Doc:
        return {"id": 1, "name": "default", "type": 0, "ds_mad": "dummy", "tm_mad": "dummy",
                "base_path": str(directory / "datastores" / "1"), "attrs": {}}

    def image(number: int) -> Doc:
        return {"id": number, "name": f"image{number}", "type": 0, "persistent": False, "format": "raw", "fs": "",
                "size_mb": 2, "source": "", "path": "/images/tiny.raw", "attrs": {}}

    def vanish(host: Doc, machine: Doc) -> None:
        (directory / "dummy" / host["name"] / str(machine["id"])).unlink()

    def has(host: Doc, machine: Doc) -> Doc:
        words = (directory / "dummy" / host["name"] / str(machine["id"])).read_text().split(None, 4)
        found = json.loads(words[4])
        return {"disks": sorted(found["disks"]), "nics": sorted(found["nics"]), "vcpu": found["vcpu"],
                "dir": found["dir"]}

    def add_disk(machine: Doc, number: int) -> Doc:
        return {"DISK_ID": str(number), "TYPE": "fs", "SIZE": "1", "FORMAT": "raw", "TARGET": "vdb"}

    yield Ground(home=directory, host=lambda: dict(_HOST), other=lambda: {**_HOST, "id": 4, "name": "node2"}, vm=vm,
                 datastore=datastore, image=image, on_disk=False, vanish=vanish, has=has, add_disk=add_disk,
                 patience=2.0)


class _Folders:
    """Disks that are numbers in small files."""

    def __init__(self, home: Path) -> None:
        self._shelf = Shelf(home / "dummy", "look")

    def write(self, host: Doc, vm: Doc, disk: int, number: int) -> None:
        self._change(host, vm, disk, content=number)

    def read(self, host: Doc, vm: Doc, disk: int) -> int:
        return self._disk(host, vm, disk).content

    def size_mb(self, host: Doc, vm: Doc, disk: int) -> int:
        return self._disk(host, vm, disk).mb

    def image(self, source: str) -> int:
        return self._shelf.image(source).content

    def copied(self, host: Doc, vm: Doc, disk: int, number: int) -> None:
        self._change(host, vm, disk, copy=number)

    def _change(self, host: Doc, vm: Doc, disk: int, **what: Any) -> None:
        place, folder = self._folder(host, vm)
        self._shelf.put(place, folder.having(str(disk), replace(folder.disk(str(disk)), **what)))

    def _disk(self, host: Doc, vm: Doc, disk: int) -> Disk:
        return self._folder(host, vm)[1].disk(str(disk))

    def _folder(self, host: Doc, vm: Doc) -> tuple[Place, Folder]:
        place: Place = (host["name"], int(Path(vm["dir"]).parent.name), int(vm["id"]))
        folder = self._shelf.get(place)
        assert folder, f"nothing at {place}"
        return place, folder


@contextmanager
def _storage(directory: Path) -> Iterator[Ground]:
    """Hosts with storage of their own, and a VM with a persistent disk."""
    with _opened(directory) as ground:
        vm, datastore = ground.vm, ground.datastore
        assert datastore
        disks = [{"DISK_ID": "0", "TYPE": "FILE", "IMAGE_ID": "1", "SOURCE": "dummy-1", "SIZE": "1", "CLONE": "YES"},
                 {"DISK_ID": "1", "TYPE": "FILE", "IMAGE_ID": "2", "SOURCE": "dummy-2", "SIZE": "1", "CLONE": "NO",
                  "SAVE": "YES"}]
        ground.vm = lambda number: {**vm(number), "disks": [dict(disk) for disk in disks]}
        ground.datastore = lambda: {**datastore(), "attrs": {"SHARED": "NO"}}
        ground.disks = _Folders(directory)
        yield ground


RIGS = [*(Rig(family, "dummy", _opened) for family in ("vm", "ds", "im")), Rig("tm", "dummy", _storage)]
