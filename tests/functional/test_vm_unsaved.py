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
