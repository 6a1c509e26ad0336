"""What lifecycle events of domains become: News with the generation of the run that they are about."""
from __future__ import annotations

import pytest

libvirt = pytest.importorskip("libvirt")

from drivers.vm.roster import Roster, meaning  # noqa: E402
from onecore.wire.messages import News  # noqa: E402


class Told:
    """A roster with what it told."""

    def __init__(self) -> None:
        self.news: list[News] = []
        self.roster = Roster(5, self.news.append)

    def words(self) -> list[tuple[int, int, str]]:
        return [(news.vm, news.generation, news.state) for news in self.news]


@pytest.mark.parametrize(("event", "detail", "state"), [
    ("STOPPED", "STOPPED_SHUTDOWN", "poweroff"), ("STOPPED", "STOPPED_DESTROYED", "poweroff"),
    ("STOPPED", "STOPPED_CRASHED", "crashed"), ("STOPPED", "STOPPED_FAILED", "crashed"),
    ("STOPPED", "STOPPED_SAVED", "gone"), ("STOPPED", "STOPPED_MIGRATED", "moved"),
    ("SUSPENDED", "SUSPENDED_PAUSED", "suspended"), ("SUSPENDED", "SUSPENDED_IOERROR", "suspended"),
    ("RESUMED", "RESUMED_UNPAUSED", "running"), ("CRASHED", "CRASHED_PANICKED", "crashed"),
])
def test_events_have_a_state(event: str, detail: str, state: str) -> None:
    found = meaning(getattr(libvirt, f"VIR_DOMAIN_EVENT_{event}"), getattr(libvirt, f"VIR_DOMAIN_EVENT_{detail}"))
    assert found is not None and found[0] == state


def test_definitions_are_no_news() -> None:
    assert meaning(libvirt.VIR_DOMAIN_EVENT_DEFINED, 0) is None
    assert meaning(libvirt.VIR_DOMAIN_EVENT_SHUTDOWN, 0) is None


def test_a_run_that_ends_is_told_with_its_own_generation() -> None:
    told = Told()
    told.roster.started("one-1", (1, 3))
    told.roster.changed("one-1", "poweroff", "")
    told.roster.started("one-1", (1, 4))
    assert told.words() == [(1, 3, "running"), (1, 3, "poweroff"), (1, 4, "running")]


def test_of_a_run_that_nobody_knows_nothing_is_told() -> None:
    told = Told()
    told.roster.started("one-1", (1, 3))
    told.roster.started("one-1", None)
    told.roster.changed("one-1", "poweroff", "")
    told.roster.changed("somebody-elses", "poweroff", "")
    assert told.words() == [(1, 3, "running")]


def test_what_vanished_while_nobody_looked_is_gone() -> None:
    told = Told()
    told.roster.stock([("one-1", 1, 1, "running"), ("one-2", 2, 7, "suspended")])
    told.roster.stock([("one-2", 2, 8, "running")])
    assert told.words() == [(1, 1, "running"), (2, 7, "suspended"), (1, 1, "gone"), (2, 8, "running")]


def test_a_guest_that_ended_is_not_gone_a_second_time() -> None:
    told = Told()
    told.roster.stock([("one-1", 1, 1, "running")])
    told.roster.changed("one-1", "crashed", "")
    told.roster.stock([])
    assert told.words() == [(1, 1, "running"), (1, 1, "crashed")]


def test_a_guest_that_arrives_is_told_of_when_it_runs() -> None:
    told = Told()
    told.roster.arrives("one-1", (1, 3))
    told.roster.changed("one-1", "suspended", "")
    assert told.words() == []
    told.roster.changed("one-1", "running", "")
    told.roster.changed("one-1", "suspended", "")
    assert told.words() == [(1, 3, "running"), (1, 3, "suspended")]


def test_a_guest_that_did_not_arrive_never_was_there() -> None:
    told = Told()
    told.roster.arrives("one-1", (1, 3))
    told.roster.changed("one-1", "crashed", "QEMU ended")
    told.roster.stock([])
    assert told.words() == []


def test_a_guest_that_moved_away_is_told_of_by_its_new_host() -> None:
    told = Told()
    told.roster.started("one-1", (1, 3))
    told.roster.changed("one-1", *meaning(libvirt.VIR_DOMAIN_EVENT_STOPPED,
                                          libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED))
    told.roster.stock([])
    assert told.words() == [(1, 3, "running")]
    assert meaning(libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED) is None


def test_a_guest_on_its_way_when_the_watch_begins() -> None:
    told = Told()
    told.roster.stock([("one-1", 1, 3, "arriving")])
    assert told.words() == []
    told.roster.changed("one-1", "running", "")
    assert told.words() == [(1, 3, "running")]
