"""Interleavings after which a VM could run twice, or lose its only disk or memory: each is refused, or comes right."""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sim import refused
from sim_points import Strike

from onecore.lifecycle.outbox import Owed

if TYPE_CHECKING:
    from ha_ground import HaGround, MakeHa

pytest_plugins = ["ha_ground"]
SOON = {"migrate": 10, "save": 40, "grace": 5}


def disks(ha: HaGround) -> list[str]:
    """The directories of VMs that there are, by host."""
    return sorted(path.parts[-3] for path in (ha.sim.home / "dummy").rglob("disks/*"))


def settled(ha: HaGround, vm: int, host: int) -> None:
    """The VM is on a host, and nothing is under way."""
    ha.sim.until(lambda: ha.sim.vm(vm).hid == host and not ha.sim.vm(vm).op)


def leave_on_first(ha: HaGround) -> int:
    """A VM that moved live to the second host with its disk, and whose leftovers on the first are being cleaned up."""
    vm = ha.vm(f"DISK=[IMAGE_ID={ha.sim.add_image('own', persistent=True)}]\n", store=ha.own_store())
    ha.script({"action": "vm.migrate.clean", "fail": "no route"},
              {"action": "vm.cleanup", "host": "node1", "delay": 40})
    ha.sim.call("one.vm.migrate", vm, ha.ids[1], True, False, -1, 0)
    settled(ha, vm, ha.ids[1])
    ha.sim.until(lambda: ha.sent("cleanup"), 30)
    return vm


@pytest.mark.parametrize("live", [True, False])
def test_a_vm_does_not_come_back_while_what_it_left_is_cleaned_up(make_ha: MakeHa, live: bool) -> None:
    """It would be ended with what it left, and its disk removed."""
    ha = make_ha(after=0)
    vm = leave_on_first(ha)
    if not live:
        ha.sim.call("one.vm.action", "poweroff-hard", vm)
        ha.sim.wait(vm, "POWEROFF")

    def back() -> None:
        ha.sim.call("one.vm.migrate", vm, ha.ids[0], live, False, -1, 0)
    refused(0x0800, "cleaning up what VM 0 left there", back)
    ha.sim.until(lambda: not ha.owed(), 120)
    back()
    settled(ha, vm, ha.ids[0])
    ha.sim.advance(60)
    assert disks(ha) == ["node1"] and ha.sim.state(vm) == ("RUNNING" if live else "POWEROFF")


def test_a_debt_waits_for_a_vm_that_is_coming(make_ha: MakeHa) -> None:
    """Its operation may be what a clean-up would end; when it is there, nothing is owed any more."""
    ha = make_ha(after=0)
    vm = leave_on_first(ha)
    ha.script({"action": "vm.cleanup", "host": "node1", "fail": "no route"}, {"action": "tm.move", "delay": 60})
    ha.sim.until(lambda: ha.owed() and not ha.sim.core.kinds["host.paying"], 60)
    ha.sim.call("one.vm.migrate", vm, ha.ids[0], False, False, -1, 0)
    ha.script({"action": "tm.move", "delay": 60})
    ha.sim.advance(40)
    assert ha.owed(), "it is not paid while the VM comes"
    settled(ha, vm, ha.ids[0])
    ha.sim.advance(60)
    assert disks(ha) == ["node1"] and ha.guests() == {1: [vm]} and ha.owed() == []


def lose_the_end_of_a_move(ha: HaGround, vm: int) -> None:
    """A live migration to the second host of which nobody knows how it ended."""
    ha.script({"action": "vm.migrate", "hang": True})
    ha.sim.transport.deaf = lambda command: command.action == "migrate"
    ha.sim.call("one.vm.migrate", vm, ha.ids[1], True, False, -1, 0)
    ha.sim.wait(vm, "UNKNOWN", limit=100)


def test_files_are_not_removed_where_a_vm_may_have_moved_to(make_ha: MakeHa) -> None:
    """Its host owes what an earlier move left in a datastore; whether the VM's disks are there by now nobody knows."""
    ha = make_ha(after=0, deadlines=SOON)
    vm, store = ha.vm(), int(ha.sim.call("one.datastore.allocate", "NAME=two\nTYPE=SYSTEM_DS\nTM_MAD=dummy\n", -1))
    ha.script({"action": "vm.migrate", "hang": True})
    ha.sim.transport.deaf = lambda command: command.action == "migrate"
    ha.sim.call("one.vm.migrate", vm, ha.ids[0], True, False, store, 0)
    ha.put(Owed(ha.ids[0], vm, 1, store, int(ha.sim.clock.time()), 1))
    ha.sim.wait(vm, "UNKNOWN", limit=100)
    assert ha.sim.vm(vm).to_hid == ha.ids[0] and ha.sim.vm(vm).to_ds == store
    ha.put(replace(ha.sim.vm(vm), changed=int(ha.sim.clock.time()) + 1000))  # no sample settles it yet
    ha.sim.advance(60)
    assert ha.owed() and ha.sent("delete") == 0


def test_a_source_that_stands_still_is_not_the_vm_suspended(make_ha: MakeHa) -> None:
    """The destination, which cannot be asked, may run the guest: nothing may be resumed where it was."""
    ha = make_ha(after=0, deadlines=SOON)
    vm = ha.vm()
    ha.until_host(2, "MONITORED")
    lose_the_end_of_a_move(ha, vm)
    here = ha.sim.home / "dummy" / "node1" / str(vm)
    ha.leave_copy(vm, 2, ha.sim.vm(vm).generation)
    here.write_text(here.read_text().replace("running", "suspended"))
    ha.silence(2)
    ha.sim.transport.deaf = lambda command: False
    ha.sim.advance(60)
    assert ha.sim.state(vm) == "UNKNOWN" and ha.sim.vm(vm).to_hid == ha.ids[1]
    refused(0x0800, "may have moved", lambda: ha.sim.call("one.vm.action", "resume", vm))


def test_nothing_starts_beside_a_guest_elsewhere(make_ha: MakeHa) -> None:
    """Somebody moved the guest by hand: its VM is POWEROFF where it was, and stays so."""
    ha = make_ha(after=0)
    vm = ha.vm()
    here, there = (ha.sim.home / "dummy" / name / str(vm) for name in ("node1", "node2"))
    ha.sim.advance(20)
    there.parent.mkdir(exist_ok=True)
    here.rename(there)
    ha.sim.wait(vm, "POWEROFF", limit=60)
    ha.sim.advance(20)
    refused(0x0800, "could run twice: a guest one-0 runs on host 1", lambda: ha.sim.call("one.vm.action", "resume", vm))
    there.unlink()
    ha.sim.advance(20)
    ha.sim.call("one.vm.action", "resume", vm)
    ha.sim.wait(vm, "RUNNING")


def test_nothing_starts_while_a_silent_host_owes_its_end(make_ha: MakeHa) -> None:
    """It may run the VM still; when it answers it pays first."""
    ha = make_ha(after=0)
    vm = ha.vm(host=2)
    ha.sim.call("one.vm.action", "poweroff-hard", vm)
    ha.sim.wait(vm, "POWEROFF")
    ha.silence(1)
    ha.put(Owed(ha.ids[0], vm, 1, 0, int(ha.sim.clock.time()), 0))
    refused(0x0800, "may still run on host 0", lambda: ha.sim.call("one.vm.action", "resume", vm))
    ha.wake(1)
    ha.sim.until(lambda: not ha.owed(), 60)
    ha.sim.call("one.vm.action", "resume", vm)
    ha.sim.wait(vm, "RUNNING")


def test_a_vm_that_may_have_moved_keeps_no_other_from_its_restart(make_ha: MakeHa) -> None:
    """The host is fenced; that one stays, and says why."""
    ha = make_ha(deadlines=SOON)
    store = int(ha.sim.call("one.datastore.allocate", "NAME=two\nTYPE=SYSTEM_DS\nTM_MAD=dummy\n", -1))
    stays, goes = ha.vm(), ha.vm()
    ha.script({"action": "vm.migrate", "hang": True})
    ha.sim.call("one.vm.migrate", stays, ha.ids[0], True, False, store, 0)
    ha.sim.advance(1)
    ha.quiet.add(1)
    ha.script({"action": "vm.migrate", "hang": True})
    ha.sim.advance(3)
    ha.sim.call("one.vm.recover", stays, 0, True)
    ha.silence(1)
    assert ha.sim.state(stays) == "UNKNOWN" and ha.sim.vm(stays).to_hid == ha.ids[0]
    ha.sim.wait(goes, "PENDING", limit=200)
    assert ha.sim.state(stays) == "UNKNOWN" and "it may have moved to host 0" in ha.vm_error(stays)
    assert ha.sent("fence") == 1


@pytest.mark.parametrize("dark", [False, True])
def test_what_was_saved_and_not_heard_of_is_kept(make_ha: MakeHa, dark: bool) -> None:
    """Also when its host was not heard of in between: its memory is in the checkpoint."""
    ha = make_ha(after=0, deadlines=SOON)
    vm = ha.vm()
    ha.sim.strike(Strike.parse("step.after:vm.save#1=deaf"))
    ha.sim.call("one.vm.action", "suspend", vm)
    ha.sim.advance(2)
    assert ha.guests() == {}
    if dark:
        ha.silence(1)
    ha.sim.until(lambda: not ha.sim.vm(vm).op, 200)
    ha.sim.advance(20)
    if dark:
        assert ha.sim.state(vm) == "UNKNOWN"
        ha.wake(1)
    ha.sim.wait(vm, "SUSPENDED", limit=80)
