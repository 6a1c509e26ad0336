"""`onetask`: operations under way, their progress, their end."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.session import Session
from cli.task import commands, follow, ops
from onecore.wire.client import ClientError

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]
GOLDEN = Path(__file__).parents[1] / "golden/cli"
NOW = 1_790_000_000
GB = 1024**3


def operation(**changed: Any) -> dict[str, Any]:
    """A live migration of VM 7, as onecore.op.list tells of it."""
    return {
        "id": 1842, "kind": "vm", "oid": 7, "vm": 7, "name": "web", "what": "live_migrate", "command": "vm.migrate",
        "step": "copying memory", "done": 3 * GB // 2, "total": 3 * GB, "since": NOW - 75, "deadline": 593.4,
        "attempt": 1, "state": "running", "rid": "5f3a", "user": 2,
    } | changed  # fmt: skip


def over(ok: bool, error: str = "", **changed: Any) -> dict[str, Any]:
    """The same when it has ended."""
    known = operation(state="ended", ok=ok, error=error, time=NOW, log=["line 1", "line 2"], **changed)
    return {k: v for k, v in known.items() if k not in ("step", "command", "done", "total", "deadline", "attempt")}


class Server:
    """Operations as a list of what each question in turn is answered."""

    def __init__(self, cloud: Cloud, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        cloud.answers["onecore.op.list"] = json.dumps([answers[0]] if answers else [])
        cloud.answers["onecore.op.info"] = lambda op: json.dumps({"log": ["line 1"]} | self.answers[0])
        cloud.answers["onecore.op.wait"] = lambda op, seconds: json.dumps(self._next())

    def _next(self) -> dict[str, Any]:
        if len(self.answers) > 1:
            self.answers.pop(0)
        return self.answers[0]


@pytest.fixture(autouse=True)
def utc(cloud: Cloud) -> None:
    """Times are told in UTC."""
    time.tzset()


def golden(name: str, told: str) -> None:
    """TOLD is what the golden file NAME holds; REGOLD=1 writes it anew."""
    if os.environ.get("REGOLD"):
        (GOLDEN / name).write_text(told)
    assert told == (GOLDEN / name).read_text()


def test_list(one: Runner, cloud: Cloud) -> None:
    image = operation(id=1843, kind="image", oid=4, vm=-1, name="tiny", what="register", step="", done=0, total=0)
    waiting = operation(id=1844, oid=9, name="db", what="disk_attach", step="waiting", state="waiting", deadline=None)
    cloud.answers["onecore.op.list"] = json.dumps([operation(), image, waiting])
    golden("task-list.txt", one("task", "list").out)
    assert one("task", "list", "m", "-f", "STAT=waiting", "-l", "ID,LEFT", "--csv").out == "ID,LEFT\n1844,-\n"
    assert cloud.made("onecore.op.list") == [(-2,), (-3,)]
    assert json.loads(one("task", "list", "-j").out)["OPERATION_POOL"]["OPERATION"][0]["WHAT"] == "live_migrate"


def test_nothing_under_way(one: Runner, cloud: Cloud) -> None:
    cloud.answers["onecore.op.list"] = "[]"
    outcome = one("task", "list", "--no-header")
    assert (outcome.code, outcome.out) == (0, "")


def test_show(one: Runner, cloud: Cloud) -> None:
    server = Server(cloud, operation())
    golden("task-show.txt", one("task", "show", "web").out)
    server.answers = [over(False, "no room")]
    golden("task-show-ended.txt", one("task", "show", "1842").out)
    assert cloud.made("onecore.op.info") == [(1842,), (1842,)]


def test_cancel_asks_nothing(one: Runner, cloud: Cloud) -> None:
    Server(cloud, operation())
    cloud.answers["onecore.op.cancel"] = 1842
    outcome = one("task", "cancel", "1842")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert one("task", "cancel", "web", "-v").out == "OPERATION 1842: cancelling\n"
    assert cloud.made("onecore.op.cancel") == [(1842,), (1842,)]
    assert one("task", "cancel", "db").err == "nothing is under way for db.\n"


def test_follow_tells_each_step_and_tenth(one: Runner, cloud: Cloud) -> None:
    steps = [operation(done=d * GB, total=3 * GB) for d in (0, 0.1, 1)]
    Server(cloud, operation(step="preparing", done=0, total=0), *steps, operation(step="switching over"), over(True))
    outcome = one("task", "follow", "web", "-v")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "live_migrate of vm 7 web: preparing",
        "live_migrate of vm 7 web: copying memory 0% (0K of 3G)",
        "live_migrate of vm 7 web: copying memory 33% (1G of 3G)",
        "live_migrate of vm 7 web: switching over 50% (1.5G of 3G)",
        "operation 1842, live_migrate of vm 7 web: done",
    ]


def test_follow_ends_with_the_operations_failure(one: Runner, cloud: Cloud) -> None:
    Server(cloud, operation(), over(False, "the guest dirties\nmemory too fast"))
    outcome = one("task", "follow", "1842")
    assert outcome.code == 255
    assert outcome.err == "operation 1842, live_migrate of vm 7 web: the guest dirties memory too fast\n"


def test_follow_what_has_ended(one: Runner, cloud: Cloud) -> None:
    Server(cloud, over(True))
    assert (one("task", "follow", "1842").code, cloud.made("onecore.op.wait")) == (0, [])


def test_interrupted_it_goes_on(one: Runner, cloud: Cloud) -> None:
    Server(cloud, operation())

    def interrupted(op: int, seconds: int) -> str:
        raise KeyboardInterrupt

    cloud.answers["onecore.op.wait"] = interrupted
    outcome = one("task", "follow", "1842")
    assert outcome.code == 130
    assert outcome.err == "operation 1842, live_migrate of vm 7 web, goes on; onetask cancel 1842 ends it\n"
    assert cloud.made("onecore.op.cancel") == []


def test_a_bar_on_a_terminal(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.task.follow.on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    Server(cloud, operation(step="preparing", done=0, total=0), operation(), over(True))
    assert follow.follow(Session(), 1842)["ok"] is True
    with follow.Bar() as bar:
        bar.show(operation())
        (task,) = bar._bar.tasks
        assert (task.description, task.percentage) == ("live_migrate of vm 7 web: copying memory", 50)
        assert task.fields["told"] == "50% (1.5G of 3G) 00h01m15s"
        bar.show(operation(step="", done=5, total=0))
        assert (task.description, task.total) == ("live_migrate of vm 7 web: vm.migrate", None)


def test_wait(one: Runner, cloud: Cloud) -> None:
    Server(cloud, operation(), operation(), over(True))
    assert (one("task", "wait", "1842").code, cloud.made("onecore.op.wait")) == (0, [(1842, 30), (1842, 30)])
    Server(cloud, over(False, "no room"))
    outcome = one("task", "wait", "1842")
    assert (outcome.code, outcome.err) == (255, "operation 1842, live_migrate of vm 7 web: no room\n")
    assert one("task", "wait", "1842", "--timeout", "soon").code == 255


def test_wait_no_longer_than_asked(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    Server(cloud, operation())
    times = iter(range(0, 10_000, 20))
    session = Session()
    from cli.kinds import kind

    assert commands.run_wait(session, kind("task"), "1842", "1m", lambda: float(next(times))) == 255
    assert capsys.readouterr().err == (
        "operation 1842, live_migrate of vm 7 web: not ended within 1m, copying memory 50% (1.5G of 3G)\n"
    )
    assert all(seconds <= 30 for _, seconds in cloud.made("onecore.op.wait"))


def test_an_operation_that_nobody_knows(one: Runner, cloud: Cloud) -> None:
    cloud.answers["onecore.op.info"] = ClientError("there is no operation 5", 0x400)
    for verb in ("show", "follow"):
        outcome = one("task", verb, "5")
        assert (outcome.code, outcome.err) == (255, "there is no operation 5\n")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "copying memory 50% (1.5G of 3G)"),
        ({"total": 0, "done": 2048}, "copying memory 2K"),
        ({"total": 0, "done": 0}, "copying memory"),
        ({"total": 0, "done": 0, "step": ""}, "vm.migrate"),
        ({"done": 4 * GB}, "copying memory 100% (4G of 3G)"),
    ],
)
def test_progress_in_words(changed: dict[str, Any], told: str) -> None:
    assert ops.progress(operation(**changed)) == told


def test_vm_list_shows_tasks(one: Runner, cloud: Cloud) -> None:
    cloud.vms(cloud.vm(7, "web", 3, 4), cloud.vm(8, "db"))
    Server(cloud, operation())
    assert one("vm", "list", "-l", "ID,TASK", "--csv").out == "ID,TASK\n7,live_migrate 50%\n8,-\n"
    assert one("vm", "list", "-f", "TASK~migrate", "-o", "name").out == "web\n"
    cloud.calls.clear()
    assert one("vm", "list").code == 0
    assert cloud.made("onecore.op.list") == []


def test_vm_show_tells_the_operation(one: Runner, cloud: Cloud) -> None:
    Server(cloud, operation())
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", 3, 4)
    line = "UNDER WAY           : live_migrate: copying memory 50% (1.5G of 3G), for 0d 00h01m15s (operation 1842)\n"
    assert line in one("vm", "show", "7").out
    cloud.answers["onecore.op.list"] = ClientError("down", 0)
    assert one("vm", "show", "7").code == 255
    for pair in ((3, 3), (8, 0), (3, 39)):
        cloud.answers["one.vm.info"] = cloud.vm(7, "web", *pair)
        assert "UNDER WAY" not in one("vm", "show", "7").out


def test_vm_wait_tells_of_what_failed_before_it_looked(one: Runner, cloud: Cloud) -> None:
    Server(cloud)
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", user="<ERROR>Thu Nov 26: no room for disk 2</ERROR>")
    outcome = one("vm", "wait", "7")
    assert (outcome.code, outcome.err) == (
        255,
        "VM 7: nothing is under way, and what was last failed: Thu Nov 26: no room for disk 2\n",
    )


def test_vm_wait_for_what_is_under_way(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(8, "db")
    Server(cloud, operation(), over(True))
    assert one("vm", "wait", "7,8", "-v").out == (
        "operation 1842, live_migrate of vm 7 web: done\nVM 8: nothing is under way\n"
    )
    Server(cloud, operation(), over(False, "no room"))
    assert one("vm", "wait", "7").code == 255
    Server(cloud, operation())
    outcome = one("vm", "wait", "7", "--timeout", "0")
    assert (outcome.code, outcome.err) == (
        255,
        "VM 7: live_migrate not ended within 0, copying memory 50% (1.5G of 3G)\n",
    )
