"""Hosts that are flushed: who is marked, what comes later, what it says, how it ends; over restarts."""
from __future__ import annotations

import json
from typing import Any

import pytest
from api_calls import ACTION, AUTHORIZATION
from makers import MakeGround
from sim import Sim, refused
from sim_ground import Ground, assert_sums
from xsd import validate

from onecore.kinds.host.record import Host
from onecore.kinds.vm.record import VmText


def drain(sim: Sim, host: int) -> dict[str, Any]:
    """What onecore.host.drain says."""
    found: dict[str, Any] = json.loads(sim.call("onecore.host.drain", host))
    return found


def marked(sim: Sim, *vms: int) -> list[int]:
    """RESCHED of VMs."""
    return [sim.vm(vm).resched for vm in vms]


def move(sim: Sim, vm: int, host: int) -> None:
    """As the match-maker would."""
    sim.call("one.vm.migrate", vm, host, sim.state(vm) == "RUNNING", True)
    sim.until(lambda: not sim.vm(vm).op)


@pytest.fixture
def other(ground: Ground) -> int:
    """A second host."""
    return ground.sim.add_host("node2")


def test_a_flush(ground: Ground, other: int) -> None:
    """The host is DISABLED, what runs or is off is marked; each leaves; with the last the drain is over."""
    sim = ground.sim
    running, off = ground.bring("RUNNING"), ground.bring("POWEROFF")
    assert sim.call("onecore.host.flush", ground.host) == ground.host
    assert sim.host_state(ground.host) == "DISABLED" and marked(sim, running, off) == [1, 1]
    since = sim.get(Host, ground.host).drain
    found = drain(sim, ground.host)
    assert (found["since"], found["moved"]) == (since, 0)
    assert [(v["vm"], v["state"], v["why"]) for v in found["left"]] == [
        (running, "RUNNING", "waits for its turn"), (off, "POWEROFF", "waits for its turn")]
    body = sim.call("one.host.info", ground.host)
    validate("host", body)
    assert f"<DRAINING>{since}</DRAINING>" in body
    move(sim, running, other)
    found = drain(sim, ground.host)
    assert found["moved"] == 1 and [v["vm"] for v in found["left"]] == [off]
    assert marked(sim, running, off) == [0, 1]
    move(sim, off, other)
    assert drain(sim, ground.host) == {"host": ground.host, "since": 0, "moved": 0, "left": []}
    assert sim.host_state(ground.host) == "DISABLED" and "DRAINING" not in sim.call("one.host.info", ground.host)
    sim.advance(2)
    assert "is drained: no VM is on it" in (sim.home / "log/oned.log").read_text()
    assert_sums(sim)


def test_what_comes_later_goes_too(ground: Ground, other: int) -> None:
    """A VM on its way to the host, one that is saved or failed; none is marked before it can be moved."""
    sim = ground.sim
    saved, starting = ground.bring("SUSPENDED"), ground.make()
    ground.script(delay={"vm.deploy": 5.0})
    ground.act(starting, "deploy")
    sim.wait(starting, "BOOT")
    sim.call("onecore.host.flush", ground.host)
    assert marked(sim, saved, starting) == [0, 0]
    why = {v["vm"]: v["why"] for v in drain(sim, ground.host)["left"]}
    assert "suspended" in why[saved] and why[starting] == "deploy is under way"
    sim.wait(starting, "RUNNING")
    assert marked(sim, starting) == [1]
    ground.script()
    ground.act(saved, "resume")
    sim.wait(saved, "RUNNING")
    assert marked(sim, saved) == [1]
    late = ground.make()
    ground.act(late, "deploy")
    sim.wait(late, "RUNNING")
    assert marked(sim, late) == [1]
    ground.act(late, "reboot")
    sim.until(lambda: not sim.vm(late).op)
    assert marked(sim, late) == [1], "the reboot took the mark, the drain gave it back"
    ground.act(late, "poweroff")
    sim.wait(late, "POWEROFF")
    assert marked(sim, late) == [1]


def test_a_vm_on_its_way_to_a_drained_host(ground: Ground, other: int) -> None:
    """The drain is not over before it arrived and left again."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    ground.script(delay={"vm.migrate": 5.0})
    sim.call("one.vm.migrate", vm, other, True)
    sim.wait(vm, "MIGRATE")
    sim.call("onecore.host.flush", other)
    assert sim.get(Host, other).drain
    sim.wait(vm, "RUNNING")
    assert marked(sim, vm) == [1] and sim.vm(vm).hid == other and sim.get(Host, other).drain
    ground.script()
    move(sim, vm, ground.host)
    assert not sim.get(Host, other).drain


def test_a_move_that_fails_is_marked_again(ground: Ground, other: int) -> None:
    """And says what went wrong."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    sim.call("onecore.host.flush", ground.host)
    ground.script(delay={"vm.migrate": 1.0}, rules=[{"action": "vm.migrate", "fail": "the guest is too busy"}])
    sim.call("one.vm.migrate", vm, other, True)
    sim.until(lambda: sim.state(vm) == "MIGRATE")
    assert f"on its way to host {other} (node2)" in drain(sim, ground.host)["left"][0]["why"]
    sim.wait(vm, "RUNNING")
    assert marked(sim, vm) == [1] and "too busy" in drain(sim, ground.host)["left"][0]["why"]


def test_it_survives_restarts(ground: Ground, other: int) -> None:
    """The mark of the host and of its VMs; how many were moved."""
    sim, vms = ground.sim, [ground.bring("RUNNING") for _ in range(3)]
    sim.call("onecore.host.flush", ground.host)
    move(sim, vms[0], other)
    since = drain(sim, ground.host)["since"]
    sim.reboot()
    sim.ready()
    sim.until(lambda: sim.host_state(other) == "MONITORED")
    found = drain(sim, ground.host)
    assert (found["since"], found["moved"], len(found["left"])) == (since, 1, 2)
    assert marked(sim, *vms[1:]) == [1, 1]
    late = ground.make()
    ground.act(late, "deploy")
    sim.wait(late, "RUNNING")
    assert marked(sim, late) == [1]
    for vm in (*vms[1:], late):
        move(sim, vm, other)
    assert drain(sim, ground.host)["since"] == 0


@pytest.mark.parametrize("how", ["cancel", "enable"])
def test_it_can_be_called_off(ground: Ground, how: str) -> None:
    """The marks go; after enable the host is used again."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    sim.call("onecore.host.flush", ground.host)
    sim.call("one.vm.update", vm, 'SCHED_MESSAGE="there is no room"\nB=c', 1)
    assert "no room" in drain(sim, ground.host)["left"][0]["why"]
    if how == "cancel":
        sim.call("onecore.host.flush", ground.host, False)
        assert sim.host_state(ground.host) == "DISABLED"
    else:
        sim.call("one.host.status", ground.host, 0)
        sim.until(lambda: sim.host_state(ground.host) == "MONITORED")
    assert drain(sim, ground.host)["since"] == 0 and marked(sim, vm) == [0]
    assert b"SCHED_MESSAGE" not in sim.get(VmText, vm).user and b"B" in sim.get(VmText, vm).user
    ground.act(vm, "reboot")
    sim.until(lambda: not sim.vm(vm).op)
    assert marked(sim, vm) == [0]


def test_a_user_may_keep_one_vm(ground: Ground) -> None:
    """unresched takes it out; it says so."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    sim.call("onecore.host.flush", ground.host)
    sim.call("one.vm.action", "unresched", vm)
    assert marked(sim, vm) == [0] and "onevm resched" in drain(sim, ground.host)["left"][0]["why"]


@pytest.mark.parametrize("end", ["terminate", "undeploy", "recover-delete", "recover-recreate", "recover-deletedb"])
def test_other_ways_out_end_it_too(ground: Ground, end: str) -> None:
    """A VM that is deleted or freed its host leaves nothing to move."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    sim.call("onecore.host.flush", ground.host)
    ground.act(vm, end)
    sim.until(lambda: sim.vm(vm).hid < 0)
    assert drain(sim, ground.host)["since"] == 0


def test_a_host_without_vms_is_drained_at_once(ground: Ground) -> None:
    """It is DISABLED and nothing is left to do; a second flush changes nothing."""
    sim = ground.sim
    for _ in range(2):
        sim.call("onecore.host.flush", ground.host)
        assert drain(sim, ground.host)["since"] == 0 and sim.host_state(ground.host) == "DISABLED"


def test_hosts_that_do_not_answer(make_ground: MakeGround) -> None:
    """ERROR and OFFLINE: nothing can be moved; a VM that becomes UNKNOWN meanwhile is not marked."""
    ground = make_ground()
    sim, vm = ground.sim, ground.bring("SUSPENDED")
    sim.call("onecore.host.flush", ground.host)
    ground.act(vm, "resume")
    sim.wait(vm, "RUNNING")
    sim.call("one.vm.action", "unresched", vm)
    with sim.core.store.tx() as tx:
        sim.core.kinds["vm.observe"](tx, vm, "seen_lost")
    assert (sim.state(vm), marked(sim, vm)) == ("UNKNOWN", [0])
    assert "nobody can say" in drain(sim, ground.host)["left"][0]["why"]
    sim.call("one.host.status", ground.host, 2)
    refused(ACTION, "OFFLINE", lambda: sim.call("onecore.host.flush", ground.host))


def test_who_may(ground: Ground) -> None:
    """ADMIN on the host."""
    sim = ground.sim
    sim.call("one.user.allocate", "vera", "secret", "", [])
    for method in ("flush", "drain"):
        refused(AUTHORIZATION, "HOST", lambda m=method: sim.call(f"onecore.host.{m}", ground.host,
                                                                secret="vera:secret"))
