"""What a VM wrote on a persistent image that lies on a host's own storage is not removed by the way."""
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sim import Refused

if TYPE_CHECKING:
    from host_ground import HostGround

pytest_plugins = ["host_ground"]

@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("own", [True, False])
def test_a_failed_vm_is_not_terminated_over_disks_that_are_not_saved(cloud2: HostGround, own: bool,
                                                                     persistent: bool) -> None:
    image = cloud2.sim.add_image("own", persistent=persistent)
    vm = cloud2.vm(store=cloud2.own_store() if own else -1, more=f"DISK=[IMAGE_ID={image}]")
    cloud2.script({"action": "tm.epilog", "fail": "no space"})
    cloud2.sim.call("one.vm.action", "terminate-hard", vm)
    cloud2.sim.wait(vm, "EPILOG_FAILURE")
    if own and persistent:
        for action in ("terminate", "terminate-hard"):
            with pytest.raises(Refused, match=r"persistent disks \(0\) were saved; recover --retry"):
                cloud2.sim.call("one.vm.action", action, vm)
        cloud2.script()
        cloud2.sim.call("one.vm.recover", vm, 2)
    else:
        cloud2.sim.call("one.vm.action", "terminate", vm)
    cloud2.sim.wait(vm, "DONE")


def test_a_first_start_that_failed_has_nothing_to_save(cloud2: HostGround) -> None:
    image, store = cloud2.sim.add_image("own", persistent=True), cloud2.own_store()
    vm = int(cloud2.sim.call("one.vm.allocate", f"CPU=1\nMEMORY=64\nDISK=[IMAGE_ID={image}]", False))
    cloud2.script({"action": "vm.deploy", "fail": "no"})
    cloud2.sim.call("one.vm.deploy", vm, cloud2.ids[0], False, store)
    cloud2.sim.wait(vm, "BOOT_FAILURE")
    cloud2.sim.call("one.vm.action", "terminate", vm)
    cloud2.sim.wait(vm, "DONE")


@pytest.mark.parametrize("word", [3, 4], ids=["delete", "recreate"])
@pytest.mark.parametrize("state", ["RUNNING", "POWEROFF", "STOPPED", "EPILOG_FAILURE"])
def test_recover_does_not_remove_the_only_copy(cloud2: HostGround, state: str, word: int) -> None:
    """Not while its disks are not saved, nor when nobody can tell; --force gives them up; other disks are no matter."""
    sim, image = cloud2.sim, cloud2.sim.add_image("own", persistent=True)
    vm = cloud2.vm(store=cloud2.own_store(), more=f"DISK=[IMAGE_ID={image}]")
    if state == "EPILOG_FAILURE":
        cloud2.script({"action": "tm.epilog", "fail": "no space"})
    if state != "RUNNING":
        action = {"POWEROFF": "poweroff-hard", "STOPPED": "stop", "EPILOG_FAILURE": "terminate-hard"}[state]
        sim.call("one.vm.action", action, vm)
        sim.wait(vm, state)
    with pytest.raises(Refused, match=r"its persistent disks \(0\) is not in their images; terminate or recover --re"):
        sim.call("one.vm.recover", vm, word)
    cloud2.script({"action": "tm.state", "fail": "no route"})
    with pytest.raises(Refused, match="as far as anybody can tell .*no route"):
        sim.call("one.vm.recover", vm, word)
    assert sim.state(vm) == state
    cloud2.script()
    sim.call("one.vm.recover", vm, word, True)
    sim.wait(vm, "DONE" if word == 3 else "PENDING")


def test_recover_removes_what_has_another_copy(cloud2: HostGround) -> None:
    """Disks that are not persistent, or are their images themselves; not what is being saved at the moment."""
    sim, own = cloud2.sim, cloud2.own_store()
    clone = cloud2.vm(store=own, more=f"DISK=[IMAGE_ID={sim.add_image('os')}]")
    shared = cloud2.vm(more=f"DISK=[IMAGE_ID={sim.add_image('one', persistent=True)}]")
    saved = cloud2.vm(store=own, more=f"DISK=[IMAGE_ID={sim.add_image('two', persistent=True)}]")
    cloud2.script({"action": "tm.epilog", "hang": True})
    sim.call("one.vm.action", "terminate-hard", saved)
    sim.wait(saved, "EPILOG")
    for vm in (clone, shared):
        sim.call("one.vm.recover", vm, 3)
        sim.wait(vm, "DONE")
    with pytest.raises(Refused, match="is not in their images"):
        sim.call("one.vm.recover", saved, 3)
