"""The driver process over real pipes: greeting, limits, cancels, and an end that leaves nothing behind."""
from __future__ import annotations

import os
import re
import signal
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drivers_process import Driver
from elsewhere import send_elsewhere
from ssh_ground import ends, soon

from onecore.wire.messages import Hello, Log, News, Progress, Sample

Start = Callable[..., Driver]
Send = Callable[[int, signal.Signals], None]
CHILD = """
    import os, threading, time
    from drivers.fence import fence

    def child(ctx, args):
        ctx.host({}).run(["sh", "-c", f"sleep 300 & echo $! > {args['pid']}; wait"])
        return {}

    def fenced(ctx, args):
        with fence(ctx, ctx.host({}), args["dir"], 1, 1, args["_"]["op"]):
            return child(ctx, args) if args["pid"] else {}

    def stamp(ctx, args):
        return args["_"]

    def bug(ctx, args):
        return {}["nothing"]

    def steps(ctx, args):
        for step in range(4):
            before = ctx.deadline
            ctx.sleep(0.2)
            ctx.progress(f"step {step}")
            assert ctx.deadline >= before + 0.19
        ctx.log("info", "done")
        return {}

    def deaf(ctx, args):
        while not os.path.exists(args["until"]):
            time.sleep(0.01)
        return {}

    ACTIONS = {each.__name__: each for each in (child, fenced, stamp, bug, steps, deaf)}
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts driver processes; whatever is left of them is ended."""
    package = tmp_path / "extra"
    (package / "trial.dist-info").mkdir(parents=True)
    (package / "trial.py").write_text(textwrap.dedent(CHILD))
    (package / "trial.dist-info" / "METADATA").write_text("Name: trial\nVersion: 1\n")
    (package / "trial.dist-info" / "entry_points.txt").write_text("[onecore.drivers]\nvm/trial = trial\n")
    made: list[Driver] = []

    def started(family: str = "vm", **settings: object) -> Driver:
        hello = settings.pop("hello", None)
        assert hello is None or isinstance(hello, Hello)
        made.append(Driver(family, tmp_path, settings, hello=hello, path=package))
        return made[-1]

    yield started
    for driver in made:
        driver.close()


def number_in(path: Path) -> int:
    """The number that a child writes, waited for."""
    end = time.monotonic() + 40
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return int(path.read_text())


def test_it_greets_and_answers(start: Start) -> None:
    driver = start()
    driver.do("deploy")
    assert driver.result(1).data == {"deploy_id": "one-1"}
    assert driver.messages[0] == Hello(family="vm", pid=driver.process.pid)


def test_another_protocol_is_refused(start: Start) -> None:
    driver = start(hello=Hello(protocol=99))
    assert driver.process.wait(40) == 2
    assert "does not speak protocol" in driver.log.read_text()


def test_garbage_ends_it(start: Start) -> None:
    driver = start()
    os.write(driver._out, b"\0\0\0\2hi")
    assert driver.process.wait(40) == 2


def test_every_action_gets_what_fences_it(start: Start) -> None:
    driver = start()
    driver.do("stamp", 7, attempt=3, driver="trial")
    assert driver.result(7, 3).data == {"op": 7, "attempt": 3, "epoch": 1, "generation": 1, "timeout": 20}


def test_a_bug_in_a_driver_is_an_error_with_a_traceback_in_the_log(start: Start) -> None:
    driver = start()
    driver.do("bug", driver="trial")
    assert driver.result(1).error == "internal error in trial.bug: KeyError: 'nothing'"
    assert not driver.result(1).temporary
    log = driver.log.read_text()
    assert re.search(r" r1 .*\n? *Traceback", log) and "in bug" in log and "vm/trial.bug vm 1" in log


def test_an_unknown_driver_is_an_error_of_the_command_alone(start: Start) -> None:
    driver = start()
    driver.do("deploy", 1, driver="xen")
    driver.do("deploy", 2)
    assert "no vm driver 'xen'" in driver.result(1).error
    assert driver.result(2).ok


def test_a_hang_ends_at_its_timeout(start: Start) -> None:
    driver = start(dummy={"rules": [{"action": "vm.deploy", "hang": True}]})
    driver.do("deploy", timeout=0.3)
    result = driver.result(1)
    assert (result.ok, result.temporary, result.cancelled) == (False, True, False) and "0.3 s" in result.error


def test_a_cancel_ends_a_hang_and_a_child(start: Start, tmp_path: Path) -> None:
    driver = start(dummy={"rules": [{"action": "vm.deploy", "hang": True}]})
    driver.do("deploy", 1)
    driver.do("child", 2, driver="trial", pid=str(tmp_path / "pid"))
    child = number_in(tmp_path / "pid")
    for op in (1, 2):
        driver.cancel(op)
        assert driver.result(op).cancelled
    soon(lambda: ends(child))


def test_a_cancel_of_a_waiting_command_does_not_wait(start: Start) -> None:
    driver = start(lane_width=1, dummy={"rules": [{"vm": 1, "hang": True}]})
    driver.do("deploy", 1)
    driver.do("deploy", 2)
    driver.cancel(2)
    assert driver.result(2).cancelled and (1, 1) not in driver.results()
    driver.cancel(1)
    driver.result(1)


def test_a_cancel_of_what_is_not_here_is_answered(start: Start) -> None:
    driver = start()
    driver.cancel(99)
    assert driver.result(99).cancelled


def test_progress_renews_the_deadline(start: Start) -> None:
    driver = start()
    driver.do("steps", driver="trial")
    assert driver.result(1).ok, driver.result(1).error
    assert [each.step for each in driver.messages if isinstance(each, Progress)] == [f"step {n}" for n in range(4)]
    assert Log("info", "done", 1, "r1") in driver.messages


def test_the_same_command_twice_runs_once(start: Start) -> None:
    driver = start(dummy={"delay": {"default": 0.3}})
    driver.do("deploy", 1)
    driver.do("deploy", 1)
    driver.result(1)
    driver.do("state", 2)
    driver.result(2)
    assert len([each for each in driver.messages if getattr(each, "op", 0) == 1]) == 1


def test_a_newer_attempt_ends_the_older_first(start: Start, tmp_path: Path) -> None:
    driver = start()
    driver.do("child", 1, attempt=1, driver="trial", pid=str(tmp_path / "pid"))
    child = number_in(tmp_path / "pid")
    driver.do("deploy", 1, attempt=2)
    assert driver.result(1, 2).ok and driver.result(1, 1).cancelled
    soon(lambda: ends(child))
    assert [each.attempt for each in driver.results().values()] == [1, 2]


def test_a_lane_is_bounded_and_others_go_on(start: Start) -> None:
    driver = start(lane_width=1, lane_queue=2, dummy={"rules": [{"host": "sick", "hang": True}]})
    for op in range(1, 6):
        driver.do("deploy", op, lane="sick")
    driver.do("deploy", 9, lane="well")
    assert driver.result(9).ok
    refused = [driver.result(op) for op in (4, 5)]
    assert all(each.temporary and "wait already" in each.error for each in refused)
    assert set(driver.results()) == {(4, 1), (5, 1), (9, 1)}


def test_a_command_that_does_not_end_loses_its_place(start: Start, tmp_path: Path) -> None:
    driver = start(lane_width=1, threads=1, stuck_after=0.2)
    driver.do("deaf", 1, driver="trial", timeout=0.2, until=str(tmp_path / "go"))
    driver.do("deploy", 2)
    assert driver.result(2).ok and (1, 1) not in driver.results()
    driver.until(lambda: any(isinstance(each, Log) and "does not end" in each.text for each in driver.messages))
    (tmp_path / "go").touch()
    assert driver.result(1).ok


def test_many_commands_over_many_lanes_with_few_threads(start: Start) -> None:
    driver = start(threads=16, dummy={"delay": {"default": 0.002}})
    for op in range(2000):
        driver.do("deploy", op, lane=f"node{op % 200}", timeout=60)
    driver.until(lambda: len(driver.results()) == 2000, 40)
    assert all(each.ok for each in driver.results().values())
    assert len(os.listdir(f"/proc/{driver.process.pid}/task")) <= 16 + 3


def test_slow_commands_of_many_lanes_run_side_by_side(start: Start) -> None:
    driver = start(dummy={"delay": {"default": 0.5}})
    driver.do("state", 999)
    driver.result(999)
    began = time.monotonic()
    for op in range(40):
        driver.do("deploy", op, lane=f"node{op}")
    driver.until(lambda: len(driver.results()) == 41)
    assert time.monotonic() - began < 15


def test_a_closed_pipe_ends_it_with_its_children(start: Start, tmp_path: Path) -> None:
    driver = start(dummy={"rules": [{"action": "vm.deploy", "hang": True}]})
    for op in range(1, 20):
        driver.do("deploy", op, lane=f"node{op}")
    driver.do("child", 99, driver="trial", pid=str(tmp_path / "pid"))
    child = number_in(tmp_path / "pid")
    assert driver.close() < 40 and driver.process.returncode == 0
    soon(lambda: ends(child))


def test_it_ends_in_time_with_a_command_that_hears_nothing(start: Start) -> None:
    driver = start()
    driver.do("deaf", 1, driver="trial", timeout=100, until="/no")
    driver.do("state", 2)
    driver.result(2)
    assert driver.close() < 40


def test_sigterm_ends_it_with_its_children(start: Start, tmp_path: Path) -> None:
    driver = start()
    driver.do("child", 1, driver="trial", pid=str(tmp_path / "pid"))
    child = number_in(tmp_path / "pid")
    driver.process.send_signal(signal.SIGTERM)
    assert driver.process.wait(40) == 0
    soon(lambda: ends(child))


@pytest.mark.parametrize("send", [os.kill, send_elsewhere])
def test_an_idle_one_hears_signals_whichever_thread_they_come_to(start: Start, tmp_path: Path, send: Send) -> None:
    driver = start()
    driver.do("state", 1)
    driver.result(1)
    log = tmp_path / "log" / "driver-vm.log"
    log.parent.mkdir()
    send(driver.process.pid, signal.SIGHUP)
    soon(log.exists)
    send(driver.process.pid, signal.SIGTERM)
    assert driver.process.wait(20) == 0 and "told to end" in log.read_text()


def test_after_kill_9_the_next_process_ends_the_orphans(start: Start, tmp_path: Path) -> None:
    directory = str(tmp_path / "datastores" / "0" / "1")
    first = start()
    first.do("fenced", 1, driver="trial", dir=directory, pid=str(tmp_path / "pid"))
    orphan = number_in(tmp_path / "pid")
    first.process.kill()
    first.process.wait()
    assert not ends(orphan)
    second = start()
    second.do("fenced", 2, driver="trial", dir=directory, pid="")
    assert second.result(2).ok and ends(orphan)


def test_guests_outlive_a_killed_driver_and_are_news_again(start: Start, tmp_path: Path) -> None:
    first = start()
    first.do("deploy", 5)
    first.result(5)
    first.process.kill()
    first.process.wait()
    second = start()
    second.do("watch", 1)
    second.until(lambda: News(0, 5, 1, "running") in second.messages)
    (tmp_path / "dummy" / "node1" / "5").unlink()
    second.until(lambda: News(0, 5, 1, "gone") in second.messages)


def test_hundreds_of_watched_hosts_need_one_thread(start: Start) -> None:
    driver = start("im")
    for op in range(500):
        driver.do("watch", op, lane=f"node{op}", period=600, datastores=[])
    driver.until(lambda: len(driver.results()) == 500)
    assert len(os.listdir(f"/proc/{driver.process.pid}/task")) < 30
    assert sum(isinstance(each, Sample) for each in driver.messages) == 500
