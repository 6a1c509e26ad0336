"""What hosts owe, on the simulated clock: paid before they are ON, in the way of other deployments, never too much."""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sim import Refused

from onecore.auth import acl
from onecore.kinds.acl import AclRule
from onecore.lifecycle.outbox import Owed

if TYPE_CHECKING:
    from ha_ground import HaGround

pytest_plugins = ["ha_ground"]


def test_a_host_that_returns_with_the_old_copy_ends_it_first(ha: HaGround) -> None:
    """The switch lied, or somebody started the host with its guests: the copy is gone before the host is ON."""
    vm = ha.vm()
    ha.silence(1)
    ha.sim.wait(vm, "PENDING", limit=60)
    ha.sim.call("one.vm.deploy", vm, ha.ids[1])
    ha.sim.wait(vm, "RUNNING")
    ha.leave_copy(vm, 1)
    ha.wake(1)
    assert ha.guests() == {2: [vm]} and ha.sim.state(vm) == "RUNNING"
    ha.sim.advance(60)
    assert ha.guests() == {2: [vm]} and ha.sim.vm(vm).hid == ha.ids[1]


def test_a_debt_that_is_not_paid_keeps_a_host_out(ha: HaGround) -> None:
    """It says what it owes and why it did not pay; that it speaks keeps it from being fenced again."""
    vm = ha.vm()
    ha.silence(1)
    ha.sim.wait(vm, "PENDING", limit=60)
    ha.leave_copy(vm, 1)
    ha.script({"action": "vm.cleanup", "fail": "libvirt is away"})
    ha.speak(1)
    ha.sim.advance(120)
    assert ha.sim.host_state(ha.ids[0]) == "ERROR" and ha.sent("fence") == 1
    assert ha.error() == f"owes the end of VM {vm} of generation 1; VM {vm}: libvirt is away"
    assert ha.guests() == {1: [vm]}
    ha.script()
    ha.until_host(1, "MONITORED")
    assert ha.guests() == {} and ha.owed() == []


def test_a_host_that_owes_and_goes_silent_is_fenced_again(ha: HaGround) -> None:
    """Counted from when it was last heard of: a VM of it may have been busy until then."""
    vm, late = ha.vm(), ha.vm()
    ha.silence(1)
    ha.put(replace(ha.sim.vm(late), op=1))
    ha.sim.wait(vm, "PENDING", limit=60)
    ha.script({"action": "vm.cleanup", "fail": "libvirt is away"})
    ha.speak(1)
    ha.sim.advance(100)
    ha.put(replace(ha.sim.vm(late), op=0))
    ha.sim.advance(100)
    assert ha.sim.host_state(ha.ids[0]) == "ERROR" and ha.sent("fence") == 1
    ha.quiet.add(1)
    ha.script(*ha.rules)
    ha.sim.advance(15)
    assert ha.sent("fence") == 1
    ha.sim.wait(late, "PENDING", limit=60)
    assert ha.sent("fence") == 2


def test_a_debt_blocks_a_deployment_unless_it_is_forced(ha: HaGround) -> None:
    """Force is for administrators; the debt stays, and the old copy ends when its host returns."""
    vm = ha.vm()
    ha.script({"action": "vm.cleanup", "host": "node1", "fail": "no route"},
              {"action": "tm.delete", "host": "node1", "fail": "no route"})
    ha.sim.call("one.vm.recover", vm, 4)
    ha.sim.wait(vm, "PENDING")
    ha.silence(1)
    assert ha.owed() == [(ha.ids[0], vm, 1, 1, 0)]
    with pytest.raises(Refused, match=r"may still run on host \d+ \(node1\), which owes its clean-up; an admin"):
        ha.sim.call("one.vm.deploy", vm, ha.ids[1])
    ha.sim.call("one.vm.deploy", vm, ha.ids[1], False, -1, "", True)
    ha.sim.wait(vm, "RUNNING")
    assert ha.owed() == [(ha.ids[0], vm, 1, 1, 0)] and ha.guests() == {1: [vm], 2: [vm]}
    assert "deployed with force by user 0 although host" in ha.vm_log(vm)
    ha.script()
    before = ha.sent("delete")
    ha.wake(1)
    assert ha.guests() == {2: [vm]} and ha.owed() == []
    assert ha.sent("delete") == before, "its directory is where the new copy's disks are"


def test_only_administrators_force(ha: HaGround) -> None:
    """Not everybody who may deploy the VM on that host."""
    user = int(ha.sim.call("one.user.allocate", "ann", "secret", "", [1]))
    vm = int(ha.sim.call("one.vm.allocate", "CPU=1\nMEMORY=64\n", False))
    ha.put(AclRule(99, acl.INDIVIDUAL + user, acl.RESOURCES["VM"] + acl.RESOURCES["HOST"] + acl.ALL,
                   acl.USE + acl.MANAGE + acl.ADMIN, acl.ALL))
    with pytest.raises(Refused, match="Only administrators deploy with force") as said:
        ha.sim.call("one.vm.deploy", vm, ha.ids[1], False, -1, "", True, secret="ann:secret")
    assert said.value.code == 0x0200
    ha.sim.call("one.vm.deploy", vm, ha.ids[1], False, -1, "", False, secret="ann:secret")
    ha.sim.wait(vm, "RUNNING")


@pytest.mark.parametrize("terminated", [True, False])
def test_files_that_are_owed(ha: HaGround, terminated: bool) -> None:
    """They go when the VM is gone, also those on a host's own storage when the VM is elsewhere."""
    vm = ha.vm(store=ha.own_store())
    ha.script({"action": "vm.cleanup", "host": "node1", "fail": "no route"},
              {"action": "tm.delete", "host": "node1", "fail": "no route"})
    ha.silence(1)
    ha.sim.call("one.vm.recover", vm, 3 if terminated else 4)
    ha.sim.wait(vm, "DONE" if terminated else "PENDING")
    if not terminated:
        ha.sim.call("one.vm.deploy", vm, ha.ids[1], False, ha.stay(vm).ds_id, "", True)
        ha.sim.wait(vm, "RUNNING")
    ha.script()
    before = ha.sent("delete")
    ha.wake(1)
    assert ha.sent("delete") == before + 1 and ha.owed() == [] and ha.guests() == ({} if terminated else {2: [vm]})


def test_a_vm_that_is_terminated_before_it_starts_again(ha: HaGround) -> None:
    """Its disks go without the old host, which pays all the same."""
    vm = ha.vm()
    ha.silence(1)
    ha.sim.wait(vm, "PENDING", limit=60)
    ha.sim.call("one.vm.action", "terminate", vm)
    ha.sim.wait(vm, "DONE")
    assert ha.sim.path(vm)[-2:] == ["EPILOG", "DONE"] and ha.owed() == [(ha.ids[0], vm, 1, 0, 1)]
    assert next(c for c in ha.sim.transport.sent if c.action == "epilog").args["vm"]["away"]
    ha.leave_copy(vm, 1)
    ha.wake(1)
    assert ha.guests() == {} and ha.owed() == []


def test_what_should_run_is_no_debt(ha: HaGround) -> None:
    """A start that seemed to fail left a debt, and then the guest ran after all."""
    vm = ha.vm()
    ha.put(Owed(ha.ids[0], vm, 1, 0, 0, 0))
    ha.sim.until(lambda: not ha.owed(), 30)
    ha.sim.advance(30)
    assert ha.sim.state(vm) == "RUNNING" and ha.guests() == {1: [vm]} and ha.sent("cleanup") == 0


def test_a_debt_does_not_disturb_the_start_elsewhere(ha: HaGround) -> None:
    """Where hosts share the place of fences, the clean-up would end the preparation of the disks, as the newer work."""
    vm = ha.vm()
    ha.script({"action": "tm.prolog_resume", "delay": 60})
    ha.silence(1)
    ha.sim.wait(vm, "PENDING", limit=60)
    ha.sim.call("one.vm.deploy", vm, ha.ids[1])
    ha.speak(1)
    ha.sim.advance(30)
    assert ha.sent("cleanup") == 0 and ha.sim.host_state(ha.ids[0]) == "ERROR"
    assert ha.error() == f"owes the end of VM {vm} of generation 1; it is ON when that is done"
    ha.sim.wait(vm, "RUNNING", limit=60)
    ha.until_host(1, "MONITORED")
    assert ha.sent("cleanup") == 1
