"""Every information driver: samples come at once, then by the period, until nobody wants them."""
from __future__ import annotations

import time
from collections.abc import Callable

from rig import Bench

from onecore.wire.messages import Doc

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
    until(bench.samples)
    bench.ok("watch", host=host, datastores=system(bench), period=600)
    until(lambda: any(sample.datastores for sample in bench.samples()))  # the second's, not a last one of the first
    time.sleep(0.5)
    before = len(bench.samples())
    time.sleep(0.5)
    assert len(bench.samples()) == before


def test_probe_is_the_same_document_once(bench: Bench) -> None:
    sample = bench.ok("probe", host=bench.ground.host(), datastores=system(bench))["sample"]
    assert sample["hid"] == bench.ground.host()["id"] and sample["host"]["total_cpu"] > 0
    assert not bench.samples()


def test_a_sample_tells_versions_and_the_clock(bench: Bench, until: Until) -> None:
    def host() -> Doc:
        found: Doc = bench.ok("probe", host=bench.ground.host(), datastores=[])["sample"]["host"]
        return found
    found = host()
    assert found["libvirt"] and found["version"] and found["python"].startswith("3.")
    until(lambda: abs(host()["clock_skew"]) < 2)  # an answer that took long says little of the clock


def test_capacity_is_not_told_of_what_is_shared(bench: Bench) -> None:
    shared = [{**system(bench)[0], "shared": True}]
    assert bench.ok("probe", host=bench.ground.host(), datastores=shared)["sample"]["datastores"] == []


def test_a_survey_tells_all_that_is_there(bench: Bench) -> None:
    found = bench.ok("survey", host=bench.ground.host(), datastores=system(bench))
    assert set(found) == {"domains", "dirs", "taps"}
    for domain in found["domains"]:
        assert set(domain) >= {"name", "id", "generation", "state", "uuid"}
        assert domain["state"] in ("running", "suspended", "poweroff", "crashed")


def test_checks_are_named_and_say_what_they_found(bench: Bench) -> None:
    checks = bench.ok("check", host=bench.ground.host(), datastores=system(bench), bridges=["onenone0"])["checks"]
    assert [each["name"] for each in checks] == ["ssh", "python", "root", "libvirt", "qemu", "tools", "clock",
                                                 "versions", "storage 0", "bridge onenone0"]
    assert all(each["found"] for each in checks) and all(each["ok"] or each["fix"] for each in checks)
    assert {each["name"]: each["ok"] for each in checks}["bridge onenone0"], "it is made when it is needed"


def test_unwatch_of_nothing_is_fine(bench: Bench) -> None:
    bench.ok("unwatch", host=bench.ground.host())
