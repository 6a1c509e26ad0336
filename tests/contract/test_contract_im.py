"""Every information driver: samples come at once, then by the period, until nobody wants them."""
from __future__ import annotations

import time
from collections.abc import Callable

from rig import Bench

Until = Callable[[Callable[[], object]], None]
SYSTEM = [{"id": 0, "name": "system", "type": 1, "tm_mad": "dummy", "attrs": {}}]


def system(bench: Bench) -> list[dict[str, object]]:
    """A system datastore on this ground."""
    return [{**SYSTEM[0], "base_path": str(bench.ground.home)}]


def test_the_first_sample_comes_at_once(bench: Bench, until: Until) -> None:
    host = bench.ground.host()
    bench.ok("watch", host=host, datastores=system(bench), period=600)
    until(bench.samples)
    sample = bench.samples()[0]
    assert sample.hid == host["id"] and not sample.error and abs(sample.time - time.time()) < 60
    assert sample.host["total_cpu"] > 0 and sample.host["total_mem_kb"] > 0 and sample.host["arch"]
    assert 0 <= sample.host["free_mem_kb"] <= sample.host["total_mem_kb"]
    assert [each["id"] for each in sample.datastores] == [0] and sample.datastores[0]["total_mb"] > 0


def test_samples_follow_until_unwatch(bench: Bench, until: Until) -> None:
    host = bench.ground.host()
    bench.ok("watch", host=host, datastores=[], period=0.2)
    until(lambda: len(bench.samples()) > 2)
    bench.ok("unwatch", host=host)
    time.sleep(0.4)
    before = len(bench.samples())
    time.sleep(0.6)
    assert len(bench.samples()) == before


def test_a_second_watch_replaces_the_first(bench: Bench, until: Until) -> None:
    host = bench.ground.host()
    bench.ok("watch", host=host, datastores=[], period=0.2)
    bench.ok("watch", host=host, datastores=[], period=600)
    until(lambda: len(bench.samples()) > 1)
    time.sleep(0.5)
    before = len(bench.samples())
    time.sleep(0.5)
    assert len(bench.samples()) == before


def test_probe_is_the_same_document_once(bench: Bench) -> None:
    sample = bench.ok("probe", host=bench.ground.host(), datastores=system(bench))["sample"]
    assert sample["hid"] == bench.ground.host()["id"] and sample["host"]["total_cpu"] > 0
    assert not bench.samples()


def test_unwatch_of_nothing_is_fine(bench: Bench) -> None:
    bench.ok("unwatch", host=bench.ground.host())
