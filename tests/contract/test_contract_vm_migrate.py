"""Every VM driver: live migration between two hosts."""
from __future__ import annotations

from typing import Any

import pytest
from rig import Bench

from onecore.wire.messages import Doc


@pytest.fixture
def move(bench: Bench) -> Doc:
    """A guest that runs on a host, and where it is to go."""
    if bench.ground.other is None:
        pytest.skip("this rig has one host")
    vm = bench.ground.vm(1)
    move: dict[str, Any] = {"host": bench.ground.host(), "to": bench.ground.other(), "vm": vm, "to_dir": vm["dir"]}
    move |= {name: system_store(vm) for name in ("datastore", "to_datastore")}
    bench.ok("deploy", host=move["host"], vm=vm)
    return move


def system_store(vm: Doc) -> Doc:
    """The datastore that the VM's directory is in; its hosts share it."""
    return {"id": 0, "name": "system", "type": 1, "ds_mad": "", "tm_mad": vm.get("tm_mad", "dummy"), "attrs": {},
            "base_path": vm["dir"].rpartition("/")[0], "shared": True}


def states(bench: Bench, move: Doc) -> list[str]:
    """The guest's state on both hosts."""
    return [bench.ok("state", host=move[side], vm=move["vm"])["state"] for side in ("host", "to")]


def test_nothing_speaks_against_a_host_like_the_first(bench: Bench, move: Doc) -> None:
    assert bench.ok("premigrate", **move, live=True) == {"problems": []}
    assert states(bench, move) == ["running", "gone"]


def test_nothing_speaks_against_a_saved_guest_either(bench: Bench, move: Doc) -> None:
    kept = {**move, "live": False, "keeps_state": True}
    assert bench.ok("premigrate", **kept) == {"problems": []}
    bench.ok("save", host=move["host"], vm=move["vm"])
    assert bench.ok("premigrate", **kept) == {"problems": []}
    assert states(bench, move) == ["gone", "gone"]


def test_a_guest_that_does_not_run_cannot_move_live(bench: Bench, move: Doc) -> None:
    bench.ok("destroy", host=move["host"], vm=move["vm"])
    assert ["does not run" in each for each in bench.ok("premigrate", **move, live=True)["problems"]] == [True]
    assert bench.ok("premigrate", **move, live=False, keeps_state=False) == {"problems": []}


def test_a_guest_moves_and_twice_ends_like_once(bench: Bench, move: Doc) -> None:
    for _ in range(2):
        assert bench.ok("migrate", **move) == {"where": "to", "left": []}
        assert states(bench, move) == ["gone", "running"]
    assert bench.ok("state", host=move["to"], vm=move["vm"])["generation"] == 1


def test_it_moves_back(bench: Bench, move: Doc) -> None:
    bench.ok("migrate", **move)
    back = {**move, "host": move["to"], "to": move["host"]}
    assert bench.ok("migrate", **back)["where"] == "to"
    assert states(bench, move) == ["running", "gone"]


def test_a_guest_that_does_not_run_does_not_move(bench: Bench, move: Doc) -> None:
    bench.ok("destroy", host=move["host"], vm=move["vm"])
    result = bench.do("migrate", **move)
    assert not result.ok and not result.temporary and "not run" in result.error and result.data["where"] == "from"
    assert states(bench, move) == ["gone", "gone"]


def test_a_move_that_was_overtaken_moves_nothing(bench: Bench, move: Doc) -> None:
    move["vm"]["generation"] = 2
    bench.ok("deploy", generation=2, host=move["host"], vm=move["vm"])
    older = {**move, "vm": {**move["vm"], "generation": 1}}
    assert "superseded" in bench.refused("migrate", generation=1, **older)
    assert states(bench, move) == ["running", "gone"]


def test_neither_hosts_watch_tells_of_an_end(bench: Bench, move: Doc) -> None:
    for side in ("host", "to"):
        bench.ok("watch", host=move[side])
    bench.ok("migrate", **move)
    assert [news for news in bench.news() if news.state not in ("running", "gone")] == []
    for side in ("host", "to"):
        bench.ok("unwatch", host=move[side])
