"""What goes wrong with drivers and hosts: hangs, deadlines, silent hosts, results that come twice or too late."""
from __future__ import annotations

import pytest
from makers import MakeGround
from sim_ground import ENDS, Ground, assert_sums

from onecore.lifecycle.outbox import Outbox, Owed
from onecore.wire.messages import Command, Message, Progress, Result

DEADLINES = {"prolog": 300, "deploy": 100, "shutdown": 110, "destroy": 60, "save": 210, "restore": 220, "epilog": 310,
             "reboot": 50, "cleanup": 70, "grace": 30}

HANGS = [
    # from        action              hangs               passes           ends in                     recover
    ("PENDING", "deploy", "tm.prolog", "prolog", "PROLOG_FAILURE", "RUNNING"),
    ("PENDING", "deploy", "vm.deploy", "deploy", "BOOT_FAILURE", "RUNNING"),
    ("RUNNING", "poweroff", "vm.shutdown", "shutdown", "RUNNING", ""),
    ("RUNNING", "poweroff-hard", "vm.destroy", "destroy", "RUNNING", ""),
    ("POWEROFF", "resume", "vm.deploy", "deploy", "POWEROFF", ""),
    ("RUNNING", "suspend", "vm.save", "save", "RUNNING", ""),
    ("SUSPENDED", "resume", "vm.restore", "restore", "SUSPENDED", ""),
    ("RUNNING", "stop", "vm.save", "save", "RUNNING", ""),
    ("SUSPENDED", "stop", "tm.epilog_stop", "epilog", "EPILOG_STOP_FAILURE", "STOPPED"),
    ("STOPPED", "deploy", "tm.prolog_resume", "prolog", "PROLOG_RESUME_FAILURE", "RUNNING"),
    ("STOPPED", "deploy", "vm.restore", "restore", "BOOT_STOPPED_FAILURE", "RUNNING"),
    ("RUNNING", "undeploy", "vm.shutdown", "shutdown", "RUNNING", ""),
    ("POWEROFF", "undeploy", "tm.epilog_stop", "epilog", "EPILOG_UNDEPLOY_FAILURE", "UNDEPLOYED"),
    ("UNDEPLOYED", "deploy", "tm.prolog_resume", "prolog", "PROLOG_UNDEPLOY_FAILURE", "RUNNING"),
    ("UNDEPLOYED", "deploy", "vm.deploy", "deploy", "BOOT_UNDEPLOY_FAILURE", "RUNNING"),
    ("RUNNING", "terminate", "vm.shutdown", "shutdown", "RUNNING", ""),
    ("POWEROFF", "terminate", "tm.epilog", "epilog", "EPILOG_FAILURE", "DONE"),
    ("RUNNING", "reboot", "vm.reboot", "reboot", "RUNNING", ""),
]


def _clean_up(ground: Ground, vm: int) -> None:
    """Terminate what is left, from whatever state."""
    ground.script()
    if ground.sim.state(vm) != "DONE":
        ground.act(vm, "recover-delete")
        ground.sim.wait(vm, "DONE")
    ground.sim.until(lambda: not ground.sim.core.store.all(Owed), limit=60, what="debts to be paid")
    ground.assert_nothing_left()


@pytest.mark.parametrize("deaf", [False, True], ids=["cancelled", "abandoned"])
@pytest.mark.parametrize(("state", "action", "hangs", "passes", "end", "goal"), HANGS,
                         ids=[f"{row[0]}-{row[1]}-{row[2]}" for row in HANGS])
def test_a_deadline_fires(make_ground: MakeGround, state: str, action: str, hangs: str, passes: str, end: str,
                          goal: str, deaf: bool) -> None:
    """The command is cancelled; if nothing confirms that, it is abandoned and the host owes the clean-up."""
    ground = make_ground(**DEADLINES)
    sim, vm = ground.sim, ground.bring(state)
    if deaf:
        family, name = hangs.split(".")
        sim.transport.deaf = lambda command: command.action == name
    ground.hang(hangs)
    ground.act(vm, action)
    sim.advance(2)
    stuck, begun = sim.state(vm), sim.clock.monotonic()
    assert sim.core.store.all(Outbox), "the command is under way"
    sim.until(lambda: not sim.core.store.all(Outbox) and sim.vm(vm).error, what=lambda: f"an end of {stuck}")
    assert sim.state(vm) == end
    took = sim.clock.monotonic() - begun + 2
    wanted = DEADLINES[passes] + (DEADLINES["grace"] if deaf else 0)
    assert wanted - 2 < took < wanted + 2 and "deadline" in sim.vm(vm).error
    owed = [o.vid for o in sim.core.store.all(Owed)]
    assert owed == ([vm] if deaf and end != "RUNNING" else []), "what should run is no debt"
    sim.transport.deaf = lambda command: False
    ground.script()
    if end == "RUNNING":
        sim.advance(60)
        assert sim.state(vm) == "RUNNING" and sim.guests("node1") == [vm]
    if goal:
        sim.until(lambda: not sim.core.store.all(Owed), what="the debt to be paid")
        ground.act(vm, "recover-retry")
        sim.wait(vm, goal)
    _clean_up(ground, vm)


def test_progress_renews_the_deadline(make_ground: MakeGround) -> None:
    """A driver that tells how it goes has its deadline again from then on."""
    ground = make_ground(**DEADLINES)
    sim, vm = ground.sim, ground.bring("PENDING")
    ground.hang("tm.prolog")
    ground.act(vm, "deploy")
    sim.advance(250)
    box = next(iter(sim.core.store.all(Outbox)))
    sim.transport.carry(sim.transport.families["tm"], Progress(box.op, box.attempt, "copying", 1, 2))
    sim.advance(45)
    assert sim.state(vm) == "PROLOG" and sim.core.dispatcher.under_way()[0][1] is not None
    _clean_up(ground, vm)


def test_a_debt_is_paid_when_the_host_comes_back(make_ground: MakeGround) -> None:
    """recover --delete on a host that does not answer: DONE after the deadlines; its guest goes when it is back."""
    ground = make_ground(**DEADLINES)
    sim, vm = ground.sim, ground.bring("RUNNING")
    ground.script(rules=[{"action": "vm.cleanup", "hang": True}, {"action": "tm.delete", "hang": True},
                         {"action": "im.sample", "hang": True}])
    ground.act(vm, "recover-delete")
    sim.wait(vm, "DONE")
    assert [(o.vid, o.files) for o in sim.core.store.all(Owed)] == [(vm, 1)] and sim.guests("node1") == [vm]
    sim.until(lambda: sim.host_state(ground.host) == "ERROR")
    sim.reboot()
    assert [o.vid for o in sim.core.store.all(Owed)] == [vm], "a debt outlives a crash"
    ground.script()
    sim.until(lambda: sim.host_state(ground.host) == "MONITORED")
    assert not sim.core.store.all(Owed), "it pays before it is on"
    ground.assert_nothing_left()


def test_a_silent_host(ground: Ground) -> None:
    """ERROR after the silence, its VMs UNKNOWN; back with the first sample."""
    sim, vm, off = ground.sim, ground.bring("RUNNING"), ground.bring("POWEROFF")
    ground.script(rules=[{"action": "im.sample", "hang": True}])
    begun = sim.clock.monotonic()
    sim.wait(vm, "UNKNOWN")
    assert 20 <= sim.clock.monotonic() - begun <= 45
    assert sim.host_state(ground.host) == "ERROR" and sim.state(off) == "POWEROFF"
    ground.script()
    sim.wait(vm, "RUNNING")
    assert sim.host_state(ground.host) == "MONITORED" and sim.path(vm)[-2:] == ["UNKNOWN", "RUNNING"]
    for one in (vm, off):
        ground.act(one, "terminate")
        sim.wait(one, "DONE")
    ground.assert_nothing_left()


def test_a_host_that_says_it_is_broken(ground: Ground) -> None:
    """A sample with an error is enough."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    ground.script(rules=[{"action": "im.sample", "fail": "no route to host"}])
    sim.wait(vm, "UNKNOWN", limit=30)
    assert "no route" in sim.call("one.host.info", ground.host)


@pytest.mark.parametrize(("said", "state"), [
    ("poweroff", "POWEROFF"), ("crashed", "POWEROFF"), ("suspended", "SUSPENDED")])
def test_a_guest_that_changes_by_itself(ground: Ground, said: str, state: str) -> None:
    """The core hears of it within two seconds."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    sim.advance(30)
    (sim.home / "dummy" / "node1" / str(vm)).write_text(f"{sim.vm(vm).generation} {said}\n")
    sim.wait(vm, state, limit=2)
    if state == "SUSPENDED":
        (sim.home / "dummy" / "node1" / str(vm)).write_text(f"{sim.vm(vm).generation} running\n")
        sim.wait(vm, "RUNNING", limit=2)


def test_news_of_another_generation_change_nothing(ground: Ground) -> None:
    """A guest of an older start is a finding, not a transition."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    sim.advance(30)
    (sim.home / "dummy" / "node1" / str(vm)).write_text("99 poweroff\n")
    sim.advance(40)
    assert sim.state(vm) == "RUNNING"


@pytest.mark.parametrize("times", [2, 3])
def test_results_that_come_several_times(ground: Ground, times: int) -> None:
    """Only the first counts."""
    ground.sim.transport.copies = lambda message: times
    for state in ("POWEROFF", "SUSPENDED", "STOPPED", "UNDEPLOYED"):
        vm = ground.bring(state)
        ground.act(vm, "terminate")
        ground.sim.wait(vm, "DONE")
    ground.assert_nothing_left()


def test_a_result_that_comes_too_late(ground: Ground) -> None:
    """The operation was replaced meanwhile: its result is dropped, whatever it says."""
    sim, vm = ground.sim, ground.bring("PENDING")
    sim.transport.late = lambda message: 50.0 if isinstance(message, Result) and message.op > 0 else 0.0
    ground.act(vm, "deploy")
    sim.advance(1)
    sim.transport.late = lambda message: 0.0
    ground.act(vm, "recover-recreate")
    sim.wait(vm, "PENDING")
    path = sim.path(vm)
    sim.advance(60)
    assert sim.path(vm) == path
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    ground.assert_nothing_left()


def test_a_result_that_is_lost(make_ground: MakeGround) -> None:
    """The deadline ends the operation; another try finds what is done already."""
    ground = make_ground(**DEADLINES)
    sim, vm = ground.sim, ground.bring("PENDING")

    def copies(message: Message) -> int:
        lost = isinstance(message, Result) and message.ok and message.op > 0
        return 0 if lost else 1
    sim.transport.copies = copies
    ground.act(vm, "deploy")
    sim.wait(vm, "PROLOG_FAILURE")
    sim.transport.copies = lambda message: 1
    ground.act(vm, "recover-retry")
    sim.wait(vm, "RUNNING")
    _clean_up(ground, vm)


@pytest.mark.parametrize("family", ["vm", "tm"])
@pytest.mark.parametrize("state", ["POWEROFF", "SUSPENDED", "STOPPED", "UNDEPLOYED"])
def test_driver_processes_die_all_the_time(ground: Ground, family: str, state: str) -> None:
    """Their commands are sent again to the next one; the VM comes to where it was going."""
    sim = ground.sim
    ground.script(delay={"default": 0.7})
    sim.clock.every(1.9, lambda: sim.transport.kill(family))
    vm = ground.bring(state)
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    ground.assert_nothing_left()


def test_a_driver_that_dies_of_a_command_is_not_fed_with_it_for_ever(ground: Ground) -> None:
    """After a few processes the command has failed."""
    sim, vm = ground.sim, ground.bring("PENDING")

    def deadly(command: Command) -> bool:
        if command.action == "prolog":
            sim.clock.call_later(0.05, lambda: sim.transport.kill("tm"))
        return False
    sim.transport.deaf = deadly
    ground.script(delay={"tm.prolog": 5.0})
    ground.act(vm, "deploy")
    sim.wait(vm, "PROLOG_FAILURE", limit=60)
    assert "ended 10 times" in sim.vm(vm).error
    sim.transport.deaf = lambda command: False
    _clean_up(ground, vm)


@pytest.mark.parametrize("action", ["terminate-hard", "poweroff-hard", "undeploy-hard"])
def test_hard_while_the_soft_one_waits(make_ground: MakeGround, action: str) -> None:
    """A guest that ignores ACPI is ended at once, not after the deadline."""
    ground = make_ground(**DEADLINES)
    sim, vm = ground.sim, ground.bring("RUNNING")
    ground.hang("vm.shutdown")
    ground.act(vm, action.removesuffix("-hard"))
    sim.advance(5)
    ground.act(vm, action)
    ends = {"terminate-hard": "DONE", "poweroff-hard": "POWEROFF", "undeploy-hard": "UNDEPLOYED"}
    sim.wait(vm, ends[action], limit=5)
    sim.advance(200)
    assert sim.path(vm).count("RUNNING") == 1
    _clean_up(ground, vm)


@pytest.mark.parametrize("moment", range(12))
def test_recover_at_any_moment(ground: Ground, moment: int) -> None:
    """recover --delete and --recreate interrupt whatever is under way; nothing is left, nothing runs twice."""
    sim = ground.sim
    ground.script(delay={"default": 1.0})
    for operation, end in (("recover-recreate", "PENDING"), ("recover-delete", "DONE")):
        vm = ground.make()
        for action in ("deploy", "suspend"):
            if action == "suspend":
                sim.advance(moment * 0.3)
                if sim.state(vm) != "RUNNING":
                    break
            ground.act(vm, action)
        ground.act(vm, operation)
        sim.wait(vm, end)
        if end == "PENDING":
            ground.act(vm, "deploy")
            sim.wait(vm, ENDS["deploy"])
            ground.act(vm, "terminate")
            sim.wait(vm, "DONE")
    assert_sums(sim)
    ground.assert_nothing_left()


@pytest.mark.parametrize("family", ["im", "vm"])
def test_a_watch_that_fails_is_tried_again(ground: Ground, family: str) -> None:
    """A host whose watch failed once is heard of later, by samples and by news."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    ground.script(rules=[{"action": f"{family}.watch", "fail": "chance", "times": 2}])
    sim.transport.kill(family)
    sim.advance(100)
    assert sim.host_state(ground.host) == "MONITORED" and sim.state(vm) == "RUNNING"
    (sim.home / "dummy" / "node1" / str(vm)).unlink()
    sim.wait(vm, "POWEROFF", limit=2 if family == "vm" else 30)
