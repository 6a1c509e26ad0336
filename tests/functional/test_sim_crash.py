"""kill -9 of the core after each commit of a life, commits that fail, and answers that wait until they are durable."""
from __future__ import annotations

from collections.abc import Callable

import pytest
from makers import MakeGround
from sim import Pending, Refused
from sim_ground import Ground, assert_sums
from sim_points import CORE, Crash, Strike

from onecore.kinds.host.record import Host
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.outbox import Outbox

Step = tuple[str, str]
"""(action, the state that it leads to)."""
LIVES: dict[str, list[Step]] = {
    "saved": [("deploy", "RUNNING"), ("suspend", "SUSPENDED"), ("resume", "RUNNING"), ("stop", "STOPPED"),
              ("deploy", "RUNNING"), ("terminate", "DONE")],
    "moved": [("deploy", "RUNNING"), ("undeploy", "UNDEPLOYED"), ("resume", "PENDING"), ("deploy", "RUNNING"),
              ("poweroff-hard", "POWEROFF"), ("resume", "RUNNING"), ("terminate-hard", "DONE")],
    "again": [("deploy", "RUNNING"), ("recover-recreate", "PENDING"), ("deploy", "RUNNING"),
              ("recover-delete", "DONE")],
}


def _drive(ground: Ground, life: list[Step]) -> None:
    """A user who wants a VM to live LIFE, and asks again when the core died before it answered."""
    sim = ground.sim
    vm = _made(ground)
    for action, goal in life:
        start = sim.state(vm)
        _survive(ground, lambda vm=vm, action=action: ground.act(vm, action),  # type: ignore[misc]
                 lambda vm=vm, start=start: sim.state(vm) != start)  # type: ignore[misc]
        _survive(ground, lambda vm=vm, goal=goal: sim.wait(vm, goal))  # type: ignore[misc]


def _made(ground: Ground) -> int:
    _survive(ground, ground.make, lambda: bool(ground.sim.core.store.all(Vm)))
    return next(iter(ground.sim.core.store.all(Vm))).oid


def _survive(ground: Ground, work: Callable[[], object], already: Callable[[], bool] = lambda: False) -> None:
    """Do WORK; after a crash, again on the new core unless ALREADY."""
    try:
        work()
    except Crash:
        ground.sim.reboot()
        ground.sim.ready()
        ground.sim.until(lambda: ground.sim.host_state(ground.host) == "MONITORED")
        if not already():
            work()


@pytest.mark.parametrize("name", LIVES)
def test_a_crash_after_each_commit(make_ground: MakeGround, name: str) -> None:
    """However often SQL got, the VM reaches its goal, and nothing is left."""
    after = 0
    while True:
        after += 1
        ground = make_ground(after)
        ground.script(delay={"default": 0.3})
        ground.sim.strike(Strike("commit.after", after, CORE))
        epoch = ground.sim.core.epoch
        _drive(ground, LIVES[name])
        ground.sim.until(lambda sim=ground.sim: sim.core.store.given == sim.core.store.durable)  # type: ignore[misc]
        if ground.sim.core.epoch == epoch:
            break
        ground.assert_nothing_left()
        ground.sim.close()
    assert after > len(LIVES[name]) * 2, "there was a crash after every commit"


def test_a_crash_in_the_middle_of_every_state_twice(make_ground: MakeGround) -> None:
    """Crash after crash: each new core goes on from what the last one left."""
    ground = make_ground()
    sim = ground.sim
    ground.script(delay={"default": 3.0})
    vm = ground.make()
    ground.act(vm, "deploy")
    for _ in range(6):
        sim.advance(1)
        sim.reboot()
    sim.wait(vm, "RUNNING")
    ground.act(vm, "terminate")
    for _ in range(6):
        sim.advance(1)
        sim.reboot()
    sim.wait(vm, "DONE")
    ground.assert_nothing_left()
    assert sim.path(vm) == ["PENDING", "PROLOG", "BOOT", "RUNNING", "SHUTDOWN", "EPILOG", "DONE"]


# -- acknowledged means durable

def test_no_answer_before_it_is_durable(ground: Ground) -> None:
    """An allocate is answered by its commit; so is who sees the new VM; who does not, is not held up."""
    sim = ground.sim
    sim.writer.holding = True
    made = sim.begin("one.vm.allocate", "CPU=1\nMEMORY=64\n", False)
    sim.advance(5)
    vm = max(v.oid for v in sim.core.store.all(Vm))
    seen, pool = sim.begin("one.vm.info", vm), sim.begin("one.vmpool.info", -2, -1, -1, -1)
    refused = sim.begin("one.vm.info", 9999)
    clean = sim.begin("one.image.info", ground.image)
    sim.advance(5)
    assert clean.answered
    assert [made.answered, seen.answered, pool.answered, refused.answered] == [False] * 4
    sim.writer.let_go()
    sim.advance(1)
    assert made.value() == vm and f"<ID>{vm}</ID>" in seen.value() and f"<ID>{vm}</ID>" in pool.value()
    with pytest.raises(Refused):
        refused.value()


def test_no_command_before_it_is_durable(ground: Ground) -> None:
    """Drivers learn of a decision when SQL has it."""
    sim, vm = ground.sim, ground.make()
    sim.writer.holding = True
    begun = sim.begin("one.vm.deploy", vm, ground.host)
    before = len(sim.transport.sent)
    sim.advance(5)
    assert sim.vm(vm).op and not begun.answered
    assert [c.action for c in sim.transport.sent[before:] if c.object[0] == "vm"] == []
    sim.writer.let_go()
    sim.wait(vm, "RUNNING")


def test_no_event_before_it_is_durable(ground: Ground) -> None:
    """The change log shows durable rows only."""
    sim = ground.sim
    sim.advance(5)
    last = sim.core.changelog.last
    sim.writer.holding = True
    sim.begin("one.vm.allocate", "CPU=1\nMEMORY=64\n", False)
    sim.advance(5)
    assert f'"last":{last},' in sim.call("onecore.events", last, 0) and sim.core.changelog.after(last) == []
    sim.writer.let_go()
    sim.advance(1)
    assert [e.what for e in sim.core.changelog.after(last)] == ["create"]


def test_what_was_not_durable_never_happened(ground: Ground) -> None:
    """A crash with a transaction in memory: no object, no id lost, no lease, no command."""
    sim, known = ground.sim, ground.make()
    sim.writer.holding = True
    sim.begin("one.vm.allocate", f"CPU=1\nMEMORY=64\nNIC=[NETWORK_ID={ground.network}]\n", False)
    sim.begin("one.vm.deploy", known, ground.host)
    sim.advance(3)
    sim.reboot()
    sim.advance(30)
    assert [v.oid for v in sim.core.store.all(Vm)] == [known] and sim.state(known) == "PENDING"
    assert not sim.core.store.all(Outbox)
    assert ground.make() == known + 1
    assert_sums(sim)


# -- a commit fails

def _fails(pending: Pending) -> None:
    with pytest.raises(Refused) as refused:
        pending.value()
    assert refused.value.code == 0x2000


def test_a_failed_commit(ground: Ground) -> None:
    """Those that waited for it are answered INTERNAL; memory is read anew; their commands were never sent."""
    sim, vm = ground.sim, ground.make()
    sim.writer.fail_next = OSError("disk full")
    begun = [sim.begin("one.vm.deploy", vm, ground.host),
             sim.begin("one.vm.allocate", "CPU=1\nMEMORY=64\nNAME=lost\n", False)]
    before = len(sim.transport.sent)
    sim.until(lambda: all(p.answered for p in begun))
    for pending in begun:
        _fails(pending)
    sim.advance(10)
    assert [c.action for c in sim.transport.sent[before:] if c.object[0] == "vm"] == []
    assert [v.oid for v in sim.core.store.all(Vm)] == [vm] and sim.state(vm) == "PENDING"
    assert_sums(sim)
    ground.act(vm, "deploy")
    sim.wait(vm, "RUNNING")
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    ground.assert_nothing_left()


@pytest.mark.parametrize("after", range(1, 9))
def test_a_failed_commit_in_the_middle_of_a_life(ground: Ground, after: int) -> None:
    """Results of drivers whose commit fails are not lost: their command is sent again."""
    sim = ground.sim
    vm = ground.make()
    ground.script(delay={"default": 0.2})
    ground.act(vm, "deploy")
    sim.advance(after * 0.08)
    sim.writer.fail_next = OSError("disk full")
    sim.wait(vm, "RUNNING")
    sim.writer.fail_next = None
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    ground.assert_nothing_left()


def test_samples_and_hosts_survive_a_reload(ground: Ground) -> None:
    """Monitoring goes on after memory was read anew."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    sim.writer.fail_next = OSError("disk full")
    _fails_call = sim.begin("one.host.rename", ground.host, "other")
    sim.until(lambda: _fails_call.answered)
    _fails(_fails_call)
    sim.advance(120)
    assert sim.get(Host, ground.host).name == "node1" and sim.host_state(ground.host) == "MONITORED"
    assert sim.state(vm) == "RUNNING"
