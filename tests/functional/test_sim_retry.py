"""Failures that may pass: the dispatcher tries again with growing pauses, as long as the command's deadline leaves."""
from __future__ import annotations

import pytest
from makers import MakeGround
from sim_ground import Ground

from onecore.lifecycle.dispatcher import NEVER_AGAIN, RESENDS
from onecore.lifecycle.outbox import Outbox
from onecore.wire.messages import Progress, Result


def _fails(ground: Ground, action: str, **more: object) -> None:
    ground.script(rules=[{"action": action, "fail": "no route to host", "temporary": True, **more}])


def _attempts(ground: Ground, action: str) -> list[int]:
    return [command.attempt for command in ground.sim.transport.sent if command.action == action]


WAYS = [
    # from       action        fails               ends in
    ("PENDING", "deploy", "tm.prolog", "RUNNING"),
    ("PENDING", "deploy", "vm.deploy", "RUNNING"),
    ("RUNNING", "poweroff-hard", "vm.destroy", "POWEROFF"),
    ("RUNNING", "suspend", "vm.save", "SUSPENDED"),
    ("SUSPENDED", "resume", "vm.restore", "RUNNING"),
    ("SUSPENDED", "stop", "tm.epilog_stop", "STOPPED"),
    ("STOPPED", "deploy", "tm.prolog_resume", "RUNNING"),
    ("POWEROFF", "terminate", "tm.epilog", "DONE"),
    ("RUNNING", "recover-delete", "vm.cleanup", "DONE"),
    ("RUNNING", "recover-delete", "tm.delete", "DONE"),
]


@pytest.mark.parametrize(("state", "action", "fails", "end"), WAYS, ids=[f"{w[1]}-{w[2]}" for w in WAYS])
def test_what_fails_for_a_while_succeeds_by_itself(ground: Ground, state: str, action: str, fails: str,
                                                   end: str) -> None:
    """Three failures are 1 + 2 + 4 seconds; the VM never shows a failure."""
    sim, vm = ground.sim, ground.bring(state)
    _fails(ground, fails, times=3)
    before, path = sim.clock.monotonic(), len(sim.path(vm))
    ground.act(vm, action)
    sim.wait(vm, end)
    assert 7 <= sim.clock.monotonic() - before < 9
    assert not [s for s in sim.path(vm)[path:] if "FAILURE" in s] and not sim.vm(vm).error
    name = fails.split(".")[1]
    tried = _attempts(ground, name)[-4:]
    assert tried == list(range(tried[0], tried[0] + 4)), "each try is an attempt of its own"
    ground.script()
    if end != "DONE":
        ground.act(vm, "recover-delete")
        sim.wait(vm, "DONE")
    ground.assert_nothing_left()


def test_the_deadline_is_the_end(make_ground: MakeGround) -> None:
    """1, 2, 4, 8, 16, 30, 30 … seconds, never past the deadline that began with the first attempt."""
    ground = make_ground(prolog=100)
    sim, vm = ground.sim, ground.make()
    _fails(ground, "tm.prolog")
    before = sim.clock.monotonic()
    ground.act(vm, "deploy")
    sim.wait(vm, "PROLOG_FAILURE")
    assert 90 < sim.clock.monotonic() - before < 100 and "no route to host" in sim.vm(vm).error
    assert _attempts(ground, "prolog") == [1, 2, 3, 4, 5, 6, 7, 8]
    ground.script()
    ground.act(vm, "recover-retry")
    sim.wait(vm, "RUNNING")


def test_it_says_what_it_waits_for(ground: Ground) -> None:
    """In the status, and in the VM's log."""
    sim, vm = ground.sim, ground.make()
    _fails(ground, "vm.deploy")
    ground.act(vm, "deploy")
    sim.advance(20)
    box, progress = sim.core.dispatcher.under_way()[0]
    assert box.attempt > 3 and progress is not None
    assert progress.step == "waiting to try again: no route to host"
    sim.core.log.flush_vms()
    assert "again in 8 s: no route to host" in sim.call("onecore.vm.log", vm, 20)
    ground.script()
    sim.wait(vm, "RUNNING", limit=31)


@pytest.mark.parametrize(("action", "fails"), [("poweroff", "vm.shutdown"), ("reboot", "vm.reboot"),
                                               ("reboot-hard", "vm.reset")])
def test_what_is_never_tried_again(ground: Ground, action: str, fails: str) -> None:
    """A guest that ignores the button, and what would happen to it twice."""
    assert fails in NEVER_AGAIN
    sim, vm = ground.sim, ground.bring("RUNNING")
    _fails(ground, fails, times=1)
    ground.act(vm, action)
    sim.until(lambda: sim.vm(vm).error, limit=2)
    sim.advance(60)
    assert sim.state(vm) == "RUNNING" and len(_attempts(ground, fails.split(".")[1])) == 1


def test_a_lasting_failure_is_one_at_once(ground: Ground) -> None:
    """No pauses for what will not pass."""
    sim, vm = ground.sim, ground.make()
    ground.script(rules=[{"action": "tm.prolog", "fail": "no such image"}])
    ground.act(vm, "deploy")
    sim.wait(vm, "PROLOG_FAILURE", limit=1)


def test_another_action_ends_the_waiting(ground: Ground) -> None:
    """recover --delete while it waits: its timer sends nothing any more."""
    sim, vm = ground.sim, ground.make()
    _fails(ground, "vm.deploy")
    ground.act(vm, "deploy")
    sim.advance(10)
    ground.act(vm, "recover-delete")
    sim.wait(vm, "DONE", limit=2)
    tried = len(_attempts(ground, "deploy"))
    sim.advance(120)
    assert len(_attempts(ground, "deploy")) == tried
    ground.assert_nothing_left()


def test_a_cancel_ends_the_waiting_and_the_step_behind_it_has_its_own_time(make_ground: MakeGround) -> None:
    """What takes an attached disk away again is tried as often as if nothing had been tried before."""
    ground = make_ground(prolog=100, epilog=100)
    sim, vm = ground.sim, ground.bring("POWEROFF")
    _fails(ground, "tm.attach")
    sim.call("one.vm.attach", vm, f"DISK=[IMAGE_ID={ground.image}]")
    sim.advance(80)
    ground.script(rules=[{"action": "tm.detach", "fail": "no route to host", "temporary": True, "times": 4}])
    sim.call("onecore.op.cancel", sim.vm(vm).op)
    sim.wait(vm, "POWEROFF", limit=16)
    assert len(_attempts(ground, "detach")) == 5 and "undoing" not in sim.vm(vm).error
    ground.end(vm)


@pytest.mark.parametrize("family", ["vm", "tm"])
def test_the_driver_dies_while_it_waits(ground: Ground, family: str) -> None:
    """The new process gets it when the pause is over, once."""
    sim, vm = ground.sim, ground.make()
    action = {"vm": "deploy", "tm": "prolog"}[family]
    _fails(ground, f"{family}.{action}", times=4)
    ground.act(vm, "deploy")
    sim.advance(8)
    ground.script()
    sim.transport.kill(family)
    sim.wait(vm, "RUNNING", limit=9)
    tried = _attempts(ground, action)
    assert len(tried) == len(set(tried)) == 5


def test_the_core_dies_while_it_waits(ground: Ground) -> None:
    """The attempt is durable: the next core sends it, and no attempt is used twice."""
    sim, vm = ground.sim, ground.make()
    _fails(ground, "tm.prolog")
    ground.act(vm, "deploy")
    sim.advance(10)
    attempt = next(iter(sim.core.store.all(Outbox))).attempt
    sim.reboot()
    assert next(iter(sim.core.store.all(Outbox))).attempt == attempt > 3
    ground.script()
    sim.wait(vm, "RUNNING", limit=5)
    assert sim.vm(vm).op_attempt > attempt, "the steps after it are later attempts"
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    ground.assert_nothing_left()


def test_a_late_answer_of_an_earlier_attempt_is_dropped(ground: Ground) -> None:
    """Every answer twice, the second late: each attempt is judged by its own."""
    sim, vm = ground.sim, ground.make()
    sim.transport.copies = lambda message: 2 if isinstance(message, Result) and message.op > 0 else 1
    _fails(ground, "tm.prolog", times=3)
    ground.act(vm, "deploy")
    sim.wait(vm, "RUNNING")
    assert _attempts(ground, "prolog") == [1, 2, 3, 4] and _attempts(ground, "deploy") == [5]


def test_images_too(ground: Ground) -> None:
    """A datastore that cannot be reached for a moment makes no image ERROR."""
    _fails(ground, "ds.mkfs", times=2)
    ground.sim.add_image("again")


def test_commands_that_wait_in_a_lane_are_not_blamed(ground: Ground) -> None:
    """Only those that may have been at work when a process ended can be why."""
    sim, busy, waiting = ground.sim, ground.make(), ground.make()
    ground.script(delay={"vm.deploy": 5.0})
    for vm in (busy, waiting):
        ground.act(vm, "deploy")
    sim.wait(waiting, "BOOT")
    for _ in range(RESENDS):
        sim.until(lambda: "vm" in sim.transport.families)
        sim.advance(1)
        box = next(box for box in sim.core.store.all(Outbox) if box.oid == waiting)
        sim.transport.carry(sim.transport.families["vm"], Progress(box.op, box.attempt, "waiting"))
        sim.advance(1)
        sim.transport.kill("vm")
    sim.wait(waiting, "RUNNING")
    assert sim.state(busy) == "BOOT_FAILURE" and f"ended {RESENDS} times" in sim.vm(busy).error
