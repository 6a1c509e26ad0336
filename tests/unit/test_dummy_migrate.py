"""Dummy guests that move: whatever breaks, one host has the guest, and the move can be asked for again."""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import give

from drivers.inline import Inline
from drivers.token import Token
from drivers.vm.where import where
from onecore.wire.messages import Command, Doc, Message, News, Progress, Result

HOSTS = [{"id": 3, "name": "node1", "attrs": {}}, {"id": 4, "name": "node2", "attrs": {}}]
VM: Doc = {"id": 12, "generation": 1, "cpu": 2, "vcpu": 1, "memory_mb": 64, "dir": "/ds/0/12", "nics": [], "disks": []}


class Ground:
    """Two dummy hosts of one home on a simulated clock."""

    def __init__(self, home: Path) -> None:
        self.home, self.time = home, 1000.0
        self.messages: list[Message] = []
        self.families = {family: Inline(family, home, {}, lambda: self.time, self._sleep, self.messages.append)
                         for family in ("vm", "im", "tm")}
        self.before_sleep: Callable[[], object] = lambda: None

    def _sleep(self, seconds: float) -> None:
        self.before_sleep()
        self.time += seconds

    def do(self, action: str, host: Doc = HOSTS[0], token: Token | None = None, family: str = "vm",
           **args: Any) -> Result:
        args = {"host": host, "vm": VM, **args}
        command = Command(1, 1, 1, 1, "node1", "dummy", action, ("vm", 12), 60, "r", args)
        return self.families[family].run(command, token)

    def move(self, token: Token | None = None, **args: Any) -> Result:
        return self.do("migrate", to=HOSTS[1], to_dir="/ds/0/12", token=token, **args)

    def rules(self, *rules: Doc) -> None:
        give(self.home, {"rules": rules})

    def there(self) -> list[str]:
        """The state of the guest on both hosts, '-' where it is not."""
        files = [self.home / "dummy" / host["name"] / "12" for host in HOSTS]
        return [file.read_text().split()[1] if file.exists() else "-" for file in files]

    def news(self) -> list[News]:
        self.time += 1
        self.families["vm"].tick()
        return [message for message in self.messages if isinstance(message, News)]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    made = Ground(tmp_path)
    assert made.do("deploy").ok
    return made


def test_a_failure_before_the_switch_leaves_it_where_it_was(ground: Ground) -> None:
    ground.rules({"action": "vm.migrate", "fail": "no luck", "times": 1})
    failed = ground.move()
    assert (failed.error, failed.data) == ("no luck", {"where": "from", "left": []})
    assert ground.there() == ["running", "-"]
    assert ground.move().data == {"where": "to", "left": []} and ground.there() == ["-", "running"]


def test_a_cancel_before_the_switch_leaves_it_where_it_was(ground: Ground) -> None:
    ground.rules({"action": "vm.migrate", "delay": 30})
    token = Token()
    ground.before_sleep = token.cancel
    result = ground.move(token)
    assert result.cancelled and result.data["where"] == "from" and ground.there() == ["running", "-"]


def test_a_driver_that_ended_in_the_middle_goes_on_when_it_is_asked_again(ground: Ground) -> None:
    ground.rules({"action": "vm.migrate", "delay": 30})

    def die() -> None:
        raise KeyboardInterrupt
    ground.before_sleep = die
    assert "KeyboardInterrupt" in ground.move().error
    assert ground.there() == ["running", "incoming"]
    ground.before_sleep = lambda: None
    assert ground.move().ok and ground.there() == ["-", "running"]


def test_what_arrives_is_in_no_sample_and_no_news(ground: Ground) -> None:
    for host in HOSTS:
        ground.do("watch", host)
    told = len(ground.news())
    ground.rules({"action": "vm.migrate", "delay": 30})
    seen: list[Any] = []

    def look() -> None:
        sample = ground.do("probe", HOSTS[1], family="im", datastores=[]).data["sample"]
        domains = ground.do("survey", HOSTS[1], family="im").data["domains"]
        seen.extend([sample["vms"], [each["state"] for each in domains], ground.do("state", HOSTS[1]).data["state"]])
        assert len(ground.news()) == told
    ground.before_sleep = look
    assert ground.move().ok
    assert seen == [[], ["incoming"], "suspended"] and len(ground.news()) == told


def test_what_is_left_on_the_old_host_is_told(ground: Ground) -> None:
    ground.rules({"action": "vm.migrate.clean", "fail": "host is away"})
    assert ground.move().data == {"where": "to", "left": [3]}


def test_nobody_can_tell(ground: Ground) -> None:
    ground.rules({"action": "vm.migrate.where", "fail": "both are away"})
    result = ground.move()
    assert not result.ok and result.temporary and result.data == {"where": "unknown", "left": []}
    assert ground.there() == ["-", "running"]
    ground.rules()
    assert ground.move().data == {"where": "to", "left": []}


def test_both_hosts_away_leave_it_on_the_first(ground: Ground) -> None:
    ground.rules({"action": "*", "fail": "away"})
    result = ground.move()
    assert result.data == {"where": "unknown", "left": [4]} and ground.there()[0] == "running"


def test_a_guest_that_ends_meanwhile_has_not_moved(ground: Ground) -> None:
    ground.rules({"action": "vm.migrate", "delay": 30})
    ground.before_sleep = (ground.home / "dummy" / "node1" / "12").unlink
    result = ground.move()
    assert "ended on node1" in result.error and result.data["where"] == "from" and ground.there() == ["-", "-"]


def test_stages_are_told(ground: Ground) -> None:
    ground.move()
    steps = [message.step for message in ground.messages if isinstance(message, Progress)]
    assert steps == ["preparing", "copying memory", "switching over", "cleaning up"]


def test_to_another_datastore_of_the_same_host(ground: Ground) -> None:
    ground.rules({"action": "vm.migrate", "fail": "no luck", "times": 1})
    args = {"to": HOSTS[0], "to_dir": "/ds/7/12"}
    assert ground.do("migrate", **args).data["where"] == "from"
    for _ in range(2):
        assert ground.do("migrate", **args).data == {"where": "to", "left": []}
    assert ground.there() == ["running", "-"]


def test_problems_are_the_scripts(ground: Ground) -> None:
    (ground.home / "dummy.json").write_text(json.dumps({"problems": {"node2": ["another CPU"], "x*": ["no"]}}))
    assert ground.do("premigrate", to=HOSTS[1]).data == {"problems": ["another CPU"]}
    assert ground.do("premigrate", to=HOSTS[0]).data == {"problems": []}


@pytest.mark.parametrize(("way", "problems"), [
    ({"live": True}, 1), ({"live": False, "keeps_state": True}, 1), ({"live": False, "keeps_state": False}, 0),
    ({}, 0)])
def test_another_cpu_is_in_the_way_of_a_guest_that_keeps_its_state(ground: Ground, way: Doc, problems: int) -> None:
    here, there = ({**host, "attrs": {"DUMMY_CPU_MODEL": cpu}} for host, cpu in zip(HOSTS, ("New", "Old"), strict=True))
    told = ["node2 has CPU Old, the guest has New"]
    assert ground.do("premigrate", here, to=there, to_dir="/ds/0/12", **way).data["problems"] == told[:problems]
    assert ground.do("premigrate", here, to={**here, "id": 4, "name": "node2"}, to_dir="/ds/0/12",
                     **way).data == {"problems": []}


def test_a_guest_that_does_not_run_does_not_move_live(ground: Ground) -> None:
    assert ground.do("destroy").ok
    told = {live: ground.do("premigrate", to=HOSTS[1], to_dir="/ds/0/12", live=live).data["problems"]
            for live in (True, False)}
    assert told == {True: ["VM 12 does not run on node1"], False: []}


@pytest.mark.parametrize(("here", "there", "found"), [
    (True, False, "from"), (False, True, "to"), (False, False, "from"), (None, True, "to"), (None, False, "from"),
    (True, None, "from"), (False, None, "unknown"), (None, None, "unknown"), (True, True, "to")])
def test_where_it_is(here: bool | None, there: bool | None, found: str) -> None:
    assert where(here, there) == found
