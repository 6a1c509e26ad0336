"""Locks of VMs, method by method: what each level forbids is decided by the right that the method takes."""
from __future__ import annotations

import pytest
from api_calls import LOCKED
from cloud_process import Cloud
from minimal_calls import MINIMAL

import onecore.kinds
from onecore.api import TABLE
from onecore.wire.client import ClientError

pytestmark = pytest.mark.surface

ADMIN, MANAGE = "ADMIN", "MANAGE"
RIGHTS = {
    "one.vm.action": MANAGE, "one.vm.attach": MANAGE, "one.vm.attachnic": MANAGE, "one.vm.attachsg": MANAGE,
    "one.vm.cancelexec": MANAGE, "one.vm.detachsg": MANAGE,
    "one.vm.chmod": MANAGE, "one.vm.chown": MANAGE, "one.vm.deploy": ADMIN, "one.vm.detach": MANAGE,
    "one.vm.detachnic": MANAGE, "one.vm.diskresize": MANAGE, "one.vm.disksaveas": MANAGE,
    "one.vm.disksnapshotcreate": MANAGE, "one.vm.disksnapshotdelete": MANAGE, "one.vm.disksnapshotrename": MANAGE,
    "one.vm.disksnapshotrevert": MANAGE, "one.vm.exec": MANAGE, "one.vm.migrate": ADMIN, "one.vm.recover": ADMIN,
    "one.vm.rename": MANAGE, "one.vm.resize": MANAGE, "one.vm.retryexec": MANAGE, "one.vm.schedadd": MANAGE,
    "one.vm.scheddelete": MANAGE, "one.vm.schedupdate": MANAGE, "one.vm.snapshotcreate": MANAGE,
    "one.vm.snapshotdelete": MANAGE, "one.vm.snapshotrevert": MANAGE, "one.vm.update": MANAGE,
    "one.vm.updateconf": MANAGE, "one.vm.updatenic": MANAGE, "one.vm.vmgroupadd": MANAGE, "one.vm.vmgroupdel": MANAGE,
}
"""What OpenNebula asks for each: ADMIN for what only operators do, MANAGE for the rest."""
ACTIONS = {"resched": ADMIN, "unresched": ADMIN, "hold": MANAGE, "poweroff": MANAGE, "terminate-hard": MANAGE}
"""one.vm.action asks by the action."""
BLOCKED = {1: {ADMIN, MANAGE}, 2: {ADMIN, MANAGE}, 3: {ADMIN}, 4: {ADMIN, MANAGE}}
"""What each level forbids of these: USE, MANAGE, ADMIN, ALL."""


def is_locked(cloud: Cloud, method: str, *arguments: object) -> bool:
    """Whether a call is answered with LOCKED; whatever else it is answered does not matter."""
    try:
        cloud.client.call(method, *arguments)
    except ClientError as error:
        if error.code == LOCKED:
            assert "is locked for" in str(error)
        return bool(error.code == LOCKED)
    return False


def test_every_method_is_in_the_table() -> None:
    """Of those that change a VM, but for lock and unlock themselves."""
    changing = {name for name, found in TABLE.items() if found.on == "vm" and not found.reads and
                name.startswith("one.") and not name.endswith(("lock",))}
    assert onecore.kinds is not None and changing == set(RIGHTS)


@pytest.mark.parametrize("level", BLOCKED)
@pytest.mark.parametrize("method", RIGHTS)
def test_a_locked_vm(cloud: Cloud, method: str, level: int) -> None:
    """Oneadmin is bound too; unlocked, all is as before."""
    vm = cloud.make_vm(hold=True)
    cloud.client.call("one.vm.lock", vm, level)
    arguments = [vm if value == 4711 else value for value in MINIMAL[method]]
    assert is_locked(cloud, method, *arguments) == (RIGHTS[method] in BLOCKED[level])
    if cloud.vm_state(vm) != "DONE":
        cloud.client.call("one.vm.unlock", vm)
        assert not is_locked(cloud, method, *arguments)
    if cloud.vm_state(vm) != "DONE":
        cloud.client.call("one.vm.recover", vm, 5)


@pytest.mark.parametrize("level", BLOCKED)
@pytest.mark.parametrize("action", ACTIONS)
def test_actions_of_a_locked_vm(cloud: Cloud, action: str, level: int) -> None:
    """By the action."""
    vm = cloud.make_vm()
    cloud.client.call("one.vm.lock", vm, level)
    assert is_locked(cloud, "one.vm.action", action, vm) == (ACTIONS[action] in BLOCKED[level])
    assert cloud.client.text("one.vm.info", vm) and cloud.client.text("one.vm.monitoring", vm)
    if cloud.vm_state(vm) != "DONE":
        cloud.client.call("one.vm.unlock", vm)
        cloud.client.call("one.vm.recover", vm, 5)


@pytest.mark.parametrize("level", BLOCKED)
def test_what_happens_by_itself_goes_on(cloud: Cloud, level: int) -> None:
    """A lock forbids calls; an operation that is under way ends, and what a guest does by itself is seen."""
    host = cloud.add_hosts(1)[0]
    vm = cloud.make_vm(DUMMY={"ACTION": "tm.prolog", "DELAY": "0.3"})
    cloud.client.call("one.vm.deploy", vm, host)
    cloud.client.call("one.vm.lock", vm, level)
    cloud.wait_vm(vm, "RUNNING")
    name = cloud.body("host", host).findtext("NAME") or ""
    (cloud.home / "dummy" / name / str(vm)).unlink()
    cloud.wait_vm(vm, "POWEROFF")
    cloud.client.call("one.vm.unlock", vm)
    cloud.client.call("one.vm.recover", vm, 3)
