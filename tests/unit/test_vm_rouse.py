"""libvirt that goes on with a move which QEMU has given up is made to look; nobody else's guest is paused."""
from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace

import pytest

pytest.importorskip("libvirt")

from drivers.base import Temporary
from drivers.vm import migrate
from drivers.vm.guest import Guest
from drivers.vm.handover import Stop, Teller
from onecore.wire.messages import Doc

ARGS: Doc = {"host": {"id": 0, "name": "here"}, "to": {"id": 1, "name": "there"}, "vm": {"id": 7, "generation": 1}}


class Ground:
    """A context with a clock, and a guest whose QEMU says STATUS of its last move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
        self.clock, self.done, self.logged = 100.0, [], []  # type: tuple[float, list[str], list[str]]
        self.stats: Doc = {}
        domain = SimpleNamespace(suspend=lambda: self.done.append("suspend"), jobStats=lambda: self.stats,
                                 abortJob=lambda: self.done.append("abort"))
        self.guest = Guest(domain, 7, 1, "running")
        answer = json.dumps({"return": {"status": status} if status else {}})
        monkeypatch.setattr("drivers.vm.rouse.libvirt_qemu.qemuMonitorCommand", lambda *_: answer)

    def now(self) -> float:
        return self.clock

    def log(self, level: str, text: str) -> None:
        self.logged.append(text)

    def progress(self, *_: object) -> None:
        return

    def beyond(self, seconds: float) -> Ground:
        return self

    def run(self, called: Callable[[object], object], seconds: int) -> None:
        for _ in range(seconds * 2):
            called(None)
            self.clock += 0.5


@pytest.mark.parametrize(("status", "roused"), [("cancelled", True), ("failed", True), ("active", False),
                                                ("pre-switchover", False), ("completed", False), ("", False)])
def test_what_was_to_stop_and_does_not_is_roused_when_qemu_has_given_up(
        monkeypatch: pytest.MonkeyPatch, status: str, roused: bool) -> None:
    ground = Ground(monkeypatch, status)
    ground.run(Stop(ground, ground.guest), 3)  # type: ignore[arg-type]
    assert ("suspend" in ground.done, bool(ground.logged)) == (roused, roused)
    assert ground.done[:2] == ["abort", "abort"] and ground.done.count("abort") == 6


def test_it_is_not_roused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An abort needs its moment: the guest does not stand still for nothing."""
    ground = Ground(monkeypatch, "cancelled")
    ground.run(Stop(ground, ground.guest), 1)  # type: ignore[arg-type]
    assert "suspend" not in ground.done


def test_one_that_is_followed_is_roused_when_nothing_is_new_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of an earlier move says the same: as long as this one's disks go on, nothing is done."""
    ground = Ground(monkeypatch, "cancelled")
    tell = Teller(ground, ground.guest)  # type: ignore[arg-type]
    for done in range(40):
        ground.stats = {"disk_total": 99, "disk_remaining": 99 - done, "disk_processed": done}
        ground.run(tell, 1)
    assert ground.done == []
    ground.run(tell, 14)
    assert ground.done == []
    ground.run(tell, 3)
    assert ground.done == ["suspend"]


@pytest.mark.parametrize(("found", "loaded", "under_way", "woken"), [
    ("from", True, False, True), ("from", False, False, False), ("from", True, True, False), ("to", True, False, False),
    ("unknown", True, False, False)])
def test_a_guest_that_stands_still_for_a_move_that_is_over_runs(
        monkeypatch: pytest.MonkeyPatch, found: str, loaded: bool, under_way: bool, woken: bool) -> None:
    """Only where it is nowhere else."""
    ground = Ground(monkeypatch, "cancelled")
    guest = Guest(ground.guest.domain, 7, 1, "suspended", loaded=loaded)
    for name, given in (("stop", None), ("find_out", found), ("look", guest), ("is_under_way", under_way)):
        monkeypatch.setattr(migrate, name, lambda *_, given=given: given)
    monkeypatch.setattr(migrate, "wake", lambda *_: ground.done.append("wake"))
    assert migrate._after_failure(ground, ARGS, ARGS, []) == (found, [])  # type: ignore[arg-type]
    assert ground.done == (["wake"] if woken else [])


def test_it_stands_still_as_long_as_something_of_it_is_left_there(monkeypatch: pytest.MonkeyPatch) -> None:
    ground = Ground(monkeypatch, "cancelled")

    def busy(_: object) -> None:
        raise Temporary("it is busy")

    for name, given in (("stop", None), ("find_out", "from"), ("is_under_way", False),
                        ("look", Guest(ground.guest.domain, 7, 1, "suspended", loaded=True))):
        monkeypatch.setattr(migrate, name, lambda *_, given=given: given)
    monkeypatch.setattr(migrate, "wake", lambda *_: ground.done.append("wake"))
    assert migrate._after_failure(ground, ARGS, ARGS, [busy]) == ("from", [1])  # type: ignore[arg-type]
    assert ground.done == []
