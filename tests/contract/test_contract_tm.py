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


def directory(bench: Bench, move: Doc) -> Path:
    """Where this machine has the VM's directory on its host."""
    return bench.ground.on_host(move["vm"]["dir"])


def there(bench: Bench, move: Doc) -> bool | None:
    """Whether the VM's directory is on its host; None for a driver that makes none."""
    return directory(bench, move).is_dir() if bench.ground.on_disk else None


def anywhere(bench: Bench, move: Doc) -> bool:
    """Whether the VM's directory is on its host or on the front-end."""
    return directory(bench, move).exists() or Path(move["vm"]["dir"]).exists()


def test_prolog_makes_the_directory_with_every_disk(bench: Bench, move: Doc) -> None:
    bench.ok("prolog", **move)
    assert there(bench, move) is not False
    if bench.ground.on_disk:
        names = {f"disk.{disk['DISK_ID']}" for disk in move["vm"]["disks"]}
        assert names <= {path.name for path in directory(bench, move).iterdir()}


def test_prolog_twice_is_like_once(bench: Bench, move: Doc) -> None:
    bench.ok("prolog", **move)
    before = sorted(directory(bench, move).glob("*"))
    bench.ok("prolog", **move)
    assert sorted(directory(bench, move).glob("*")) == before


@pytest.mark.parametrize("ending", ["epilog", "delete"])
def test_the_end_leaves_no_directory_and_twice_is_fine(bench: Bench, move: Doc, ending: str) -> None:
    bench.ok("prolog", **move)
    bench.ok(ending, **move)
    assert not anywhere(bench, move)
    bench.ok(ending, **move)


def test_delete_of_nothing_is_fine(bench: Bench, move: Doc) -> None:
    bench.ok("delete", **move)


def test_images_outlive_their_vms(bench: Bench, move: Doc) -> None:
    sources = [Path(disk["SOURCE"]) for disk in move["vm"]["disks"] if disk.get("SOURCE") and bench.ground.on_disk]
    bench.ok("prolog", **move)
    bench.ok("delete", **move)
    assert all(source.exists() for source in sources)


def test_a_stopped_vm_comes_back(bench: Bench, move: Doc) -> None:
    bench.ok("prolog", **move)
    before = {path.name: path.read_bytes() for path in directory(bench, move).glob("*")}
    for _ in range(2):
        bench.ok("epilog_stop", **move)
    for _ in range(2):
        bench.ok("prolog_resume", **move)
    assert there(bench, move) is not False
    assert {path.name: path.read_bytes() for path in directory(bench, move).glob("*")} == before
    bench.ok("epilog", **move)
    assert not anywhere(bench, move)


@pytest.mark.parametrize("ending", ["epilog", "delete"])
def test_a_stopped_vm_ends_without_a_host(bench: Bench, move: Doc, ending: str) -> None:
    bench.ok("prolog", **move)
    bench.ok("epilog_stop", **move)
    away = {**move, "vm": {**move["vm"], "away": True}}
    bench.ok(ending, **away)
    assert not anywhere(bench, move)
    bench.ok(ending, **away)


def test_what_is_left_over_on_a_host_goes(bench: Bench, move: Doc) -> None:
    bench.ok("prolog", **move)
    bench.ok("delete", **{**move, "vm": {**move["vm"], "disks": []}}, left_over=True)
    assert not there(bench, move)


def test_an_image_keeps_what_a_vm_wrote_on_it(bench: Bench, move: Doc) -> None:
    """Every disk that is saved, through a stop and a start."""
    bench.ok("prolog", **move)
    saved = [disk for disk in move["vm"]["disks"] if disk.get("SAVE") == "YES" and bench.ground.on_disk]
    for disk in saved:
        with (directory(bench, move) / f"disk.{disk['DISK_ID']}").open("r+b") as file:
            file.write(b"written")
    for action in ("epilog_stop", "prolog_resume", "epilog"):
        bench.ok(action, **move)
    assert all(Path(disk["SOURCE"]).read_bytes().startswith(b"written") for disk in saved)
