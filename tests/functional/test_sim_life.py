"""A VM's whole life in one thread on a simulated clock: every action of the API, by the states it goes through."""
from __future__ import annotations

import pytest
from makers import MakeGround
from sim import Refused, Sim
from sim_ground import ROADS, Ground, assert_sums

from onecore.kinds.image.record import Image
from onecore.kinds.usage import usage
from onecore.kinds.vm.record import History
from onecore.kinds.vm.states import USER_EVENTS

ACTIONS = [
    ("PENDING", "hold", "HOLD"),
    ("HOLD", "release", "PENDING"),
    ("PENDING", "deploy", "PROLOG BOOT RUNNING"),
    ("HOLD", "deploy", "PROLOG BOOT RUNNING"),
    ("RUNNING", "reboot", ""),
    ("RUNNING", "reboot-hard", ""),
    ("RUNNING", "resched", ""),
    ("RUNNING", "unresched", ""),
    ("RUNNING", "poweroff", "SHUTDOWN_POWEROFF POWEROFF"),
    ("RUNNING", "poweroff-hard", "SHUTDOWN_POWEROFF POWEROFF"),
    ("POWEROFF", "resume", "BOOT_POWEROFF RUNNING"),
    ("POWEROFF", "resched", ""),
    ("RUNNING", "suspend", "SAVE_SUSPEND SUSPENDED"),
    ("SUSPENDED", "resume", "BOOT_SUSPENDED RUNNING"),
    ("RUNNING", "stop", "SAVE_STOP EPILOG_STOP STOPPED"),
    ("SUSPENDED", "stop", "EPILOG_STOP STOPPED"),
    ("STOPPED", "resume", "PENDING"),
    ("STOPPED", "deploy", "PROLOG_RESUME BOOT_STOPPED RUNNING"),
    ("RUNNING", "undeploy", "SHUTDOWN_UNDEPLOY EPILOG_UNDEPLOY UNDEPLOYED"),
    ("RUNNING", "undeploy-hard", "SHUTDOWN_UNDEPLOY EPILOG_UNDEPLOY UNDEPLOYED"),
    ("POWEROFF", "undeploy", "EPILOG_UNDEPLOY UNDEPLOYED"),
    ("POWEROFF", "undeploy-hard", "EPILOG_UNDEPLOY UNDEPLOYED"),
    ("UNDEPLOYED", "resume", "PENDING"),
    ("UNDEPLOYED", "deploy", "PROLOG_UNDEPLOY BOOT_UNDEPLOY RUNNING"),
    ("PENDING", "terminate", "DONE"),
    ("HOLD", "terminate-hard", "DONE"),
    ("RUNNING", "terminate", "SHUTDOWN EPILOG DONE"),
    ("RUNNING", "terminate-hard", "SHUTDOWN EPILOG DONE"),
    ("POWEROFF", "terminate", "EPILOG DONE"),
    ("SUSPENDED", "terminate", "EPILOG DONE"),
    ("STOPPED", "terminate", "EPILOG DONE"),
    ("UNDEPLOYED", "terminate-hard", "EPILOG DONE"),
    ("RUNNING", "recover-delete", "CLEANUP_DELETE DONE"),
    ("STOPPED", "recover-delete", "CLEANUP_DELETE DONE"),
    ("PENDING", "recover-delete", "DONE"),
    ("RUNNING", "recover-recreate", "CLEANUP_RESUBMIT PENDING"),
    ("UNDEPLOYED", "recover-recreate", "CLEANUP_RESUBMIT PENDING"),
]


def test_every_action_is_among_them() -> None:
    """Nothing of one.vm.action is left out."""
    tested = {action.replace("-", "_") for _, action, _ in ACTIONS}
    assert set(USER_EVENTS) - tested == set()
    assert {state for state, _, _ in ACTIONS} == set(ROADS)


@pytest.mark.parametrize(("state", "action", "states"), ACTIONS, ids=lambda v: str(v).replace(" ", ">") or "-")
def test_action(ground: Ground, state: str, action: str, states: str) -> None:
    """The states on the way and at the end; afterwards nothing of the VM is left."""
    sim, vm = ground.sim, ground.bring(state)
    before = sim.path(vm)
    ground.act(vm, action)
    sim.wait(vm, states.split()[-1] if states else state)
    sim.advance(2)
    assert sim.path(vm)[len(before):] == states.split()
    assert sim.vm(vm).op == 0 and sim.vm(vm).error == ""
    assert_sums(sim)
    if sim.state(vm) != "DONE":
        ground.act(vm, "terminate")
        sim.wait(vm, "DONE")
    ground.assert_nothing_left()


def test_a_resumed_vm_goes_on_where_it_was(ground: Ground) -> None:
    """STOPPED and UNDEPLOYED give the host back, resume through PENDING, and start from what they had."""
    sim, vm = ground.sim, ground.bring("STOPPED")
    assert usage(sim.core).sums.of(ground.host) == (0, 0, 0, 0) and sim.guests("node1") == []
    ground.act(vm, "resume")
    ground.act(vm, "deploy")
    sim.wait(vm, "RUNNING")
    assert sim.path(vm)[-4:] == ["PENDING", "PROLOG_RESUME", "BOOT_STOPPED", "RUNNING"]
    ground.act(vm, "undeploy")
    sim.wait(vm, "UNDEPLOYED")
    ground.act(vm, "resume")
    ground.act(vm, "deploy")
    sim.wait(vm, "RUNNING")
    assert sim.path(vm)[-4:] == ["PENDING", "PROLOG_UNDEPLOY", "BOOT_UNDEPLOY", "RUNNING"]
    assert [sim.get(History, (vm, seq)).hid for seq in range(3)] == [ground.host] * 3


def test_a_recreated_vm_starts_from_nothing(ground: Ground) -> None:
    """recover --recreate: PENDING, then a whole new start, with a newer generation."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    first = sim.vm(vm).generation
    ground.act(vm, "recover-recreate")
    sim.wait(vm, "PENDING")
    ground.act(vm, "deploy")
    sim.wait(vm, "RUNNING")
    assert sim.path(vm)[-3:] == ["PROLOG", "BOOT", "RUNNING"] and sim.vm(vm).generation > first
    assert sim.guests("node1") == [vm]


def test_history_tells_the_times(ground: Ground) -> None:
    """One stay a start on a host; its times in order; the action that ended it."""
    ground.script(delay={"default": 5.0})
    sim, vm = ground.sim, ground.bring("POWEROFF")
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    sim.advance(1)
    first, second = sim.database.select(History, "vid = :vm", {"vm": vm}, "seq")
    assert first.stime <= first.pstime < first.petime <= first.rstime < first.retime <= first.etime
    assert (first.action, second.action) == (19, 27) and second.estime < second.eetime <= second.etime
    ground.assert_nothing_left()


def test_a_wrong_state_is_refused_and_changes_nothing(ground: Ground) -> None:
    """The table says no; the record is as it was."""
    vm = ground.bring("RUNNING")
    before = ground.sim.vm(vm)
    for action in ("hold", "release", "resume", "deploy"):
        with pytest.raises(Refused) as refused:
            ground.act(vm, action)
        assert refused.value.code == 0x0800 and "RUNNING" in str(refused.value)
    assert ground.sim.vm(vm) == before


def test_the_same_seed_gives_the_same_life(make_ground: MakeGround) -> None:
    """Nothing but the seed decides: the change logs are equal, time for time."""
    def live(sim: Sim, ground: Ground) -> list[tuple[object, ...]]:
        ground.script(delay={"default": 1.5}, rules=[{"action": "vm.*", "fail": "chance", "probability": 0.5}])
        for _ in range(5):
            vm = ground.make()
            ground.act(vm, "deploy")
            sim.wait(vm, "RUNNING", "BOOT_FAILURE")
        sim.advance(3)
        return sim.database.rows("SELECT seq, n, time, kind, oid, what, old, new FROM log ORDER BY seq, n")

    lives = [live(ground.sim, ground) for ground in (make_ground(3), make_ground(3))]
    assert lives[0] == lives[1] and any("BOOT_FAILURE" in row for row in lives[0])


def test_an_image_is_as_large_as_its_disk_came_home(ground: Ground) -> None:
    """Only a persistent one, once it was written."""
    sim = ground.sim
    own = sim.add_image("own", persistent=True)
    disks = f"DISK=[IMAGE_ID={own},SIZE=30]\nDISK=[IMAGE_ID={ground.image},SIZE=40]\n"
    for start in (False, True):
        vm = int(sim.call("one.vm.allocate", f"CPU=1\nMEMORY=64\n{disks}", False))
        if start:
            ground.act(vm, "deploy")
            sim.wait(vm, "RUNNING")
        ground.act(vm, "terminate")
        sim.wait(vm, "DONE")
        assert [sim.get(Image, each).size for each in (own, ground.image)] == [30 if start else 10, 10]
    assert_sums(sim)
