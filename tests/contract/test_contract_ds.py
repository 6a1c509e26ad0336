"""Every datastore driver: images are measured, registered, copied and removed."""
from __future__ import annotations

from pathlib import Path

import pytest
from rig import Bench

from onecore.wire.messages import Doc


@pytest.fixture
def store(bench: Bench) -> Doc:
    """A datastore and an image for it."""
    assert bench.ground.datastore and bench.ground.image
    return {"datastore": bench.ground.datastore(), "image": bench.ground.image(1)}


def gone(bench: Bench, source: str) -> bool:
    """Whether the file is away; a driver without files has none."""
    return not (bench.ground.on_disk and Path(source).exists())


def test_stat_gives_size_and_format(bench: Bench, store: Doc) -> None:
    facts = bench.ok("stat", **store)
    assert facts["size_mb"] >= 1 and facts["format"] in ("raw", "qcow2")


@pytest.mark.parametrize("action", ["stat", "register"])
def test_a_path_that_is_not_there_is_named(bench: Bench, store: Doc, action: str) -> None:
    store["image"]["path"] = "/missing/image.raw"
    assert "/missing/image.raw" in bench.refused(action, **store)


def test_register_gives_a_source_and_remove_takes_it_away(bench: Bench, store: Doc) -> None:
    made = bench.ok("register", **store)
    assert made["source"] and made["size_mb"] >= 1 and made["format"] in ("raw", "qcow2")
    assert gone(bench, made["source"]) is not bench.ground.on_disk
    store["image"]["source"] = made["source"]
    bench.ok("remove", **store)
    assert gone(bench, made["source"])
    bench.ok("remove", **store)


def test_images_have_sources_of_their_own(bench: Bench, store: Doc) -> None:
    assert bench.ground.image
    first = bench.ok("register", **store)["source"]
    store["image"] = bench.ground.image(2)
    assert bench.ok("register", **store)["source"] != first


def test_mkfs_makes_an_empty_image_of_the_size(bench: Bench, store: Doc) -> None:
    store["image"] |= {"path": "", "size_mb": 8, "format": "raw"}
    made = bench.ok("mkfs", **store)
    assert made["source"] and made["size_mb"] == 8


def test_clone_gives_another_source(bench: Bench, store: Doc) -> None:
    store["image"]["source"] = bench.ok("register", **store)["source"]
    copy = store["image"] | {"id": 2, "name": "copy"}
    made = bench.ok("clone", datastore=store["datastore"], image=copy, target=store["datastore"])
    assert made["source"] != store["image"]["source"] and made["size_mb"] >= 1


def test_monitor_adds_up(bench: Bench, store: Doc) -> None:
    sizes = bench.ok("monitor", datastore=store["datastore"])
    assert sizes["total_mb"] > 0 and sizes["used_mb"] >= 0 and 0 <= sizes["free_mb"] <= sizes["total_mb"]
