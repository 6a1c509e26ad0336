"""libvirt that goes on with a move which QEMU has given up is made to look; nobody else's guest is paused."""
from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

libvirt = pytest.importorskip("libvirt")

from drivers.base import Temporary  # noqa: E402
from drivers.vm import handover, migrate  # noqa: E402
from drivers.vm.guest import Guest  # noqa: E402
from drivers.vm.rouse import Stop  # noqa: E402
from onecore.wire.messages import Doc  # noqa: E402

HELD = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)
ARGS: Doc = {"host": {"id": 0, "name": "here"}, "to": {"id": 1, "name": "there"}, "vm": {"id": 7, "generation": 1}}


class Domain:
    """The guest: PAUSED is its state after a pause."""

    def __init__(self, done: list[str], paused: tuple[int, int]) -> None:
        self.done, self.paused = done, paused
        self.stats: Doc = {}

    def suspend(self) -> None:
        self.done.append("suspend")

    def resume(self) -> None:
        self.done.append("resume")

    def abortJob(self) -> None:
        self.done.append("abort")

    def state(self) -> list[int]:
        return list(self.paused)

    def jobStats(self) -> Doc:
        return self.stats


class Ground:
    """A context with a clock, and a guest whose QEMU says STATUS of its last move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status: str, paused: tuple[int, int] = HELD) -> None:
        self.clock, self.done, self.logged = 100.0, [], []  # type: tuple[float, list[str], list[str]]
        self.guest = Guest(Domain(self.done, paused), 7, 1, "running")
        self.status = status
        monkeypatch.setattr("drivers.vm.qmp.libvirt_qemu.qemuMonitorCommand", self.monitor)

    def monitor(self, _: Domain, text: str, __: int) -> str:
        """QEMU; told to go on while it cancels, it gets to its end."""
        asked = json.loads(text)
        if asked["execute"] == "query-migrate":
            return json.dumps({"return": {"status": self.status} if self.status else {}})
        assert asked == {"execute": "migrate-continue", "arguments": {"state": "cancelling"}}
        self.done.append("continue")
        if self.status != "cancelling":
            return json.dumps({"error": {"desc": "Migration not in expected state"}})
        self.status = "cancelled"
        return json.dumps({"return": {}})

    def now(self) -> float:
        return self.clock

    def log(self, level: str, text: str) -> None:
        self.logged.append(text)

    def progress(self, *_: object) -> None:
        return

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def beyond(self, seconds: float) -> Ground:
        return self


def stopped(ground: Ground, seconds: int) -> None:
    """The end of a hand-over is asked for, twice a second."""
    stop = Stop(ground, ground.guest)  # type: ignore[arg-type]
    ground.clock += 60  # it had gone well for long
    for _ in range(seconds * 2):
        stop(None)
        ground.clock += 0.5


@pytest.mark.parametrize(("status", "roused"), [("cancelled", True), ("failed", True), ("active", False),
                                                ("pre-switchover", False), ("completed", False), ("", False)])
def test_what_was_to_stop_and_does_not_is_roused_when_qemu_has_given_up(
        monkeypatch: pytest.MonkeyPatch, status: str, roused: bool) -> None:
    ground = Ground(monkeypatch, status)
    stopped(ground, 3)
    assert ("suspend" in ground.done, bool(ground.logged)) == (roused, roused)
    assert ground.done[:2] == ["abort", "abort"] and ground.done.count("abort") == 6 and "resume" not in ground.done


def test_qemu_that_waits_in_its_cancelling_is_told_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And then libvirt is roused, if it needs that too."""
    ground = Ground(monkeypatch, "cancelling")
    stopped(ground, 3)
    assert ground.done == ["abort"] * 3 + ["continue", "abort", "abort", "suspend", "abort"]


def test_it_is_not_roused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An abort needs its moment: the guest does not stand still for nothing."""
    ground = Ground(monkeypatch, "cancelled")
    stopped(ground, 1)
    assert ground.done == ["abort", "abort"]


MEMORY = {"memory_processed": 90, "memory_remaining": 10, "memory_bps": 20}


@pytest.mark.parametrize(("stats", "near"), [
    (MEMORY, True), ({**MEMORY, "memory_remaining": 0}, True), ({**MEMORY, "memory_bps": 0}, True),
    ({**MEMORY, "memory_remaining": 30}, False), ({**MEMORY, "disk_remaining": 1}, False),
    ({"memory_total": 100, "memory_remaining": 100}, False), ({}, False)])
def test_what_is_about_to_switch_over_is_waited_for(monkeypatch: pytest.MonkeyPatch, stats: Doc, near: bool) -> None:
    """For a moment; one that is near for longer does not get there."""
    ground = Ground(monkeypatch, "active")
    ground.guest.domain.stats = stats
    stopped(ground, 3)
    assert ground.done == ["abort"] * (2 if near else 6)


def test_a_pause_that_comes_too_late_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """libvirt has ended its part meanwhile, and would let nobody run."""
    ground = Ground(monkeypatch, "cancelled", (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER))
    stopped(ground, 2)
    assert ground.done[2:5] == ["abort", "suspend", "resume"]


@pytest.mark.parametrize(("status", "there", "stops"), [("cancelled", False, True), ("cancelled", True, False),
                                                        ("cancelling", False, True), ("active", False, False)])
def test_one_that_is_followed_and_stands_still_for_long_is_stopped(
        monkeypatch: pytest.MonkeyPatch, status: str, there: bool, stops: bool) -> None:
    """When its QEMU has given up, and the other host has nothing of it: a disk that is slow to copy is waited for."""
    ground, ended = Ground(monkeypatch, status), []  # type: tuple[Ground, list[float]]
    monkeypatch.setattr(handover, "is_under_way", lambda *_: ground.clock < 160 and not ended)
    monkeypatch.setattr(handover, "ask", lambda ctx, args, what, function, **_: function(None))
    monkeypatch.setattr(handover, "look", lambda *_: ground.guest if there else None)
    monkeypatch.setattr(handover, "stop", lambda *_: ended.append(ground.clock))
    handover.follow(ground, ARGS, ARGS, ground.guest)  # type: ignore[arg-type]
    assert bool(ended) is stops and all(115 <= when < 117 for when in ended)


@pytest.mark.parametrize(("found", "loaded", "under_way", "there", "woken"), [
    ("from", True, False, False, True), ("from", False, False, False, False), ("from", True, True, False, False),
    ("from", True, False, True, False), ("to", True, False, False, False), ("unknown", True, False, False, False)])
def test_a_guest_that_stands_still_for_a_move_that_is_over_runs(
        monkeypatch: pytest.MonkeyPatch, found: str, loaded: bool, under_way: bool, there: bool, woken: bool) -> None:
    """Only where it is nowhere else, not even about to run."""
    ground = Ground(monkeypatch, "cancelled")
    after_failure(monkeypatch, ground, found, loaded, under_way, there)
    assert migrate._after_failure(ground, ARGS, ARGS, []) == (found, [])  # type: ignore[arg-type]
    assert ground.done == (["wake"] if woken else [])


@pytest.mark.parametrize("there", [False, True])
def test_what_else_is_left_there_does_not_keep_it_still(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    ground = Ground(monkeypatch, "cancelled")

    def busy(_: object) -> None:
        raise Temporary("it is busy")

    after_failure(monkeypatch, ground, "from", True, False, there)
    assert migrate._after_failure(ground, ARGS, ARGS, [busy]) == ("from", [1])  # type: ignore[arg-type]
    assert ground.done == ([] if there else ["wake"])


def test_it_runs_before_it_moves_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that moves paused arrives paused."""
    ground = Ground(monkeypatch, "cancelled")
    after_failure(monkeypatch, ground, "from", True, False, False)
    monkeypatch.setattr(migrate, "at_work", lambda *_: ground.guest)
    monkeypatch.setattr(migrate, "_bring_files", lambda *_: [])
    monkeypatch.setattr(migrate.around, "pre", lambda *_: None)
    monkeypatch.setattr(migrate.events, "expect", lambda *_, **__: None)
    monkeypatch.setattr(migrate, "hand_over", lambda *_: ground.done.append("moved"))
    migrate._move(ground, ARGS, ARGS, SimpleNamespace(moved={}))  # type: ignore[arg-type]
    assert ground.done == ["wake", "moved"]


def after_failure(monkeypatch: pytest.MonkeyPatch, ground: Ground, found: str, loaded: bool, under_way: bool,
                  there: bool) -> None:
    """What both hosts say once a move has failed."""
    guest = Guest(ground.guest.domain, 7, 1, "suspended", loaded=loaded)
    for name, given in (("stop", None), ("find_out", found), ("ours", guest), ("is_under_way", under_way),
                        ("look", guest if there else None)):
        monkeypatch.setattr(migrate, name, lambda *_, given=given: given)
    monkeypatch.setattr(migrate, "wake", lambda *_: ground.done.append("wake"))
