"""The clouds of the tests themselves: they start, place a VM, stop, and come back after a kill."""
from __future__ import annotations

from cloud_process import Cloud
from makers import MakeCloud


def test_a_vm_from_create_to_done(cloud: Cloud) -> None:
    """By hand, without the match-maker."""
    host = cloud.add_hosts(1)[0]
    vm = cloud.make_vm(image=cloud.make_image(), network=cloud.make_network())
    assert cloud.vm_state(vm) == "PENDING"
    cloud.deploy(vm, host)
    cloud.client.call("one.vm.action", "terminate", vm)
    cloud.wait_vm(vm, "DONE")


def test_the_match_maker_places_and_a_kill_loses_nothing(make_cloud: MakeCloud) -> None:
    """onesched deploys; oned comes back after kill -9 with what it had; SIGTERM ends it with 0."""
    cloud = make_cloud()
    cloud.add_hosts(2)
    cloud.start_scheduler()
    vm = cloud.make_vm()
    cloud.wait_vm(vm, "RUNNING")
    cloud.kill()
    cloud.start()
    assert cloud.vm_state(vm) == "RUNNING"
    assert cloud.stop() == 0
