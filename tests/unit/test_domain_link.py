"""The way to a host's libvirt: one line for all, made by one thread; silence is known, and costs nobody else time."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

libvirt = pytest.importorskip("libvirt")

from drivers.base import DriverError, Permanent, Temporary  # noqa: E402
from drivers.vm import line as lines  # noqa: E402
from drivers.vm import links  # noqa: E402
from drivers.vm.call import Silence  # noqa: E402
from drivers.vm.line import Line  # noqa: E402
from drivers.vm.link import Link  # noqa: E402
from drivers.vm.settings import parse  # noqa: E402
from drivers.vm.strand import Strand  # noqa: E402


class Library:
    """A connection as libvirt's library gives one; it says something or nothing."""

    def __init__(self) -> None:
        self.says = threading.Event()
        self.says.set()
        self.up = True
        self.closed = 0

    def isAlive(self) -> bool:
        return self.up

    def getLibVersion(self) -> int:
        self.says.wait(20)
        return 9

    def close(self) -> None:
        self.up = False
        self.closed += 1


class Host:
    """Makes lines, or fails with what it is told."""

    def __init__(self) -> None:
        self.error: DriverError | None = None
        self.made: list[Library] = []
        self.tries = 0
        self.told: list[DriverError | None] = []

    def make(self) -> Line:
        self.tries += 1
        if self.error is not None:
            raise self.error
        self.made.append(Library())
        return Line(self.made[-1], [])

    def link(self, always: bool = False) -> Link:
        return Link("node1", self.make, always, self.told.append)


def patient() -> None:
    """A command that has time."""


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 40
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def host() -> Host:
    return Host()


def tended(link: Link) -> bool:
    """Whether there was something to do in the background; it is done then."""
    job = link.tend(time.monotonic() + 60)
    return job is not None and job.wait(40)


def test_all_commands_share_a_line(host: Host) -> None:
    link = host.link()
    lines: list[Line] = []
    threads = [threading.Thread(target=lambda: lines.append(link.line(patient))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert host.tries == 1 and len({id(line) for line in lines}) == 1


def test_a_dead_line_is_made_again_when_wanted(host: Host) -> None:
    link = host.link()
    first = link.line(patient)
    host.made[0].up = False
    assert not tended(link)
    assert link.line(patient) is not first and host.tries == 2


def test_one_that_is_always_wanted_is_made_again_in_the_background(host: Host) -> None:
    link = host.link(always=True)
    assert tended(link) and not tended(link)
    host.made[0].up = False
    assert tended(link) and host.tries == 2 and host.told == [None, None]


def test_a_libvirt_that_is_not_there_is_tried_by_each_command(host: Host) -> None:
    link, host.error = host.link(), Temporary("no socket")
    for tries in (1, 2):
        with pytest.raises(Temporary, match="no socket"):
            link.line(patient)
        assert host.tries == tries and not tended(link)


def test_a_silent_one_is_tried_in_the_background_alone(host: Host) -> None:
    link, host.error = host.link(), Silence("node1: libvirt does not answer")
    for _ in range(3):
        with pytest.raises(Temporary, match="does not answer"):
            link.line(patient)
    assert host.tries == 1 and link.tend(time.monotonic()) is None
    host.error = None
    assert tended(link)
    link.line(patient)
    assert host.tries == 2 and link.failures == 0


def test_tries_are_further_and_further_apart(host: Host) -> None:
    link, host.error = host.link(always=True), Temporary("away")
    for seconds in (1, 2, 4, 8, 10, 10):
        assert tended(link)
        now = time.monotonic()
        assert link.tend(now + seconds - 0.5) is None
        assert link.failures == len(host.told)


def test_a_doubted_line_that_answers_stays(host: Host) -> None:
    link = host.link()
    line = link.line(patient)
    link.doubt(line)
    until(lambda: host.told == [None, None])
    assert link.line(patient) is line


def test_a_doubted_line_that_says_nothing_is_cut(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "ANSWER_SECONDS", 0.2)
    link = host.link()
    line = link.line(patient)
    host.made[0].says.clear()
    link.doubt(line)
    link.doubt(line)
    until(lambda: line.why)
    assert "does not answer" in line.why
    until(lambda: len(host.told) == 2)
    with pytest.raises(Temporary, match="does not answer"):
        link.line(patient)
    assert host.tries == 1


def test_a_line_given_up_ends_with_its_last_user(host: Host) -> None:
    link = host.link()
    line, again = link.line(patient), link.line(patient)
    link.give_up(line)
    line.leave()
    assert link.line(patient) is not line and not line.why
    again.leave()
    until(lambda: host.made[0].closed == 1)


def test_a_command_out_of_time_does_not_wait(host: Host) -> None:
    def late() -> None:
        raise Temporary("no end after 1 s")
    with pytest.raises(Temporary, match="no end"):
        host.link().line(late)


def test_an_ended_link_makes_no_lines(host: Host) -> None:
    link = host.link(always=True)
    link.line(patient).leave()
    link.end()
    until(lambda: host.made[0].closed)
    assert not tended(link)
    with pytest.raises(Temporary):
        link.line(patient)


def test_a_strand_keeps_order_and_costs_no_thread_at_rest() -> None:
    done: list[int] = []
    strand = Strand(lambda error: None)
    for number in range(1, 50):
        strand.put(lambda number=number: done.append(number))
    assert done == []
    strand.start(lambda: done.append(0))
    until(lambda: len(done) == 50)
    assert done == list(range(50))
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "libvirt-news"])
    strand.put(lambda: done.append(50))
    until(lambda: done[-1] == 50)


def test_a_strand_that_fails_drops_the_rest() -> None:
    errors: list[Exception] = []
    done: list[int] = []

    def fail() -> None:
        raise ValueError

    strand = Strand(errors.append)
    strand.put(lambda: done.append(1))
    strand.start(fail)
    until(lambda: errors)
    strand.put(lambda: done.append(2))
    time.sleep(0.05)
    assert done == [] and isinstance(errors[0], ValueError)


@pytest.mark.parametrize(("section", "said"), [
    ({"url": "x"}, "no setting url; it has uri, hypervisor"), ({"hypervisor": "xen"}, "auto, kvm or qemu"),
    ({"uri": 5}, "uri is 5, which is no text"),
])
def test_settings_that_cannot_be_are_refused_by_name(section: dict[str, Any], said: str) -> None:
    with pytest.raises(Permanent, match=said):
        parse({"kvm": section})


def test_settings_have_defaults() -> None:
    assert parse({}) == parse({"kvm": None}) == parse({"kvm": {"uri": "", "hypervisor": "auto"}})


class Context:
    """The part of a context that links use: hosts that are this machine."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}

    def lasting(self, host: dict[str, Any]) -> Any:
        return type("Here", (), {"is_local": True})


def test_many_dead_hosts_are_tried_a_few_at_a_time_and_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made, ctx, stop = links.Links(), Context(), threading.Event()
    trying: list[int] = []
    most = [0]

    def dead(name: str, uri: str, alone: threading.Lock) -> Line:
        if name == "sound":
            return Line(Library(), [])
        trying.append(1)
        most[0] = max(most[0], len(trying))
        stop.wait(60)
        trying.pop()
        raise Silence("deaf")

    monkeypatch.setattr(links, "open_line", dead)
    for number in range(200):
        made.watch(ctx, {"id": number, "name": f"n{number}"}, lambda _: None, lambda _: None)  # type: ignore[arg-type]
    until(lambda: len(trying) == links.AT_ONCE)
    began = time.monotonic()
    made.commands(ctx, {"id": 999, "name": "sound"}).line(patient)  # type: ignore[arg-type]
    assert time.monotonic() - began < 40
    assert most[0] == links.AT_ONCE
    made.close()
    stop.set()


def test_a_watch_moves_with_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    made, ctx, opened = links.Links(), Context(), list[str]()
    monkeypatch.setattr(links, "open_line", lambda name, uri, alone: Line(Library(), []))
    made.watch(ctx, {"id": 1, "name": "n"}, lambda _: opened.append("n"), lambda _: None)  # type: ignore[arg-type]
    until(lambda: opened == ["n"])
    host = {"id": 1, "name": "n", "attrs": {"SSH_PORT": "2222"}}
    made.commands(ctx, host).line(patient)  # type: ignore[arg-type]
    until(lambda: opened == ["n", "n"])
    made.forget(host)
    made.close()
