"""Dummy disks: where they are and what is on them shows, and a kill at any write loses nothing that a guest wrote."""
from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.dummy.folder import Folder
from drivers.dummy.shelf import FRONT, SHARED, Held, Place, Shelf
from drivers.inline import Inline
from onecore.wire.messages import Command, Doc, Message, Result

OWN, COMMON = {"SHARED": "NO"}, {"SHARED": "YES"}
SAVED = {"DISK_ID": "0", "IMAGE_ID": "4", "SOURCE": "dummy-4", "SIZE": "10", "CLONE": "NO", "SAVE": "YES"}
CLONE = {"DISK_ID": "1", "IMAGE_ID": "5", "SOURCE": "dummy-5", "SIZE": "20"}


class Killed(BaseException):
    """The driver's process is killed here."""


class Cloud:
    """The vm, tm and im dummies on one home, and VM 7 with a persistent disk and a clone."""

    def __init__(self, home: Path, attrs: Doc, **settings: Any) -> None:
        self.home, self.op = home, 0
        self.messages: list[Message] = []
        self.families = {family: Inline(family, home, {"dummy": settings}, time.monotonic, lambda _: None,
                                        self.messages.append) for family in ("vm", "tm", "im")}
        self.shelf = Shelf(home / "dummy", "look")
        self.stores = [{"id": number, "tm_mad": "dummy", "base_path": f"/datastores/{number}", "attrs": attrs}
                       for number in (0, 9)]
        self.vm: Doc = {"id": 7, "generation": 3, "dir": "/datastores/0/7", "disks": [SAVED, CLONE], "user": {}}
        self.host = {"id": 0, "name": "node0", "attrs": {}}
        self.to = {"id": 1, "name": "node1", "attrs": {}}

    def do(self, action: str, family: str = "tm", op: int = 0, **args: Any) -> Result:
        """One command, the next operation or OP again."""
        self.op = op or self.op + 1
        told = {"host": self.host, "vm": self.vm, "datastore": self.stores[0], **args}
        command = Command(self.op, 1, 1, self.vm["generation"], "lane", "dummy", action, ("vm", 7), 60.0, "", told)
        return self.families[family].run(command)

    def ok(self, action: str, family: str = "tm", **args: Any) -> Doc:
        result = self.do(action, family, **args)
        assert result.ok, result.error
        return result.data

    def move(self, action: str = "move", store: int = 0, op: int = 0) -> Result:
        into = self.stores[store]
        return self.do(action, op=op, to=self.to, to_datastore=into, to_dir=f"{into['base_path']}/7")

    def at(self, whose: str, datastore: int = 0) -> Folder | None:
        place: Place = (whose, datastore, 7)
        return self.shelf.get(place)

    def migrate(self, op: int = 0) -> Result:
        return self.do("migrate", "vm", op, to=self.to, to_datastore=self.stores[0], to_dir=self.vm["dir"])

    def start(self) -> None:
        self.ok("prolog")
        self.ok("deploy", "vm")


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path, OWN)


def test_a_start_writes_and_the_end_brings_it_home(cloud: Cloud) -> None:
    for starts in (1, 2):
        cloud.start()
        found = cloud.at("node0")
        assert found and found.disks["0"].content == starts and found.mb == 30
        cloud.ok("destroy", "vm")
        cloud.ok("epilog")
        cloud.ok("epilog")
        assert cloud.at("node0") is None and cloud.shelf.image("dummy-4") == Held(starts, 7, 3)
    assert not cloud.shelf.has_image("dummy-5")


def test_a_directory_that_is_lost_is_not_taken_for_one_that_came_home(cloud: Cloud) -> None:
    cloud.start()
    assert cloud.ok("state") == {"dir": True, "disks": {"0": True, "1": True}, "checkpoint": False, "saved": False}
    cloud.shelf.drop(("node0", 0, 7))
    assert "neither on its host nor saved" in cloud.do("epilog").error
    assert cloud.ok("state")["dir"] is False
    cloud.ok("delete")


@pytest.mark.parametrize(("attrs", "place", "stopped"), [(OWN, "node0", FRONT), (COMMON, SHARED, SHARED)])
def test_a_stop_takes_all_to_where_every_host_can_have_it(tmp_path: Path, attrs: Doc, place: str, stopped: str) -> None:
    cloud = Cloud(tmp_path, attrs)
    cloud.start()
    cloud.ok("save", "vm")
    before = cloud.at(place)
    assert before and before.checkpoint
    cloud.ok("epilog_stop")
    away = cloud.at(stopped)
    assert away and away.disks == before.disks and away.checkpoint
    cloud.host = cloud.to
    cloud.ok("prolog_resume")
    cloud.ok("restore", "vm")
    after = cloud.at("node1" if attrs is OWN else SHARED)
    assert after and not after.checkpoint and after.disks["0"].content == 2


def test_disks_move_and_come_back(cloud: Cloud) -> None:
    cloud.start()
    before = cloud.at("node0")
    assert before
    assert cloud.move(store=1).ok
    there = cloud.at("node1", 9)
    assert cloud.at("node0") is None and there and there.disks == before.disks
    assert cloud.move(store=1).ok and cloud.move("move_back", store=1).ok and cloud.move("move_back", store=1).ok
    back = cloud.at("node0")
    assert cloud.at("node1", 9) is None and back and back.disks == before.disks
    cloud.ok("delete")
    for action in ("move", "move_back"):
        assert "directory is missing" in cloud.move(action).error


def test_in_a_shared_datastore_there_is_nothing_to_move(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path, COMMON)
    cloud.start()
    assert cloud.move().ok and cloud.at(SHARED)
    assert cloud.move(store=1).ok and cloud.at(SHARED) is None and cloud.at(SHARED, 9)


def test_one_disk_comes_and_goes(cloud: Cloud) -> None:
    cloud.vm["disks"] = [CLONE]
    cloud.start()
    cloud.vm["disks"] = [CLONE, SAVED]
    for _ in range(2):
        cloud.ok("attach", disk_id=0)
    found = cloud.at("node0")
    assert found
    cloud.shelf.put(("node0", 0, 7), found.written())
    for _ in range(2):
        cloud.ok("detach", disk_id=0, save=True)
    found = cloud.at("node0")
    assert found and list(found.disks) == ["1"] and cloud.shelf.image("dummy-4") == Held(1, 7, 3)


def test_snapshots_keep_what_was_written(cloud: Cloud) -> None:
    cloud.start()
    for _ in range(2):
        cloud.ok("snap_create", disk_id=0, snap_id=0)
    found = cloud.at("node0")
    assert found
    cloud.shelf.put(("node0", 0, 7), found.written())
    cloud.ok("snap_create", disk_id=0, snap_id=1)
    assert cloud.move().ok
    cloud.host = cloud.to
    cloud.ok("snap_revert", disk_id=0, snap_id=0)
    cloud.ok("saveas", disk_id=0, snap_id=1, image={"id": 8}, image_datastore={"id": 1}, live=False)
    assert cloud.shelf.image("dummy-8") == Held(2)
    for _ in range(2):
        cloud.ok("snap_delete", disk_id=0, snap_id=0)
    assert "snapshot 0 is missing" in cloud.do("snap_revert", disk_id=0, snap_id=0).error
    found = cloud.at("node1")
    assert found and found.disks["0"].content == 1 and found.disks["0"].snapshots == {"1": 2}


def test_what_a_running_guest_does_to_its_disks(cloud: Cloud) -> None:
    cloud.start()
    cloud.ok("disk_snapshot_create", "vm", disk_id=0, snap_id=0)
    cloud.ok("resize_disk", "vm", disk_id=0, size_mb=12)
    cloud.ok("copy_disk", "vm", disk_id=0)
    found = cloud.at("node0")
    assert found and (found.disks["0"].mb, found.disks["0"].snapshots, found.disks["0"].copy) == (12, {"0": 1}, 1)
    for _ in range(2):
        answer = cloud.ok("saveas", disk_id=0, snap_id=-1, image={"id": 8}, image_datastore={"id": 1}, live=True)
        assert answer == {"source": "dummy-8", "format": "raw", "size_mb": 12}
    cloud.ok("disk_snapshot_delete", "vm", disk_id=0, snap_id=0)
    found = cloud.at("node0")
    assert found and not found.disks["0"].snapshots and found.disks["0"].copy is None
    assert cloud.shelf.image("dummy-8") == Held(1)


def test_a_running_guest_takes_its_directory_along(cloud: Cloud) -> None:
    cloud.start()
    before = cloud.at("node0")
    (cloud.home / "dummy.json").write_text('{"rules": [{"action": "vm.migrate", "fail": "no luck", "times": 1}]}')
    assert cloud.migrate().data["where"] == "from" and cloud.at("node1") is None and cloud.at("node0") == before
    for _ in range(2):
        assert cloud.migrate().ok and cloud.at("node0") is None and cloud.at("node1") == before
    cloud.host = cloud.to
    cloud.ok("destroy", "vm")
    cloud.ok("epilog")
    assert cloud.shelf.image("dummy-4") == Held(1, 7, 3)


def test_disks_only_grow(cloud: Cloud) -> None:
    cloud.start()
    for _ in range(2):
        cloud.ok("resize", disk_id=1, size_mb=25)
    assert "disks only grow" in cloud.do("resize", disk_id=1, size_mb=24).error
    found = cloud.at("node0")
    assert found and found.disks["1"].mb == 25


def test_what_keeps_a_vm_from_moving_is_told(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path, OWN)
    cloud.start()
    cloud.to = {**cloud.to, "attrs": {"DUMMY_DISK_MB": "29"}}
    cloud.stores[1] = {**cloud.stores[1], "tm_mad": "ssh"}
    args = {"to": cloud.to, "to_datastore": cloud.stores[1], "live": True}
    assert cloud.ok("premigrate", **args)["problems"] == [
        "datastore 9 is of kind ssh, that of VM 7 of kind dummy",
        "datastore 9 on node1: VM 7 needs 30 MB, 29 MB are free"]


def test_a_host_shows_the_directories_that_it_sees(cloud: Cloud) -> None:
    cloud.start()
    stores = [{"id": 0, "base_path": "/datastores/0", "shared": False}]
    assert cloud.ok("survey", "im", datastores=stores)["dirs"] == [
        {"ds": 0, "vm": 7, "path": "/datastores/0/7", "size_mb": 30}]


def test_an_older_operation_is_refused(cloud: Cloud) -> None:
    cloud.op = 5
    cloud.start()
    assert "superseded by operation 6" in cloud.do("delete", op=4).error
    assert cloud.at("node0")


WAYS = {"epilog": ("prolog", "deploy"), "move": ("prolog", "deploy"), "move_back": ("prolog", "deploy", "move"),
        "epilog_stop": ("prolog", "deploy"), "prolog_resume": ("prolog", "deploy", "epilog_stop"),
        "detach": ("prolog", "deploy"), "migrate": ("prolog", "deploy")}


@pytest.mark.parametrize("action", WAYS)
def test_a_kill_at_any_write_loses_nothing_and_a_second_run_ends_like_one(tmp_path: Path, action: str) -> None:
    wanted, writes = _run(tmp_path / "whole", action, 0)
    assert writes
    for at in range(1, writes + 1):
        assert _run(tmp_path / str(at), action, at)[0] == wanted, f"killed at {at} of {writes}"


def _run(home: Path, action: str, at: int) -> tuple[list[Any], int]:
    """What there is after ACTION was killed before its write number AT and ran again."""
    cloud = Cloud(home, OWN)
    for before in WAYS[action]:
        assert _step(cloud, before, cloud.op + 1).ok
    op = cloud.op + 1
    with pytest.MonkeyPatch.context() as patch:
        writes = list(_killing(cloud, patch, at, lambda: _step(cloud, action, op)))
    assert _step(cloud, action, op).ok
    found = [cloud.at(whose) for whose in ("node0", "node1", FRONT)]
    return [*(each and each.disks for each in found), cloud.shelf.image("dummy-4")], len(writes)


def _step(cloud: Cloud, action: str, op: int) -> Result:
    if action.startswith("move"):
        return cloud.move(action, op=op)
    if action == "migrate":
        return cloud.migrate(op)
    more = {"disk_id": 0, "save": True} if action == "detach" else {}
    return cloud.do(action, "vm" if action == "deploy" else "tm", op=op, **more)


def _killing(cloud: Cloud, patch: pytest.MonkeyPatch, at: int, run: Any) -> Iterator[str]:
    """Run, killed before the write number AT; each write, before which what was written is whole somewhere."""
    done: list[str] = []

    def before(name: str, real: Any) -> Any:
        def write(*args: Any) -> None:
            places = [cloud.at(whose) for whose in ("node0", "node1", FRONT)]
            held = [each.disks["0"].content for each in places if each and not each.mark and "0" in each.disks]
            assert 1 in [*held, cloud.shelf.image("dummy-4").content]
            done.append(name)
            if len(done) == at:
                raise Killed
            real(*args)
        return write

    for name in ("put", "drop", "put_image"):
        patch.setattr(Shelf, name, before(name, getattr(Shelf, name)))
    result = run()
    assert result.ok == (at == 0) and ("Killed" in result.error) == (at > 0), result
    yield from done
