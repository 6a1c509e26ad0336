"""Recover of what is under way: the six operations while a driver hangs; hard actions that overtake soft ones."""
from __future__ import annotations

import pytest
from api_calls import ACTION, refused
from cloud_process import Cloud, template

pytestmark = pytest.mark.surface

FAILURE, SUCCESS, RETRY, DELETE, RECREATE, DELETE_DB = range(6)


@pytest.fixture(scope="module")
def host(shared_cloud: Cloud) -> int:
    """A host for the VMs of this module."""
    return shared_cloud.add_hosts(1)[0]


UNDER_WAY: dict[str, tuple[str, str, str, str]] = {
    "PROLOG": ("deploy", "tm.prolog", "PROLOG_FAILURE", "RUNNING"),
    "BOOT": ("deploy", "vm.deploy", "BOOT_FAILURE", "RUNNING"),
    "SAVE_SUSPEND": ("suspend", "vm.save", "RUNNING", "SUSPENDED"),
    "SHUTDOWN_POWEROFF": ("poweroff", "vm.shutdown", "RUNNING", "POWEROFF"),
    "SHUTDOWN": ("terminate", "vm.shutdown", "RUNNING", "DONE"),
    "EPILOG": ("terminate", "tm.epilog", "EPILOG_FAILURE", "DONE"),
    "EPILOG_STOP": ("stop", "tm.epilog_stop", "EPILOG_STOP_FAILURE", "STOPPED"),
}
"""State: the operation, the driver action that hangs, where failure leads, where success leads."""


@pytest.mark.parametrize("operation", [FAILURE, SUCCESS, RETRY, DELETE, RECREATE, DELETE_DB])
@pytest.mark.parametrize("state", UNDER_WAY)
def test_recover_of_what_hangs(cloud: Cloud, host: int, state: str, operation: int) -> None:
    """The operator's word stands in for the driver's; what hangs is ended."""
    action, command, failure, success = UNDER_WAY[state]
    vm = cloud.make_vm()
    if action != "deploy":
        cloud.deploy(vm, host)
    cloud.client.call("one.vm.update", vm, template({"DUMMY": {"ACTION": command, "HANG": "YES"}}), 0)
    if action == "deploy":
        cloud.client.call("one.vm.deploy", vm, host)
    else:
        cloud.client.call("one.vm.action", action, vm)
    cloud.wait_vm(vm, state)
    cloud.client.call("one.vm.update", vm, "", 0)  # the command under way hangs on
    cloud.client.call("one.vm.recover", vm, operation, True)
    wanted = {FAILURE: failure, SUCCESS: success, RETRY: success, RECREATE: "PENDING"}.get(operation, "DONE")
    cloud.wait_vm(vm, wanted)
    if wanted != "DONE":
        cloud.client.call("one.vm.recover", vm, DELETE)
        cloud.wait_vm(vm, "DONE")
    assert cloud.body("host", host).findtext("HOST_SHARE/RUNNING_VMS") == "0"


@pytest.mark.parametrize(("action", "state", "hard", "after"), [
    ("terminate", "SHUTDOWN", "terminate-hard", "DONE"), ("poweroff", "SHUTDOWN_POWEROFF", "poweroff-hard", "POWEROFF"),
    ("undeploy", "SHUTDOWN_UNDEPLOY", "undeploy-hard", "UNDEPLOYED")])
def test_hard_ones_overtake_a_shutdown(cloud: Cloud, host: int, action: str, state: str, hard: str, after: str) -> None:
    """A guest that does not listen to ACPI is ended when the user says so."""
    vm = cloud.make_vm()
    cloud.deploy(vm, host)
    cloud.client.call("one.vm.update", vm, template({"DUMMY": {"ACTION": "vm.shutdown", "HANG": "YES"}}), 0)
    cloud.client.call("one.vm.action", action, vm)
    cloud.wait_vm(vm, state)
    refused(cloud.client, ACTION, "one.vm.action", action, vm)
    cloud.client.call("one.vm.action", hard, vm)
    cloud.wait_vm(vm, after)
    if after != "DONE":
        cloud.client.call("one.vm.action", "terminate", vm)
        cloud.wait_vm(vm, "DONE")
