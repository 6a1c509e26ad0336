"""Changes of running VMs: done, failed at each step, an operator's word in the middle, deadlines, a crash after each
commit.  Whatever happens, the record, the guest, its leases and its capacity agree afterwards."""
from __future__ import annotations

import pytest
from change_ground import CHANGES, Change, assert_agreed, make, recover, result, snapshots
from disk_ground import idle, survive
from makers import MakeGround
from sim import Refused
from sim_ground import Ground
from sim_points import BOTH, CORE, DRIVER, LONG, Strike
from xsd import validate

from onecore.wire.states import RECOVER

NAMES = list(CHANGES)
UNDONE = [name for name, change in CHANGES.items() if change.undo]
KEPT = {"updateconf"}
"""A configuration is for the next start too: it stays when the running guest cannot have it."""


def ready(ground: Ground, name: str) -> tuple[Change, int]:
    """A VM that runs and is ready for a change."""
    change, vm = CHANGES[name], make(ground)
    change.prepare(ground, vm)
    assert_agreed(ground.sim, vm)
    return change, vm


@pytest.mark.parametrize("name", NAMES)
def test_it_is_done(ground: Ground, name: str) -> None:
    """Through its state; TEMPLATE shows it, the guest has it."""
    change, vm = ready(ground, name)
    sim, before = ground.sim, result(ground.sim, vm)
    ground.script(delay={f"vm.{change.action}": 1})
    change.ask(ground, vm)
    for schema, method, *arguments in (("vm", "vm.info", vm), ("vm_pool", "vmpool.info", -2, -1, -1, -1),
                                       ("vm_pool_extended", "vmpool.infoextended", -2, -1, -1, -1)):
        validate(schema, sim.call(f"one.{method}", *arguments))
    assert sim.state(vm) == change.state
    sim.wait(vm, "RUNNING")
    assert_agreed(sim, vm)
    assert sim.vm(vm).error == "" and (result(sim, vm) == before) == (name == "revert")
    assert sim.path(vm)[-2:] == [change.state, "RUNNING"]
    ground.end(vm)


@pytest.mark.parametrize("name", NAMES)
def test_it_fails(ground: Ground, name: str) -> None:
    """The VM is as it was, with an error; the same again works when the fault is mended."""
    change, vm = ready(ground, name)
    sim, before = ground.sim, result(ground.sim, vm)
    ground.script(rules=[{"action": f"vm.{change.action}", "fail": "boom", "times": 1}])
    change.ask(ground, vm)
    sim.until(lambda: "boom" in sim.vm(vm).error)
    sim.wait(vm, "RUNNING")
    if name in KEPT:
        assert result(sim, vm) != before
    else:
        assert_agreed(sim, vm)
        assert result(sim, vm) == before
    ground.script()
    change.ask(ground, vm)
    sim.wait(vm, "RUNNING")
    assert_agreed(sim, vm)
    assert sim.vm(vm).error == ""
    ground.end(vm)


@pytest.mark.parametrize("name", UNDONE)
def test_its_undo_fails_too(ground: Ground, name: str) -> None:
    """What the guest may have stays in the record, and can be taken away again; both errors are told."""
    change, vm = ready(ground, name)
    sim, before = ground.sim, result(ground.sim, vm)
    ground.script(rules=[{"action": f"vm.{action}", "fail": f"no {action}"}
                         for action in {change.action, change.undo}])
    change.ask(ground, vm)
    sim.until(lambda: "undoing it failed too" in sim.vm(vm).error)
    assert f"no {change.action}" in sim.vm(vm).error and f"no {change.undo}" in sim.vm(vm).error
    sim.wait(vm, "RUNNING")
    idle(sim)
    grown = name in ("attach nic", "attach alias", "snapshot", "resize")
    assert (result(sim, vm) != before) == grown
    ground.script()
    ground.end(vm)


def test_a_size_in_doubt_can_be_asked_for_again(ground: Ground) -> None:
    """The record has the larger one, the guest has not: the same once more gives it to the guest."""
    change, vm = ready(ground, "resize")
    ground.script(rules=[{"action": "vm.resize", "fail": "no resize"}])
    change.ask(ground, vm)
    ground.sim.until(lambda: "undoing it failed too" in ground.sim.vm(vm).error)
    ground.script()
    change.ask(ground, vm)
    ground.sim.wait(vm, "RUNNING")
    assert_agreed(ground.sim, vm)
    assert ground.sim.vm(vm).error == ""
    ground.end(vm)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("word", ["success", "failure", "retry", "delete", "recreate", "delete-db"])
def test_an_operators_word_in_the_middle(ground: Ground, name: str, word: str) -> None:
    """While the driver's action hangs: all goes on, and nothing stays marked."""
    change, vm = ready(ground, name)
    sim, before = ground.sim, result(ground.sim, vm)
    ground.script(rules=[{"action": f"vm.{change.action}", "hang": True, "times": 1}])
    change.ask(ground, vm)
    sim.advance(5)
    assert sim.state(vm) == change.state
    recover(ground, vm, word)
    goal = {"delete": "DONE", "delete-db": "DONE", "recreate": "PENDING"}.get(word, "RUNNING")
    sim.wait(vm, goal)
    idle(sim)
    if word == "failure" and name not in KEPT:
        assert result(sim, vm) == before and "recover" in sim.vm(vm).error
    if word in ("failure", "retry") and name not in KEPT:
        assert_agreed(sim, vm)
    if word == "recreate":
        assert_agreed(sim, vm)
        ground.act(vm, "deploy")
        sim.wait(vm, "RUNNING")
        assert_agreed(sim, vm)
    if word not in ("delete", "delete-db"):
        ground.end(vm)
        return
    body = sim.call("one.vm.info", vm)
    validate("vm", body)
    assert not [mark for mark in ("<ATTACH>", "<DETACH>", "<ACTIVE>") if mark in body]
    if word == "delete":
        ground.assert_nothing_left()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_cancelled(ground: Ground, name: str) -> None:
    """By onecore.op.cancel, as a failure; and its undo, should it hang too."""
    change, vm = ready(ground, name)
    sim, before = ground.sim, result(ground.sim, vm)
    ground.script(rules=[{"action": f"vm.{change.action}", "hang": True, "times": 1}])
    change.ask(ground, vm)
    sim.advance(5)
    sim.call("onecore.op.cancel", sim.vm(vm).op)
    sim.wait(vm, "RUNNING")
    assert "cancelled" in sim.vm(vm).error
    if name not in KEPT:
        assert_agreed(sim, vm)
        assert result(sim, vm) == before
    ground.end(vm)


@pytest.mark.parametrize("name", NAMES)
def test_it_hangs(make_ground: MakeGround, name: str) -> None:
    """Its deadline ends it, as a failure; nobody has to do anything."""
    ground = make_ground(hotplug=20, snapshot=20, grace=10)
    change, vm = ready(ground, name)
    sim, before = ground.sim, result(ground.sim, vm)
    ground.script(rules=[{"action": f"vm.{change.action}", "hang": True, "times": 1}])
    change.ask(ground, vm)
    sim.until(lambda: sim.state(vm) == "RUNNING", limit=60)
    assert "deadline" in sim.vm(vm).error
    if name not in KEPT:
        assert_agreed(sim, vm)
        assert result(sim, vm) == before
    ground.end(vm)


@pytest.mark.parametrize(("who", "fails"), [
    pytest.param(who, fails, id=f"{who}-{'fails' if fails else 'works'}")
    for who in (CORE, BOTH) for fails in (False, True) if LONG or fails == (who == BOTH)])
@pytest.mark.parametrize("name", NAMES)
def test_a_crash_after_each_commit(make_ground: MakeGround, name: str, who: str, fails: bool) -> None:
    """Whatever SQL had got, the VM runs in the end, changed or as it was, and all agree."""
    for nth in range(1, 8):
        ground = make_ground(nth)
        change, vm = ready(ground, name)
        sim, before = ground.sim, result(ground.sim, vm)
        ground.script(delay={"default": 0.3}, rules=[
            {"action": f"vm.{change.action}", "fail": "boom", "times": 1}] if fails else [])
        sim.points.arm([Strike("commit.after", nth, who)])
        epoch = sim.core.epoch
        survive(ground, lambda c=change, g=ground, v=vm: c.ask(g, v),  # type: ignore[misc]
                lambda s=sim, v=vm, b=before, e=epoch: s.core.epoch > e and (  # type: ignore[misc]
                    s.state(v) != "RUNNING" or result(s, v) != b))
        sim.points.arm()
        sim.wait(vm, "RUNNING")
        if not (fails and name in KEPT) and "undoing it failed too" not in sim.vm(vm).error:
            assert_agreed(sim, vm)
        crashed = sim.core.epoch > epoch
        ground.end(vm)
        sim.close()
        if not crashed:
            break
    else:
        raise AssertionError("there was a crash after every commit")
    assert nth > 2, "it crashed after the first commits"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("point", ["step.before", "step.middle", "step.after", "result.before"])
def test_the_driver_dies(make_ground: MakeGround, name: str, point: str) -> None:
    """At each point of the step: it is done again by the next one."""
    ground = make_ground()
    change, vm = ready(ground, name)
    sim = ground.sim
    sim.points.arm([Strike(point, 1, DRIVER, f"vm.{change.action}")])
    change.ask(ground, vm)
    sim.wait(vm, "RUNNING")
    assert_agreed(sim, vm)
    assert sim.points.struck and sim.vm(vm).error == ""
    ground.end(vm)


@pytest.mark.parametrize("name", NAMES)
def test_the_guest_ends_meanwhile(ground: Ground, name: str) -> None:
    """It is powered off from within: the change fails, the VM is POWEROFF, the record is whole."""
    change, vm = ready(ground, name)
    sim = ground.sim
    ground.script(delay={f"vm.{change.action}": 5})
    change.ask(ground, vm)
    (sim.home / "dummy" / "node1" / str(vm)).unlink()
    sim.wait(vm, "POWEROFF")
    assert_agreed(sim, vm) if name not in ("snapshot", "delete snapshot") else idle(sim)
    ground.script()
    ground.act(vm, "resume")
    sim.wait(vm, "RUNNING")
    assert_agreed(sim, vm)
    ground.end(vm)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_refused_where_it_is_not_possible(ground: Ground, name: str) -> None:
    """Twice at once, for one: the second says the state; the record is as it was."""
    change, vm = ready(ground, name)
    sim = ground.sim
    ground.script(delay={f"vm.{change.action}": 5})
    change.ask(ground, vm)
    before = sim.vm(vm)
    with pytest.raises(Refused, match=change.state):
        change.ask(ground, vm)
    assert sim.vm(vm) == before
    sim.wait(vm, "RUNNING")
    ground.end(vm)


# -- a system snapshot that is deleted while the VM is off

@pytest.fixture
def off(ground: Ground) -> int:
    """A VM in POWEROFF with a system snapshot."""
    change, vm = ready(ground, "delete snapshot")
    ground.act(vm, "poweroff")
    ground.sim.wait(vm, "POWEROFF")
    return vm


@pytest.mark.parametrize("word", ["", "success", "failure", "retry", "recreate", "delete"])
def test_a_snapshot_is_deleted_of_a_vm_that_is_off(ground: Ground, off: int, word: str) -> None:
    """Done, or decided by an operator, who insists on a success that nobody sees; the VM is off afterwards."""
    sim = ground.sim
    ground.script(rules=[{"action": "vm.snapshot_delete", "hang": True, "times": 1}] if word else [],
                  delay={"vm.snapshot_delete": 1})
    sim.call("one.vm.snapshotdelete", off, 0)
    assert sim.state(off) == "HOTPLUG_SNAPSHOT"
    validate("vm", sim.call("one.vm.info", off))
    if word:
        sim.advance(5)
        sim.call("one.vm.recover", off, RECOVER[word], word == "success")
    sim.wait(off, {"recreate": "PENDING", "delete": "DONE"}.get(word, "POWEROFF"))
    idle(sim)
    if word == "delete":
        ground.assert_nothing_left()
        return
    assert len(snapshots(sim, off)) == (word == "failure")
    if word != "success":
        assert_agreed(sim, off)
    ground.end(off)


def test_it_fails_while_the_vm_is_off(ground: Ground, off: int) -> None:
    """The snapshot stays, with an error; again it works."""
    sim = ground.sim
    ground.script(rules=[{"action": "vm.snapshot_delete", "fail": "boom", "times": 1}])
    sim.call("one.vm.snapshotdelete", off, 0)
    sim.until(lambda: "boom" in sim.vm(off).error)
    assert sim.state(off) == "POWEROFF" and snapshots(sim, off) == ["first"]
    sim.call("one.vm.snapshotdelete", off, 0)
    sim.wait(off, "POWEROFF")
    assert snapshots(sim, off) == [] and sim.vm(off).error == ""
    ground.act(off, "resume")
    sim.wait(off, "RUNNING")
    assert_agreed(sim, off)
    ground.end(off)
