"""Watches: probes started, heard, given up and started again; and what the core is told meanwhile."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from ssh_ground import soon

from drivers.base import Permanent, Temporary
from drivers.im import watch as watching
from drivers.im.sample import Samples, Skew
from drivers.im.starts import Starts
from drivers.im.watch import Hear, Watch
from onecore.wire.messages import Doc, Sample

GOOD: Doc = {"time": 0.0, "host": {"total_cpu": 100}, "vms": [], "roster": True, "datastores": [],
             "running": ["boot", "kernel"]}


class FakeChannel:
    """A probe at work."""

    def __init__(self, hear: Hear) -> None:
        self.hear = hear
        self.closed = False

    def send(self, document: Doc) -> None:
        """Nothing is sent to probes."""

    def close(self) -> None:
        """End it."""
        self.closed = True


class Ground:
    """A watch of a host on which probes start as told, with a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, period: float = 10.0) -> None:
        self.now = 1000.0
        self.failure: Exception | None = None
        self.channels: list[FakeChannel] = []
        self.samples: list[Sample] = []
        self.tried = 0
        monkeypatch.setattr(watching.time, "monotonic", lambda: self.now)
        self.watch = Watch(self.begin, Samples(3, lambda running: "qemu", lambda: 5000.0), self.samples.append, period,
                           AtOnce())

    def begin(self, hear: Hear) -> FakeChannel:
        self.tried += 1
        if self.failure:
            raise self.failure
        self.channels.append(FakeChannel(hear))
        return self.channels[-1]

    def passes(self, seconds: float) -> None:
        """Let time pass, with the ticks that are due."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + self.watch.tick())

    def errors(self) -> list[str]:
        return [sample.error for sample in self.samples if sample.error]


class AtOnce(Starts):
    """Starts without threads."""

    def put(self, failures: int, call: Callable[[], object]) -> None:
        call()


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Ground:
    return Ground(monkeypatch)


def test_what_the_probe_says_is_told(ground: Ground) -> None:
    ground.watch.tick()
    ground.channels[0].hear(GOOD)
    assert [(each.hid, each.error, each.host["hypervisor"]) for each in ground.samples] == [(3, "", "qemu")]


def test_a_host_that_cannot_be_reached_is_told_at_once_and_then_once_a_period(ground: Ground) -> None:
    ground.failure = Temporary("node1: Connection refused")
    ground.watch.tick()
    assert ground.errors() == ["node1: Connection refused"]
    ground.passes(60)
    assert 5 <= len(ground.errors()) <= 7 and 10 <= ground.tried <= 40


def test_a_host_that_is_back_is_found_soon(ground: Ground) -> None:
    ground.failure = Temporary("away")
    ground.passes(300)
    ground.failure = None
    before, began = ground.tried, ground.now
    while ground.tried == before:
        ground.passes(1)
    assert ground.now - began < 10
    ground.channels[-1].hear(GOOD)
    assert ground.samples[-1].error == ""


def test_silence_is_told_and_another_probe_started(ground: Ground) -> None:
    ground.watch.tick()
    ground.channels[0].hear(GOOD)
    ground.passes(29)
    assert ground.errors() == [] and len(ground.channels) == 1
    ground.passes(5)
    assert ground.errors() == ["nothing was heard from the probe on the host for 30 s"]
    assert ground.channels[0].closed
    ground.passes(5)
    assert len(ground.channels) == 2
    ground.channels[0].hear(GOOD)
    assert len(ground.samples) == 2, "the old probe is not heard any more"


def test_a_probe_that_worked_is_replaced_without_an_alarm(ground: Ground) -> None:
    ground.watch.tick()
    for _ in range(3):
        ground.passes(10)
        ground.channels[0].hear(GOOD)
    ground.channels[0].hear(None)
    assert len(ground.channels) == 2 and ground.errors() == []


def test_an_end_is_told_when_the_next_start_fails(ground: Ground) -> None:
    ground.watch.tick()
    for _ in range(3):
        ground.passes(10)
        ground.channels[0].hear(GOOD)
    ground.failure = Permanent("node1: no such key")
    ground.channels[0].hear(None)
    assert ground.errors() == ["node1: no such key"]


def test_probes_that_end_again_and_again_are_told_and_not_started_in_a_rush(ground: Ground) -> None:
    ground.watch.tick()
    for _ in range(20):
        ground.channels[-1].hear(GOOD)
        ground.channels[-1].hear(None)
        ground.passes(1)
    assert "the probe on the host ended" in ground.errors() and ground.tried < 20


def test_what_the_probe_cannot_find_out_is_told(ground: Ground) -> None:
    ground.watch.tick()
    ground.channels[0].hear({"time": 0.0, "error": "libvirt does not answer (8 s)"})
    ground.passes(20)
    assert ground.errors() == ["libvirt does not answer (8 s)"] and ground.tried == 1


def test_a_closed_watch_is_silent(ground: Ground) -> None:
    ground.watch.tick()
    ground.watch.close()
    ground.channels[0].hear(GOOD)
    ground.channels[0].hear(None)
    ground.passes(60)
    assert ground.samples == [] and ground.channels[0].closed and ground.tried == 1


def test_a_probe_that_starts_after_the_close_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ground = Ground(monkeypatch)
    begin = ground.watch._begin

    def closing(hear: Hear) -> FakeChannel:
        ground.watch.close()
        return begin(hear)  # type: ignore[return-value]
    ground.watch._begin = closing
    ground.watch.tick()
    assert ground.channels[0].closed


def test_a_bad_setting_is_an_error_in_the_sample() -> None:
    def refuse(running: list[str]) -> str:
        raise Permanent("kvm.hypervisor must be auto, kvm or qemu, not 'xen'")
    sample = Samples(3, refuse, time.time).heard(GOOD)
    assert "not 'xen'" in sample.error


def test_skew_is_the_quickest_of_the_last_documents() -> None:
    skew = Skew()
    assert skew.seconds(105.0, 100.0) == 5.0
    assert skew.seconds(110.0, 125.0) == 5.0, "a document that was 20 s on its way"
    assert [skew.seconds(at, at + 7.0) for at in (130.0, 140.0)] == [5.0, -7.0], "the clock was set"


def test_a_sample_that_waited_on_its_way_is_of_when_it_was_taken() -> None:
    clock = [0.0]
    samples = Samples(3, lambda running: "qemu", lambda: clock[0])

    def dated(said: float, heard: float) -> int:
        clock[0] = heard
        return samples.heard({**GOOD, "time": said}).time
    assert [dated(said, heard) for said, heard in
            ((1005.0, 1000.5), (1015.0, 1010.5), (1025.0, 1035.5), (1035.0, 1035.6), (1045.0, 1040.5))] == [
                1000, 1010, 1020, 1030, 1040], "its clock is 5 s ahead, and one waited for 15 s"
    assert dated(500.0, 1050.5) == 990, "its clock was set back"


def test_starts_are_bounded_and_the_healthy_go_first() -> None:
    starts, gate, order = Starts(1), threading.Event(), []
    starts.put(0, gate.wait)
    for failures in (9, 9, 1, 0):
        starts.put(failures, lambda failures=failures: order.append(failures))
    assert order == []
    gate.set()
    soon(lambda: len(order) == 4)
    assert order == [0, 1, 9, 9]


def test_threads_end_when_there_is_nothing_to_do_and_survive_what_fails() -> None:
    starts, done = Starts(1), threading.Event()
    starts.put(0, lambda: 1 / 0)
    starts.put(0, done.set)
    assert done.wait(40)
    soon(lambda: not starts._threads)
