"""When VMs are looked at again, when messages are written, and the settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from scheduler.config import Config, ConfigError, load
from scheduler.messages import Messages
from scheduler.waiting import Queue

SHIPPED = Path(__file__).parents[2] / "etc/sched.conf"


def due(queue: Queue, now: float) -> list[int]:
    """The VMs due now."""
    return [vm for vm, _ in queue.due(now)]


def test_a_refused_vm_rests_twice_as_long_each_time() -> None:
    queue = Queue(0.5, 60)
    queue.changed(1)
    now, pauses = 0.0, []
    for _ in range(10):
        assert due(queue, now) == [1]
        queue.sent(1)
        assert due(queue, now) == [] and queue.next_due() == float("inf")
        queue.refused(1, 5, now)
        pauses.append(queue.next_due() - now)
        assert due(queue, queue.next_due() - 0.01) == []
        now = queue.next_due()
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert queue.due(now) == [(1, frozenset((5,)))]


def test_a_stuck_vm_waits_for_something_to_change() -> None:
    queue = Queue(0.5, 60)
    queue.changed(1)
    queue.changed(2)
    assert due(queue, 1) == [1, 2]
    queue.stuck(1, 1)
    queue.stuck(2, 1)
    assert due(queue, 30) == [] and queue.next_due() == 61
    queue.wake(30, lambda vm: vm == 2)
    assert due(queue, 30) == [2]
    queue.stuck(2, 30)
    assert due(queue, 61) == [1]


def test_a_vm_is_not_woken_by_its_own_refusal_nor_for_ever() -> None:
    queue = Queue(0.5, 60)
    queue.changed(1)
    queue.refused(1, 5, 10)
    queue.wake(10, lambda vm: True)
    assert due(queue, 10) == []
    queue.wake(10.1, lambda vm: True)
    assert due(queue, 10.1) == [1]
    for _ in range(3):
        queue.refused(1, 5, 11)
    queue.wake(11.1, lambda vm: True)
    assert due(queue, 11.1) == []
    queue.changed(1)
    assert queue.due(11.1) == [(1, frozenset())]


def test_a_vm_on_its_way_is_not_woken() -> None:
    queue = Queue(0.5, 60)
    queue.changed(1)
    queue.sent(1)
    queue.wake(5, lambda vm: True)
    assert due(queue, 5) == []
    queue.drop(1)
    assert 1 not in queue and len(queue) == 0


def test_a_message_is_written_once() -> None:
    messages = Messages(10, 300, 50)
    assert messages.want(1, "a", "", 0)
    assert messages.due(0.1) == [(1, "a")]
    assert not messages.want(1, "a", "a", 1)
    assert messages.due(100) == [] and messages.next_due(100) == float("inf")


def test_a_message_that_the_vm_shows_already_is_not_written() -> None:
    messages = Messages(10, 300, 50)
    messages.want(1, "a", "a", 0)
    assert messages.due(1) == []


def test_messages_of_one_vm_come_ever_less_often() -> None:
    messages, at = Messages(10, 300, 50), []
    for second in range(1000):
        messages.want(1, f"text {second}", "", second)
        at += [second] * len(messages.due(second + 0.5))
    assert at == [0, 10, 30, 70, 150, 310, 610, 910]


def test_messages_of_all_vms_are_limited() -> None:
    messages = Messages(10, 300, 50)
    for vm in range(200):
        messages.want(vm, "a", "", 0)
    assert [len(messages.due(now)) for now in (0.0, 0.1, 1.1, 1.1, 2.1, 3.1, 9)] == [50, 5, 50, 0, 50, 45, 0]


def test_a_text_taken_back_is_not_written() -> None:
    messages = Messages(10, 300, 50)
    messages.want(1, "a", "", 0)
    messages.due(0.1)
    messages.want(1, "b", "", 1)
    messages.want(1, "a", "", 2)
    assert messages.due(500) == []
    messages.want(1, "b", "", 501)
    messages.forget(1)
    assert messages.due(502) == []


def test_the_shipped_settings_name_every_key_with_its_default() -> None:
    assert load(SHIPPED) == Config() == load(None)
    text = SHIPPED.read_text()
    for one in fields(Config):
        assert f"\n{one.name} = " in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("polcy = 1", "unknown key 'polcy'"),
        ("policy = 7", "'7' is not a policy: 0 packing"),
        ("policy = 'nice'", "'nice' is not a policy"),
        ("parallel_calls = 0", "parallel_calls is not from 1 to 64"),
        ("parallel_calls = '4'", "parallel_calls is not a whole number"),
        ("parallel_calls = true", "not a whole number"),
        ("retry_seconds = 'x'", "retry_seconds is not a number"),
        ("endpoint = 3", "endpoint is not a text"),
        ("policy = 'custom'\nrank = 'A +'", "unexpected end"),
        ("log_level = 'loud'", "log_level"),
        ("a b", "not TOML"),
        ("[scheduler]\npolicy = 1", "unknown key 'scheduler'"),
        ("read_batch = 99999", "read_batch is not from 1 to 5000"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "sched.conf"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        load(path)


def test_good_settings(tmp_path: Path) -> None:
    path = tmp_path / "sched.conf"
    path.write_text('policy = 0\ndatastore_policy = "custom"\ndatastore_rank = "-ID"\nrefresh_seconds = 5\n')
    config = load(path)
    assert (config.policy, config.refresh_seconds) == ("0", 5.0)
    config.ranks()
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path / "none.conf")
