"""`onevm wait`, over a scripted change log and without one."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from cli_fake import NOW

from cli.errors import CliError
from cli.kinds import kind
from cli.session import Session
from cli.vm import wait
from onecore.wire import states
from onecore.wire.client import ClientError

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]


@dataclass
class Log:
    """Answers onecore.events: one batch a call, then nothing but passing time.  Time passes only here and in sleeps."""

    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    time: float = 0.0
    asked: list[tuple[int, int]] = field(default_factory=list)
    resets: set[int] = field(default_factory=set)

    def events(self, since: int, timeout: int) -> str:
        """A batch, or nothing after TIMEOUT."""
        self.asked.append((since, timeout))
        batch: list[dict[str, Any]] = []
        if since >= 0 and self.batches:
            batch = self.batches.pop(0)
        elif since >= 0:
            self.time += timeout
        return json.dumps({"last": len(self.asked) + 100, "reset": len(self.asked) in self.resets, "events": batch})

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.time += seconds


def event(oid: int, new: str, what: str = "state", of: str = "vm") -> dict[str, Any]:
    """A row of the change log."""
    return {"seq": 1, "time": 1, "kind": of, "id": oid, "what": what, "old": "", "new": new}


@pytest.fixture
def log(cloud: Cloud) -> Log:
    """VMs 1 to 3 are pending, and there is a change log."""
    made = Log()
    cloud.answers["onecore.events"] = made.events
    cloud.answers["one.vm.info"] = lambda oid: cloud.vm(oid, f"vm{oid}", 1, 0)
    return made


def run(log: Log, ids: str, wanted: str, timeout: str = "60", verbose: bool = True) -> int:
    """Wait on the log's own clock."""
    return wait.run(Session(verbose=verbose), kind("vm"), ids, wanted, timeout, lambda: log.time, log.sleep)


def test_already_there(log: Log, cloud: Cloud) -> None:
    assert run(log, "1", "pending") == 0
    assert log.asked == [(-1, 0)]


def test_told_by_the_log(log: Log, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    log.batches = [
        [event(1, "PROLOG"), event(9, "RUNNING"), event(1, "RUNNING", of="host")],
        [event(1, "BOOT"), event(2, "RUNNING")],
        [event(1, "RUNNING", "update"), event(1, "RUNNING")],
    ]
    assert run(log, "1,2", "running") == 0
    assert capsys.readouterr().out == "VM 2: RUNNING\nVM 1: RUNNING\n"
    assert [since for since, _ in log.asked] == [-1, 101, 102, 103]
    assert len(cloud.made("one.vm.info")) == 2


def test_a_state_that_passes_quickly_is_seen(log: Log) -> None:
    log.batches = [[event(1, "PROLOG"), event(1, "BOOT"), event(1, "RUNNING")]]
    assert run(log, "1", "boot") == 0


@pytest.mark.parametrize(("end", "told"), [("PROLOG_FAILURE", "PROLOG_FAILURE"), ("DONE", "DONE")])
def test_failures_end_the_wait(log: Log, capsys: pytest.CaptureFixture[str], end: str, told: str) -> None:
    log.batches = [[event(1, end)], [event(2, "RUNNING")]]
    assert run(log, "1,2", "running") == 255
    assert capsys.readouterr().err == f"VM 1: {told}, it will not reach running\n"
    assert log.time == 0


def test_a_failure_may_be_what_is_waited_for(log: Log) -> None:
    log.batches = [[event(1, "BOOT_FAILURE")], [event(2, "DONE")]]
    assert run(log, "1,2", "fail,done") == 0


def test_time_runs_out(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log.batches = [[event(1, "PROLOG")]]
    assert run(log, "1", "running", "1m") == 255
    assert capsys.readouterr().err == "VM 1: not running within 1m, it is PROLOG\n"
    assert log.time == 60
    assert max(timeout for _, timeout in log.asked) <= wait.LONG


def test_a_reset_reads_anew(log: Log, cloud: Cloud) -> None:
    log.resets = {2}
    answers = iter([(1, 0), (3, 3)])
    cloud.answers["one.vm.info"] = lambda oid: cloud.vm(oid, "x", *next(answers))
    assert run(log, "1", "running") == 0


def test_without_a_change_log_it_asks_again(log: Log, cloud: Cloud) -> None:
    del cloud.answers["onecore.events"]
    answers = iter([(1, 0), (3, 1), (3, 3)])
    cloud.answers["one.vm.info"] = lambda oid: cloud.vm(oid, "x", *next(answers))
    assert run(log, "1", "running") == 0
    assert log.time == 2 * wait.POLL


def test_an_unknown_name_of_a_state_is_read_from_the_vm(log: Log, cloud: Cloud) -> None:
    log.batches = [[event(1, "")]]
    answers = iter([(1, 0), (3, 3)])
    cloud.answers["one.vm.info"] = lambda oid: cloud.vm(oid, "x", *next(answers))
    assert run(log, "1", "running") == 0


@pytest.fixture
def past(log: Log, cloud: Cloud) -> Cloud:
    """VM 3 web waits.  Of the VMs db 5 and 6 ended lately, 8 has a longer name, and 4 old ended yesterday."""
    living = f"<VM_POOL>{cloud.vm(3, 'web', 1, 0)}</VM_POOL>"
    ends = {4: ("old", 90_000), 5: ("db", 900), 6: ("db", 60), 8: ("db-2", 30)}
    bodies = (
        cloud.vm(oid, name, 6, 0).replace("<ETIME>0<", f"<ETIME>{NOW - ago:.0f}<") for oid, (name, ago) in ends.items()
    )
    done = f"<VM_POOL>{''.join(bodies)}</VM_POOL>"
    cloud.answers["one.vmpool.info"] = lambda *arguments: done if 6 in arguments else living
    cloud.answers["one.vm.info"] = lambda oid: cloud.vm(oid, "x", *((1, 0) if oid == 3 else (6, 0)))
    cloud.answers["onecore.op.list"] = "[]"
    return cloud


def test_a_vm_that_has_ended_already(log: Log, past: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    time.tzset()
    log.batches = [[event(3, "DONE")]]
    assert run(log, "web,db,5", "done") == 0
    told = capsys.readouterr()
    assert sorted(told.out.splitlines()) == ["VM 3: DONE", "VM 5: DONE", "VM 6: DONE"]
    assert told.err == "no VM is named db now; the last one was VM 6, DONE at 09/21 14:12:20\n"
    assert past.made("one.vmpool.info")[-1] == (-2, -1, -1, 6, "VM.NAME=db")


def test_without_a_state_one_that_has_ended_is_at_rest(log: Log, past: Cloud) -> None:
    assert wait.run(Session(), kind("vm"), "db", None, "60", lambda: log.time, log.sleep) == 0


@pytest.mark.parametrize(("name", "wanted"), [("db", "running"), ("old", "done"), ("never", "done")])
def test_a_name_is_not_kept_for_ever(log: Log, past: Cloud, name: str, wanted: str) -> None:
    with pytest.raises(CliError, match=f"VM named {name} not found"):
        run(log, name, wanted)


def test_a_vm_that_is_not_there(log: Log, cloud: Cloud) -> None:
    cloud.answers["one.vm.info"] = ClientError("[one.vm.info] Error getting virtual machine [1].", 0x400)
    with pytest.raises(CliError, match="Error getting"):
        run(log, "1", "running")


def test_the_command(one: Runner, log: Log, cloud: Cloud) -> None:
    outcome = one("vm", "wait", "1", "--for", "pend,runn", "--timeout", "5m")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    outcome = one("vm", "wait", "1", "--for", "runing")
    assert (outcome.code, outcome.err) == (255, "no VM state runing; did you mean running?\n")
    assert one("vm", "wait", "1", "--for", "running", "--timeout", "soon").code == 255


@pytest.mark.parametrize(
    ("word", "pair"),
    [
        ("running", (3, 3)),
        ("RUNN", (3, 3)),
        ("prolog-failure", (3, 39)),
        ("fail", (3, 36)),
        ("poff", (8, 0)),
        ("active", (3, 1)),
        ("migr", (3, 8)),
        ("done", (6, 0)),
    ],
)
def test_words(word: str, pair: tuple[int, int]) -> None:
    assert wait.matches(pair, wait.words(word))
    assert not wait.matches((1, 0), wait.words(word))


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("5m", 300), ("1.5h", 5400), ("10s", 10), ("2d", 172_800)])
def test_times(text: str, seconds: float) -> None:
    assert wait.seconds(text) == seconds


def test_every_state_can_be_waited_for() -> None:
    for state in states.VmState:
        assert wait.matches((state, 0), wait.words(state.name))
    for lcm in states.Lcm:
        assert wait.matches((3, lcm), wait.words(states.vm_short(3, lcm)))
