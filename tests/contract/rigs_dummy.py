"""The dummies under the contract suite."""
from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import Ground, Rig

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


RIGS = [Rig(family, "dummy", _opened) for family in ("vm", "tm", "ds", "im")]
