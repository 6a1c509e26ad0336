"""Every transfer driver: a VM's directory comes whole, goes whole, and each action twice ends like once."""
from __future__ import annotations

from pathlib import Path

import pytest
from rig import Bench

from onecore.wire.messages import Doc


@pytest.fixture
def move(bench: Bench) -> Doc:
    """What a transfer is about."""
    assert bench.ground.datastore
    return {"host": bench.ground.host(), "vm": bench.ground.vm(1), "datastore": bench.ground.datastore()}


def there(bench: Bench, move: Doc) -> bool | None:
    """Whether the VM's directory is there; None for a driver that makes none."""
    return Path(move["vm"]["dir"]).is_dir() if bench.ground.on_disk else None


def test_prolog_makes_the_directory_with_every_disk(bench: Bench, move: Doc) -> None:
    bench.ok("prolog", **move)
    assert there(bench, move) is not False
    if bench.ground.on_disk:
        names = {f"disk.{disk['DISK_ID']}" for disk in move["vm"]["disks"]}
        assert names <= {path.name for path in Path(move["vm"]["dir"]).iterdir()}


def test_prolog_twice_is_like_once(bench: Bench, move: Doc) -> None:
    bench.ok("prolog", **move)
    before = sorted(Path(move["vm"]["dir"]).glob("*"))
    bench.ok("prolog", **move)
    assert sorted(Path(move["vm"]["dir"]).glob("*")) == before


@pytest.mark.parametrize("ending", ["epilog", "delete"])
def test_the_end_leaves_no_directory_and_twice_is_fine(bench: Bench, move: Doc, ending: str) -> None:
    bench.ok("prolog", **move)
    bench.ok(ending, **move)
    assert not there(bench, move)
    bench.ok(ending, **move)


def test_delete_of_nothing_is_fine(bench: Bench, move: Doc) -> None:
    bench.ok("delete", **move)


def test_images_outlive_their_vms(bench: Bench, move: Doc) -> None:
    sources = [Path(disk["SOURCE"]) for disk in move["vm"]["disks"] if disk.get("SOURCE")]
    bench.ok("prolog", **move)
    bench.ok("delete", **move)
    assert all(source.exists() for source in sources)


def test_a_stopped_vm_comes_back(bench: Bench, move: Doc) -> None:
    bench.ok("prolog", **move)
    bench.ok("epilog_stop", **move)
    bench.ok("prolog_resume", **move)
    assert there(bench, move) is not False
    bench.ok("epilog", **move)
    assert not there(bench, move)
