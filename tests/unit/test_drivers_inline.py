"""A whole driver family in one thread on a simulated clock: the same results, no waiting."""
from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.inline import Inline
from onecore.wire.messages import Command, Doc, Message, News, Result, Sample


class World:
    """Inline drivers on a clock that only their sleeps move."""

    def __init__(self, home: Path, family: str, settings: Doc) -> None:
        self.time = 1000.0
        self.messages: list[Message] = []
        self.inline = Inline(family, home, settings, lambda: self.time, self._sleep, self.messages.append,
                             io.StringIO())
        self._op = 0

    def _sleep(self, seconds: float) -> None:
        self.time += seconds

    def do(self, action: str, vm: Doc | None = None, host: Doc | None = None, **args: Any) -> Result:
        self._op += 1
        machine = {"id": 12, "generation": 1, "cpu": 2, "memory_mb": 64} | (vm or {})
        there = {"id": 3, "name": "node1", "attrs": {}} | (host or {})
        return self.inline.run(Command(self._op, 1, 1, 1, "node1", "dummy", action, ("vm", 12), 60, "r",
                                       {"host": there, "vm": machine, **args}))


Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a world of a family with dummy settings; several share one home."""
    return lambda family, **dummy: World(tmp_path, family, {"dummy": dummy})


def test_delays_pass_on_the_simulated_clock(make: Make) -> None:
    world, began = make("vm", delay={"vm.deploy": 30}), time.monotonic()
    assert world.do("deploy").ok
    assert world.time == 1030 and time.monotonic() - began < 25


def test_a_hang_ends_at_the_timeout(make: Make) -> None:
    world = make("vm", rules=[{"action": "vm.deploy", "hang": True}])
    result = world.do("deploy")
    assert not result.ok and result.temporary and world.time == 1060


def test_errors_are_those_of_the_process(make: Make) -> None:
    world = make("vm", rules=[{"action": "vm.deploy", "fail": "no luck", "temporary": True, "times": 1}])
    assert (world.do("deploy").error, world.do("deploy").ok) == ("no luck", True)
    assert "no action 'fly'" in world.do("fly").error


def test_a_vms_own_rule(make: Make) -> None:
    world = make("vm")
    user = {"DUMMY": {"ACTION": "vm.deploy", "FAIL": "own"}}
    assert world.do("deploy", {"user": user}).error == "own"
    assert world.do("deploy", {"id": 13}).ok
    assert "no key 'fial'" in world.do("deploy", {"user": {"DUMMY": {"FIAL": "x"}}}).error


def test_the_script_file_overrides_and_is_read_again(make: Make, tmp_path: Path) -> None:
    world, script = make("vm"), tmp_path / "dummy.json"
    script.write_text(json.dumps({"rules": [{"fail": "first"}]}))
    assert world.do("deploy").error == "first"
    script.write_text(json.dumps({"rules": [{"fail": "the second"}]}))
    assert world.do("deploy").error == "the second"
    script.write_text("{")
    assert "dummy.json" in world.do("deploy").error
    script.unlink()
    assert world.do("deploy").ok


def test_a_newer_generation_is_not_replaced_by_an_older(make: Make) -> None:
    world = make("vm")
    assert world.do("deploy", {"generation": 3}).ok
    assert "superseded: generation 3" in world.do("deploy", {"generation": 2}).error


def test_host_names_stay_inside_the_home(make: Make, tmp_path: Path) -> None:
    world = make("vm")
    for name in ("..", ".", "a/b", "../x", ""):
        assert world.do("deploy", host={"name": name}).ok
        assert world.do("state", host={"name": name}).data["state"] == "running"
    assert len([path for path in (tmp_path / "dummy").iterdir() if path.name != "%spare"]) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dummy"]


def test_files_are_used_again(make: Make, tmp_path: Path) -> None:
    world, spares = make("vm"), tmp_path / "dummy" / "%spare"
    for vm in range(5):
        world.do("deploy", {"id": vm})
    for vm in range(5):
        world.do("destroy", {"id": vm})
    assert len(list(spares.iterdir())) == 5
    world = make("vm")
    world.do("deploy", {"id": 7, "generation": 9})
    assert len(list(spares.iterdir())) == 4
    assert world.do("state", {"id": 7}).data == {"state": "running", "generation": 9}


def test_a_home_emptied_meanwhile_is_a_host_without_guests(make: Make, tmp_path: Path) -> None:
    world = make("vm")
    world.do("deploy")
    world.do("destroy")
    shutil.rmtree(tmp_path / "dummy")
    assert world.do("destroy").ok and world.do("deploy").ok and world.do("state").data["state"] == "running"


def test_news_of_changed_and_removed_guests(make: Make, tmp_path: Path) -> None:
    world = make("vm")
    world.do("watch")
    world.do("deploy")
    world.do("deploy", {"id": 13})
    (tmp_path / "dummy" / "node1" / "12").write_text("1 poweroff\n")
    (tmp_path / "dummy" / "node1" / "13").unlink()
    world.time += 1
    assert world.inline.tick() is not None
    assert sorted(world.messages, key=str) == [News(3, 12, 1, "poweroff"), News(3, 13, 1, "gone")]
    world.time += 1
    world.inline.tick()
    assert len(world.messages) == 2


def test_what_the_core_asked_for_is_no_news(make: Make) -> None:
    world = make("vm")
    world.do("watch")
    for action in ("deploy", "save", "restore", "shutdown"):
        world.do(action)
        world.time += 1
        world.inline.tick()
    assert world.messages == []


def test_no_news_after_unwatch(make: Make, tmp_path: Path) -> None:
    world = make("vm")
    world.do("watch")
    world.do("deploy")
    world.do("unwatch")
    (tmp_path / "dummy" / "node1" / "12").unlink()
    world.time += 5
    world.inline.tick()
    assert world.messages == []


def test_a_file_that_is_being_written_is_looked_at_again(make: Make, tmp_path: Path) -> None:
    world, file = make("vm"), tmp_path / "dummy" / "node1" / "12"
    world.do("watch")
    world.do("deploy")
    file.write_text("")
    world.time += 1
    world.inline.tick()
    assert world.messages == []
    file.write_text("1 crashed")
    world.time += 1
    world.inline.tick()
    assert world.messages == [News(3, 12, 1, "crashed")]


def test_samples_tell_capacity_and_what_guests_use(make: Make) -> None:
    make("vm").do("deploy")
    world = make("im", memory_mb=1000)
    host = {"attrs": {"DUMMY_CPU": "800", "DUMMY_DISK_MB": "77"}}
    assert world.do("watch", host=host, period=30, datastores=[{"id": 0}]).ok
    (sample,) = world.messages
    assert isinstance(sample, Sample) and sample.time == 1000 and sample.hid == 3
    assert {key: sample.host[key] for key in ("total_cpu", "used_cpu", "free_cpu", "total_mem_kb", "used_mem_kb")} == {
        "total_cpu": 800, "used_cpu": 200, "free_cpu": 600, "total_mem_kb": 1024000, "used_mem_kb": 65536}
    assert [(vm["id"], vm["generation"], vm["state"], vm["cpu"]) for vm in sample.vms] == [(12, 1, "running", 200.0)]
    assert sample.datastores == [{"id": 0, "total_mb": 77, "used_mb": 0, "free_mb": 77}]


def test_samples_come_by_the_period_until_unwatch(make: Make) -> None:
    world = make("im")
    world.do("watch", period=30)
    assert world.inline.tick() == 1030
    for moment in (1029, 1030, 1061):
        world.time = moment
        world.inline.tick()
    assert [each.time for each in world.messages if isinstance(each, Sample)] == [1000, 1030, 1061]
    world.do("unwatch")
    world.time = 2000
    assert world.inline.tick() is None and len(world.messages) == 3


def test_a_sick_host_gives_samples_with_its_error_or_none(make: Make) -> None:
    world = make("im", rules=[{"action": "im.sample", "host": "sick", "fail": "no route"},
                              {"action": "im.sample", "host": "mute", "hang": True}])
    world.do("watch", host={"name": "sick"})
    world.do("watch", host={"name": "mute", "id": 4})
    assert [(each.hid, each.error) for each in world.messages if isinstance(each, Sample)] == [(3, "no route")]


def test_images_have_the_size_that_they_say(make: Make) -> None:
    world = make("tm")
    assert world.do("stat", image={"id": 4, "attrs": {}}).data == {"size_mb": 1024, "format": "raw"}
    made = world.do("register", image={"id": 4, "path": "/x", "format": "qcow2", "attrs": {"SIZE": "7"}}).data
    assert made == {"source": "dummy-4", "size_mb": 7, "format": "qcow2"}
    assert "/missing/x: no such file" in world.do("register", image={"id": 4, "path": "/missing/x"}).error
