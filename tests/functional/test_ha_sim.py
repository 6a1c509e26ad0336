"""High availability on the simulated clock: hosts go silent, are fenced or not, and come back."""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sim_ground import assert_sums
from sim_points import Strike

from onecore.kinds.usage import usage
from onecore.kinds.vm.record import ACTIONS
from onecore.kinds.vnet.record import Lease
from onecore.wire.messages import Message, Result

if TYPE_CHECKING:
    from ha_ground import HaGround, MakeHa

pytest_plugins = ["ha_ground"]


def test_the_vms_of_a_silent_host_start_elsewhere(ha: HaGround) -> None:
    """Fenced, PENDING with disks, history and address; the old host gives its room back and owes the guest's end."""
    network = ha.sim.add_network()
    vm = ha.vm(f"NIC=[NETWORK_ID={network}]")
    ha.silence(1)
    assert ha.sim.state(vm) == "UNKNOWN" and ha.sent("fence") == 0, "not before its time"
    ha.sim.wait(vm, "PENDING", limit=45)
    assert ha.guests() == {} and ha.owed() == [(ha.ids[0], vm, 1, 0, 1)]
    assert usage(ha.sim.core).sums.of(ha.ids[0]) == (0, 0, 0, 0)
    assert [lease.vm for lease in ha.sim.core.store.all(Lease)] == [vm]
    stay = ha.stay(vm)
    assert stay.etime and stay.retime and stay.action == ACTIONS["monitor"] and stay.uid == -1
    assert f"fenced by dummy; VMs {vm} start elsewhere" in ha.error()
    assert "is fenced, the VM starts elsewhere" in ha.vm_log(vm)
    ha.sim.call("one.vm.deploy", vm, ha.ids[1])
    ha.sim.wait(vm, "RUNNING")
    assert ha.sim.path(vm)[-4:] == ["PENDING", "PROLOG_UNDEPLOY", "BOOT_UNDEPLOY", "RUNNING"]
    assert ha.guests() == {2: [vm]} and ha.sim.vm(vm).generation == 2
    ha.wake(1)
    assert ha.owed() == [] and ha.error() == "" and ha.sim.state(vm) == "RUNNING"
    assert_sums(ha.sim)


def test_nothing_is_restarted_when_the_fence_fails(ha: HaGround) -> None:
    """Host and VM say why, once; it is tried again, and when it works the VM goes."""
    vm = ha.vm()
    ha.script({"action": "im.fence", "fail": "no answer of the BMC", "times": 3})
    ha.silence(1)
    ha.sim.until(lambda: ha.sent("fence") == 3, 120)
    ha.sim.advance(1)
    assert ha.sim.state(vm) == "UNKNOWN" and ha.guests() == {1: [vm]} and ha.owed() == []
    assert ha.error().startswith("nothing heard for ") and "; in ERROR since 20" in ha.error()
    assert ha.error().endswith("; fencing by dummy failed: no answer of the BMC; its VMs are not restarted")
    assert "is not restarted: fencing by dummy failed: no answer of the BMC" in ha.vm_error(vm)
    assert ha.vm_log(vm).count("not restarted") == 1
    ha.sim.wait(vm, "PENDING", limit=30)
    assert ha.error().endswith(f"; fenced by dummy; VMs {vm} start elsewhere") and ha.vm_error(vm) == ""


def test_a_fence_that_hangs_is_given_up(make_ha: MakeHa) -> None:
    """After [ha] timeout; no second one is asked for meanwhile."""
    ha = make_ha(timeout=50, retry=100)
    vm = ha.vm()
    ha.script({"action": "im.fence", "hang": True})
    ha.silence(1)
    ha.sim.until(lambda: ha.sent("fence") == 1, 60)
    ha.sim.advance(80)
    assert ha.sent("fence") == 1 and ha.sim.state(vm) == "UNKNOWN"
    assert "fencing by dummy failed: no" in ha.error()


def test_a_fence_whose_driver_dies_is_asked_for_at_once(make_ha: MakeHa) -> None:
    """It may have worked: that the guest is gone is taken for its work, and the next one says so."""
    ha = make_ha(retry=1000)
    vm = ha.vm()
    ha.sim.strike(Strike.parse("step.after:im.fence#1=driver"))
    ha.silence(1)
    ha.sim.until(lambda: ha.sent("fence") == 1, 60)
    ha.sim.advance(1)
    assert ha.guests() == {} and ha.sim.state(vm) == "UNKNOWN", "it worked, and nobody heard of it"
    ha.sim.wait(vm, "PENDING", limit=15)
    assert ha.sent("fence") == 2 and ha.owed() == [(ha.ids[0], vm, 1, 0, 1)]


def test_without_a_fence_driver_nothing_is_restarted(make_ha: MakeHa) -> None:
    """Which host and VM say once, also after a restart of the core; FENCE_MAD of the host gives it one."""
    ha = make_ha(fence="")
    vm = ha.vm()
    ha.silence(1)
    ha.sim.advance(60)
    ha.sim.reboot()
    ha.sim.advance(60)
    assert ha.sim.state(vm) == "UNKNOWN" and ha.sent("fence") == 0
    assert ha.error().count("in ERROR since") == 1
    assert ha.error().endswith("there is no fence driver (its FENCE_MAD, or fence in [ha]); its VMs are not restarted")
    assert "there is no fence driver" in ha.vm_error(vm)
    ha.sim.call("one.host.update", ha.ids[0], "FENCE_MAD=dummy\n", 1)
    ha.sim.wait(vm, "PENDING", limit=30)


def test_an_unknown_driver_is_named(make_ha: MakeHa) -> None:
    """With those that there are."""
    ha = make_ha(fence="hammer")
    vm = ha.vm()
    ha.silence(1)
    ha.sim.advance(60)
    assert "there is no fence driver 'hammer'; known: dummy, ipmi, lease, script" in ha.error()
    assert ha.sim.state(vm) == "UNKNOWN"


def test_it_is_off_unless_it_is_asked_for(make_ha: MakeHa) -> None:
    """By default no host is fenced, and nothing is said of it."""
    ha = make_ha(after=0)
    vm = ha.vm()
    ha.silence(1)
    ha.sim.advance(3600)
    assert ha.sim.state(vm) == "UNKNOWN" and ha.sent("fence") == 0 and "since" not in ha.error()


def test_hosts_that_go_silent_together_are_not_fenced(ha: HaGround) -> None:
    """Two of three: that is the network.  With one of them back, the other is."""
    first, second = ha.vm(), ha.vm(host=2)
    ha.silence(1, 2)
    ha.sim.advance(120)
    assert ha.sent("fence") == 0 and {ha.sim.state(vm) for vm in (first, second)} == {"UNKNOWN"}
    assert "2 of 3 hosts of its cluster are in ERROR at once" in ha.error(1) and "none is fenced" in ha.error(2)
    assert "none is fenced" in ha.vm_error(first)
    ha.wake(2)
    ha.sim.wait(first, "PENDING", limit=30)
    assert ha.sim.state(second) == "RUNNING" and ha.vm_error(second) == ""


def test_a_number_of_hosts_is_too_many(make_ha: MakeHa) -> None:
    """However large the cluster is; hosts that were fenced do not count."""
    ha = make_ha(hosts=6, most_hosts=1)
    vms = [ha.vm(host=host) for host in (1, 2, 3)]
    ha.silence(1)
    ha.sim.wait(vms[0], "PENDING", limit=60)
    ha.silence(2)
    ha.sim.wait(vms[1], "PENDING", limit=60)
    ha.silence(3, 4)
    ha.sim.advance(120)
    assert ha.sim.state(vms[2]) == "UNKNOWN" and "2 of 4 hosts are in ERROR at once" in ha.error(3)


@pytest.mark.parametrize("action", ["reboot", "reboot-hard"])
def test_a_reboot_that_ends_when_its_host_is_silent_keeps_nothing_from_going_on(ha: HaGround, action: str) -> None:
    """It fails while nobody can say how the VM is: that is its end, and the VM starts elsewhere like all others."""
    vm = ha.vm()
    ha.script({"action": "vm.reboot" if action == "reboot" else "vm.reset", "hang": True})
    ha.sim.call("one.vm.action", action, vm)
    ha.silence(1)
    assert ha.sim.state(vm) == "UNKNOWN" and ha.sim.vm(vm).op, "it is under way still"
    ha.sim.wait(vm, "PENDING", limit=120)
    assert ha.owed() == [(ha.ids[0], vm, 1, 0, 1)]


def test_the_only_host_of_a_cluster_is_not_fenced(make_ha: MakeHa) -> None:
    """There is nowhere to go, and it is as likely the manager that is cut off."""
    ha = make_ha(hosts=1)
    ha.vm()
    ha.silence(1)
    ha.sim.advance(60)
    assert ha.sent("fence") == 0 and "1 of 1 hosts of its cluster are in ERROR" in ha.error()


def test_vms_that_stay(ha: HaGround) -> None:
    """On the host's own storage, or by their template: UNKNOWN, and their log says why.  Others go."""
    local, asked, goes = ha.vm(store=ha.own_store()), ha.vm("HA=no"), ha.vm("HA=yes")
    off = ha.vm()
    ha.sim.call("one.vm.action", "poweroff", off)
    ha.sim.wait(off, "POWEROFF")
    ha.silence(1)
    ha.sim.wait(goes, "PENDING", limit=60)
    ha.sim.advance(60)
    assert [ha.sim.state(vm) for vm in (local, asked, off)] == ["UNKNOWN", "UNKNOWN", "POWEROFF"]
    assert "which is the host's own" in ha.vm_error(local) and ha.vm_log(local).count("not restarted") == 1
    assert "its template says HA = NO" in ha.vm_error(asked) and ha.vm_error(off) == ""
    assert ha.sent("fence") == 1
    ha.wake(1)
    ha.sim.wait(local, "POWEROFF", limit=60)  # the fence ended it, as its host says now


def test_no_fence_for_vms_that_cannot_move(ha: HaGround) -> None:
    """Nobody takes the power from a host for nothing."""
    vm = ha.vm(store=ha.own_store())
    ha.silence(1)
    ha.sim.advance(120)
    assert ha.sent("fence") == 0 and "which is the host's own" in ha.vm_error(vm) and "since" not in ha.error()


def test_a_vm_with_an_operation_under_way_goes_later(make_ha: MakeHa) -> None:
    """When the operation has ended one way or the other."""
    ha = make_ha(deadlines={"shutdown": 200, "grace": 5})
    busy, idle = ha.vm(), ha.vm()
    ha.script({"action": "vm.shutdown", "hang": True})
    ha.sim.call("one.vm.action", "poweroff", busy)
    ha.silence(1)
    ha.sim.wait(idle, "PENDING", limit=60)
    ha.sim.advance(30)
    assert ha.sim.state(busy) == "SHUTDOWN_POWEROFF" and ha.sent("fence") == 1
    ha.sim.wait(busy, "PENDING", limit=300)
    assert ha.sent("fence") == 2 and "SHUTDOWN_POWEROFF" in ha.sim.path(busy)


def test_a_host_that_is_back_before_it_is_fenced(ha: HaGround) -> None:
    """Nothing happens."""
    vm = ha.vm()
    ha.silence(1)
    ha.sim.advance(20)
    ha.wake(1)
    ha.sim.wait(vm, "RUNNING", limit=30)
    ha.sim.advance(300)
    assert ha.sent("fence") == 0 and ha.error() == "" and "PENDING" not in ha.sim.path(vm)[1:]


def test_a_host_that_is_back_for_a_moment(make_ha: MakeHa) -> None:
    """Heard of between two looks and lost again: its time in ERROR, and the wait for another try, begin anew."""
    ha = make_ha(retry=10_000)
    vm = ha.vm()
    ha.script({"action": "im.fence", "fail": "no power switch", "times": 1})
    ha.silence(1)
    ha.sim.until(lambda: ha.sent("fence") == 1, 120)
    ha.sim.advance(100)
    assert ha.sent("fence") == 1 and ha.sim.state(vm) == "UNKNOWN"
    ha.sim.core.kinds["samples"].heard[ha.ids[0]] = ha.sim.clock.monotonic()
    ha.sim.advance(25)
    assert ha.sent("fence") == 1
    ha.sim.wait(vm, "PENDING", limit=30)


def test_a_host_that_is_back_while_it_is_fenced(make_ha: MakeHa) -> None:
    """Its VMs are not taken away, whatever the fence says; silent again, it is fenced again."""
    ha = make_ha(timeout=60)
    vm = ha.vm()
    ha.script({"action": "im.fence", "delay": 30})
    ha.silence(1)
    ha.sim.until(lambda: ha.sent("fence") == 1, 60)
    ha.wake(1)
    ha.sim.advance(15)
    ha.sim.wait(vm, "POWEROFF", limit=60)  # the fence did end its guest
    assert ha.owed() == [] and "PENDING" not in ha.sim.path(vm)[1:]


def test_the_end_of_a_guest_by_the_fence_is_no_shutdown(ha: HaGround) -> None:
    """Its news may come before the fence's result."""
    vm = ha.vm()
    ha.sim.transport.late = lambda message: 3.0 if _is_fence(ha, message) else 0.0
    ha.silence(1)
    ha.sim.wait(vm, "PENDING", limit=60)
    assert "POWEROFF" not in ha.sim.path(vm)


def _is_fence(ha: HaGround, message: Message) -> bool:
    fences = {command.op for command in ha.sim.transport.sent if command.action == "fence"}
    return isinstance(message, Result) and message.op in fences


def test_killed_between_the_fence_and_the_restart(ha: HaGround) -> None:
    """The result is lost with the core: the next one fences again, which finds the host off."""
    vm = ha.vm()
    ha.sim.transport.copies = lambda message: 0 if _is_fence(ha, message) else 1
    ha.silence(1)
    ha.sim.until(lambda: not ha.guests(), 60)
    ha.sim.reboot()
    assert ha.sim.state(vm) == "UNKNOWN"
    ha.sim.advance(20)
    assert ha.sent("fence") == 0, "a restart begins to count anew"
    ha.sim.wait(vm, "PENDING", limit=60)
    assert ha.owed() == [(ha.ids[0], vm, 1, 0, 1)]


@pytest.mark.parametrize("after", range(1, 6))
def test_killed_after_any_commit(ha: HaGround, after: int) -> None:
    """From the silence on: the VM starts once, the debt survives, the old host pays."""
    vm = ha.vm()
    ha.quiet = {1}
    ha.script()
    with ha.sim.crashing(after):
        ha.sim.advance(150)
    ha.sim.wait(vm, "PENDING", limit=150)
    assert ha.owed() == [(ha.ids[0], vm, 1, 0, 1)] and ha.guests() == {}
    ha.sim.reboot()
    ha.sim.ready()
    ha.sim.call("one.vm.deploy", vm, ha.ids[1])
    ha.sim.wait(vm, "RUNNING")
    ha.leave_copy(vm, 1)
    ha.wake(1)
    assert ha.guests() == {2: [vm]} and ha.owed() == []
    assert ha.sim.path(vm).count("PENDING") == 2


def test_a_password_is_not_shown(ha: HaGround) -> None:
    """Bodies say `*`; an update with that leaves it, and drivers get it."""
    ha.sim.call("one.host.update", ha.ids[0], "IPMI_ADDRESS=bmc1\nIPMI_PASSWORD=geheim\n", 1)
    shown = ha.sim.call("one.host.info", ha.ids[0])
    assert "geheim" not in shown and "<IPMI_PASSWORD><![CDATA[*]]>" in shown
    ha.sim.call("one.host.update", ha.ids[0], "IPMI_ADDRESS=bmc2\nIPMI_PASSWORD=\"*\"\n", 0)
    ha.vm()
    ha.silence(1)
    ha.sim.until(lambda: ha.sent("fence"), 60)
    told = next(c for c in ha.sim.transport.sent if c.action == "fence").args["host"]["attrs"]
    assert (told["IPMI_ADDRESS"], told["IPMI_PASSWORD"]) == ("bmc2", "geheim")


def test_a_host_that_cannot_be_asked_is_fenced_too(ha: HaGround) -> None:
    """ERROR counts, whatever its reason, which stays in the text."""
    vm = ha.vm()
    ha.script({"action": "im.sample", "host": "node1", "fail": "libvirt is away"})
    ha.sim.wait(vm, "PENDING", limit=90)
    assert ha.error().startswith("libvirt is away; in ERROR since ")


def test_a_host_is_not_fenced_for_a_busy_vm(ha: HaGround) -> None:
    """One on which something is under way."""
    vm = ha.vm()
    ha.silence(1)
    ha.put(replace(ha.sim.vm(vm), op=1))
    ha.sim.advance(120)
    assert ha.sent("fence") == 0


def test_hosts_cut_off_together_are_noticed_first(make_ha: MakeHa) -> None:
    """However soon a host is to be fenced: the others may speak last a whole period later."""
    ha = make_ha(after=1)
    vm = ha.vm()
    ha.silence(1)
    ha.sim.advance(12)
    assert ha.sent("fence") == 0
    ha.sim.wait(vm, "PENDING", limit=15)


def test_a_vm_that_was_started_anew_meanwhile(make_ha: MakeHa) -> None:
    """The fence was asked about another generation; the next one counts."""
    ha = make_ha(timeout=60)
    vm = ha.vm()
    ha.script({"action": "im.fence", "delay": 10})
    ha.silence(1)
    ha.sim.until(lambda: ha.sent("fence"), 60)
    ha.put(replace(ha.sim.vm(vm), generation=5))
    ha.sim.advance(12)
    assert ha.sim.state(vm) == "UNKNOWN" and ha.owed() == []
    ha.sim.wait(vm, "PENDING", limit=60)
    assert ha.owed() == [(ha.ids[0], vm, 5, 0, 1)]
