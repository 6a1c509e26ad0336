"""Every VM driver: guests come, stay, go, and each action twice ends like once."""
from __future__ import annotations

from collections.abc import Callable

import pytest
from rig import Bench

from onecore.wire.messages import Doc

Until = Callable[[Callable[[], object]], None]
OFF = ("gone", "poweroff")


@pytest.fixture
def pair(bench: Bench) -> Doc:
    """A host and a VM for it."""
    return {"host": bench.ground.host(), "vm": bench.ground.vm(1)}


def state(bench: Bench, pair: Doc) -> str:
    return str(bench.ok("state", **pair)["state"])


def test_deploy_runs_the_vm_under_its_name_and_generation(bench: Bench, pair: Doc) -> None:
    assert bench.ok("deploy", **pair)["deploy_id"] == "one-1"
    assert bench.ok("state", **pair) == {"state": "running", "generation": 1}


def test_deploy_twice_is_one_guest(bench: Bench, pair: Doc) -> None:
    first = bench.ok("deploy", **pair)
    assert bench.ok("deploy", **pair) == first
    assert state(bench, pair) == "running"


def test_nothing_is_there_before_deploy(bench: Bench, pair: Doc) -> None:
    assert state(bench, pair) == "gone"


def test_destroy_ends_the_guest_and_nothing_there_is_fine(bench: Bench, pair: Doc) -> None:
    bench.ok("destroy", **pair)
    bench.ok("deploy", **pair)
    bench.ok("destroy", **pair)
    assert state(bench, pair) == "gone"
    bench.ok("destroy", **pair)


def test_cleanup_ends_the_guest_and_nothing_there_is_fine(bench: Bench, pair: Doc) -> None:
    bench.ok("deploy", **pair)
    bench.ok("cleanup", **pair)
    assert state(bench, pair) == "gone"
    bench.ok("cleanup", **pair)


def test_shutdown_leaves_the_guest_off_and_off_is_fine(bench: Bench, pair: Doc) -> None:
    bench.ok("deploy", **pair)
    bench.ok("shutdown", **pair)
    assert state(bench, pair) in OFF
    bench.ok("shutdown", **pair)


def test_a_guest_can_be_deployed_again_with_the_next_generation(bench: Bench, pair: Doc) -> None:
    bench.ok("deploy", **pair)
    bench.ok("destroy", **pair)
    pair["vm"]["generation"] = 2
    bench.ok("deploy", generation=2, **pair)
    assert bench.ok("state", generation=2, **pair) == {"state": "running", "generation": 2}


def test_a_saved_guest_is_off_and_runs_again_after_restore(bench: Bench, pair: Doc) -> None:
    bench.ok("deploy", **pair)
    bench.ok("save", **pair)
    assert state(bench, pair) not in ("running", "crashed")
    bench.ok("save", **pair)
    pair["vm"]["generation"] = 2
    assert bench.ok("restore", generation=2, **pair)["deploy_id"] == "one-1"
    assert bench.ok("restore", generation=2, **pair)["deploy_id"] == "one-1"
    assert bench.ok("state", generation=2, **pair) == {"state": "running", "generation": 2}


def test_reboot_and_reset_keep_it_running(bench: Bench, pair: Doc) -> None:
    bench.ok("deploy", **pair)
    bench.ok("reboot", **pair)
    bench.ok("reset", **pair)
    assert state(bench, pair) == "running"


def test_reset_of_nothing_is_refused(bench: Bench, pair: Doc) -> None:
    assert bench.refused("reset", **pair)


def test_watch_names_what_runs_already(bench: Bench, pair: Doc, until: Until) -> None:
    bench.ok("deploy", **pair)
    bench.ok("watch", host=pair["host"])
    until(lambda: [(n.hid, n.vm, n.generation, n.state) for n in bench.news()
                   if n.state == "running"] == [(pair["host"]["id"], 1, 1, "running")])


def test_a_guest_that_ends_by_itself_is_news_within_a_second(bench: Bench, pair: Doc, until: Until) -> None:
    if bench.ground.vanish is None:
        pytest.skip("this rig cannot end a guest")
    bench.ok("deploy", host=pair["host"], vm=bench.ground.vm(2))
    bench.ok("watch", host=pair["host"])
    until(lambda: any(n.vm == 2 for n in bench.news()))  # it listens by now
    bench.ok("deploy", **pair)
    bench.ground.vanish(pair["host"], pair["vm"])
    until(lambda: any(n.vm == 1 and n.generation == 1 and n.state in ("gone", "poweroff", "crashed")
                      for n in bench.news()))
    bench.ok("unwatch", host=pair["host"])


def test_an_unknown_action_is_refused_by_name(bench: Bench, pair: Doc) -> None:
    assert "levitate" in bench.refused("levitate", **pair)
