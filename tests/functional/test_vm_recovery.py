"""Each failure state that a driver can cause, and each way out of it; deadlines; what is left of a VM: nothing."""
from __future__ import annotations

from dataclasses import dataclass

import pytest
from api_calls import ACTION, RPC_API, refused
from cloud_process import Cloud, unique, until
from makers import MakeCloud

from onecore.wire.client import ClientError

FAILURE, SUCCESS, RETRY, DELETE, RECREATE, DELETE_DB = range(6)


@dataclass(frozen=True)
class Way:
    """Steps (action, state it leads to) to where ACTION fails by driver action FAILS; WELL: where it would have led."""

    steps: tuple[tuple[str, str], ...]
    action: str
    fails: str
    well: str


_RUNS = (("deploy", "RUNNING"),)
_STOPPED = (*_RUNS, ("stop", "STOPPED"))
_UNDEPLOYED = (*_RUNS, ("undeploy", "UNDEPLOYED"))
WAYS = {
    "PROLOG_FAILURE": Way((), "deploy", "tm.prolog", "RUNNING"),
    "BOOT_FAILURE": Way((), "deploy", "vm.deploy", "RUNNING"),
    "EPILOG_FAILURE": Way(_RUNS, "terminate", "tm.epilog", "DONE"),
    "EPILOG_STOP_FAILURE": Way(_RUNS, "stop", "tm.epilog_stop", "STOPPED"),
    "EPILOG_UNDEPLOY_FAILURE": Way(_RUNS, "undeploy", "tm.epilog_stop", "UNDEPLOYED"),
    "PROLOG_RESUME_FAILURE": Way(_STOPPED, "deploy", "tm.prolog_resume", "RUNNING"),
    "BOOT_STOPPED_FAILURE": Way(_STOPPED, "deploy", "vm.restore", "RUNNING"),
    "PROLOG_UNDEPLOY_FAILURE": Way(_UNDEPLOYED, "deploy", "tm.prolog_resume", "RUNNING"),
    "BOOT_UNDEPLOY_FAILURE": Way(_UNDEPLOYED, "deploy", "vm.deploy", "RUNNING"),
}


@dataclass
class Place:
    """A cloud with a host, an image and a network of the module's own."""

    cloud: Cloud
    host: int
    image: int
    network: int

    def vm(self) -> int:
        """A VM with a disk and an address."""
        return self.cloud.make_vm(image=self.image, network=self.network)

    def act(self, action: str, vms: list[int], state: str) -> None:
        """The same action on each VM, and wait for the state."""
        for vm in vms:
            if action == "deploy":
                self.cloud.client.call("one.vm.deploy", vm, self.host)
            else:
                self.cloud.client.call("one.vm.action", action, vm)
        for vm in vms:
            self.cloud.wait_vm(vm, state)

    def bad(self, vm: int, action: str) -> None:
        """Have a driver's action fail for a VM from now on."""
        self.cloud.client.call("one.vm.update", vm, f'DUMMY=[ACTION="{action}",FAIL="boom {vm}"]', 1)

    def good(self, vm: int) -> None:
        """The fault is mended."""
        self.cloud.client.call("one.vm.update", vm, "", 0)

    def check_empty(self) -> None:
        """No lease, image, capacity or guest is kept by anything."""
        assert self.cloud.body("vn", self.network).findtext("USED_LEASES") == "0"
        image = self.cloud.body("image", self.image)
        assert (image.findtext("STATE"), image.findtext("RUNNING_VMS")) == ("1", "0")
        host = self.cloud.body("host", self.host)
        share = {key: host.findtext(f"HOST_SHARE/{key}") for key in ("RUNNING_VMS", "CPU_USAGE", "MEM_USAGE")}
        assert set(share.values()) == {"0"}, share
        guests = self.cloud.home / "dummy" / str(host.findtext("NAME"))
        assert not guests.exists() or not [p for p in guests.iterdir() if p.name.isdigit()]


@pytest.fixture(scope="module")
def place(shared_cloud: Cloud) -> Place:
    """One for all tests: each ends all its VMs."""
    return Place(shared_cloud, shared_cloud.add_hosts(1)[0], shared_cloud.make_image(), shared_cloud.make_network())


def fail(place: Place, state: str, number: int) -> list[int]:
    """That many VMs in a failure state."""
    way = WAYS[state]
    vms = [place.vm() for _ in range(number)]
    for action, reached in way.steps:
        place.act(action, vms, reached)
    for vm in vms:
        place.bad(vm, way.fails)
    place.act(way.action, vms, state)
    return vms


@pytest.mark.parametrize("state", WAYS)
def test_ways_out_of_a_failure(place: Place, state: str) -> None:
    """The six operations of recover, another try that fails again, and terminate."""
    cloud, well = place.cloud, WAYS[state].well
    stays, passed, again, mended, deleted, recreated, dropped, ended = vms = fail(place, state, 8)
    for vm in vms:
        assert f"boom {vm}" in cloud.body("vm", vm).findtext("USER_TEMPLATE/ERROR", "")
        refused(cloud.client, ACTION, "one.vm.action", "resume", vm)
    cloud.client.call("one.vm.recover", stays, FAILURE)
    cloud.client.call("one.vm.recover", passed, SUCCESS, True)
    cloud.client.call("one.vm.recover", again, RETRY)
    place.good(mended)
    cloud.client.call("one.vm.recover", mended, RETRY)
    cloud.client.call("one.vm.recover", deleted, DELETE)
    cloud.client.call("one.vm.recover", recreated, RECREATE)
    cloud.client.call("one.vm.recover", dropped, DELETE_DB)
    cloud.client.call("one.vm.action", "terminate", ended)
    if WAYS[state].fails != "tm.prolog" or well != "RUNNING":
        cloud.wait_vm(passed, well)
    ways = {stays: state, mended: well, deleted: "DONE", recreated: "PENDING", dropped: "DONE", ended: "DONE"}
    for vm, reached in ways.items():
        cloud.wait_vm(vm, reached)
    until(5, "the second failure", lambda: cloud.client.text("onecore.vm.log", again, 200).count(f"boom {again}") >= 2)
    assert cloud.vm_state(again) == state
    assert cloud.body("vm", mended).find("USER_TEMPLATE/ERROR") is None
    assert cloud.body("vm", recreated).findtext("USER_TEMPLATE/DUMMY/FAIL") == f"boom {recreated}"
    for vm in vms:
        if cloud.vm_state(vm) != "DONE":
            cloud.client.call("one.vm.recover", vm, DELETE)
        cloud.wait_vm(vm, "DONE")
    place.check_empty()


def test_a_new_life_after_recreate(place: Place) -> None:
    """The same id, its addresses and disks, on another host even; the next stay is the next record."""
    cloud = place.cloud
    vm = fail(place, "BOOT_FAILURE", 1)[0]
    ip = cloud.body("vm", vm).findtext("TEMPLATE/NIC/IP")
    cloud.client.call("one.vm.recover", vm, RECREATE)
    cloud.wait_vm(vm, "PENDING")
    other = cloud.add_hosts(1)[0]
    place.good(vm)
    cloud.deploy(vm, other)
    body = cloud.body("vm", vm)
    assert [(h.findtext("SEQ"), h.findtext("HID"), h.findtext("ACTION")) for h in body.iter("HISTORY")] == [
        ("0", str(place.host), "14"), ("1", str(other), "0")]
    assert body.findtext("TEMPLATE/NIC/IP") == ip
    place.act("terminate-hard", [vm], "DONE")
    place.check_empty()


@pytest.mark.parametrize(("fails", "before", "action", "back"), [
    ("vm.save", "RUNNING", "suspend", "RUNNING"), ("vm.save", "RUNNING", "stop", "RUNNING"),
    ("vm.shutdown", "RUNNING", "poweroff", "RUNNING"), ("vm.shutdown", "RUNNING", "undeploy", "RUNNING"),
    ("vm.shutdown", "RUNNING", "terminate", "RUNNING"), ("vm.destroy", "RUNNING", "terminate-hard", "RUNNING"),
    ("vm.reboot", "RUNNING", "reboot", "RUNNING"), ("vm.deploy", "POWEROFF", "resume", "POWEROFF"),
    ("vm.restore", "SUSPENDED", "resume", "SUSPENDED")])
def test_what_fails_and_goes_back(place: Place, fails: str, before: str, action: str, back: str) -> None:
    """To where it came from, with the error; the same again works when the fault is mended."""
    cloud, vm = place.cloud, place.vm()
    place.act("deploy", [vm], "RUNNING")
    if before != "RUNNING":
        place.act({"POWEROFF": "poweroff", "SUSPENDED": "suspend"}[before], [vm], before)
    place.bad(vm, fails)
    cloud.client.call("one.vm.action", action, vm)
    until(5, "the error", lambda: cloud.body("vm", vm).findtext("USER_TEMPLATE/ERROR"))
    cloud.wait_vm(vm, back)
    place.good(vm)
    cloud.client.call("one.vm.action", action, vm)
    cloud.wait_vm(vm, {"suspend": "SUSPENDED", "stop": "STOPPED", "poweroff": "POWEROFF", "undeploy": "UNDEPLOYED",
                       "reboot": "RUNNING", "resume": "RUNNING"}.get(action, "DONE"))
    assert cloud.body("vm", vm).find("USER_TEMPLATE/ERROR") is None
    if cloud.vm_state(vm) != "DONE":
        cloud.client.call("one.vm.recover", vm, DELETE)
        cloud.wait_vm(vm, "DONE")
    place.check_empty()


@pytest.mark.parametrize("state", ["PENDING", "HOLD", "STOPPED", "UNDEPLOYED", "POWEROFF", "SUSPENDED", "RUNNING"])
def test_delete_and_recreate_where_nothing_failed(place: Place, state: str) -> None:
    """From every state that stays: DONE without traces, or PENDING from nothing."""
    cloud = place.cloud
    deleted, recreated, dropped = vms = [place.vm() for _ in range(3)]
    leads = {"STOPPED": "stop", "UNDEPLOYED": "undeploy", "POWEROFF": "poweroff", "SUSPENDED": "suspend"}
    if state == "HOLD":
        place.act("hold", vms, "HOLD")
    elif state != "PENDING":
        place.act("deploy", vms, "RUNNING")
        if state in leads:
            place.act(leads[state], vms, state)
    cloud.client.call("one.vm.recover", deleted, DELETE)
    cloud.client.call("one.vm.recover", recreated, RECREATE)
    cloud.wait_vm(deleted, "DONE")
    cloud.wait_vm(recreated, "PENDING")
    refused(cloud.client, RPC_API, "one.vm.recover", recreated, 6)
    for operation in (FAILURE, SUCCESS, RETRY):
        refused(cloud.client, ACTION, "one.vm.recover", recreated, operation)
        refused(cloud.client, ACTION, "one.vm.recover", deleted, operation)
    place.act("deploy", [recreated], "RUNNING")
    place.act("terminate", [recreated], "DONE")
    if state == "RUNNING":  # delete-db forgets; its guest is on the host still
        place.act("poweroff", [dropped], "POWEROFF")
    cloud.client.call("one.vm.recover", dropped, DELETE_DB)
    cloud.wait_vm(dropped, "DONE")
    place.check_empty()


def test_recover_of_what_is_under_way(place: Place) -> None:
    """An operator's word in place of the driver's answer, which counts no more when it comes."""
    cloud = place.cloud
    vms = [place.vm() for _ in range(4)]
    for vm in vms:
        cloud.client.call("one.vm.update", vm, 'DUMMY=[ACTION="tm.prolog",HANG="YES"]', 1)
    place.act("deploy", vms, "PROLOG")
    failed, passed, again, deleted = vms
    cloud.client.call("one.vm.recover", failed, FAILURE)
    cloud.client.call("one.vm.recover", passed, SUCCESS, True)
    place.good(again)
    cloud.client.call("one.vm.recover", again, RETRY)
    cloud.client.call("one.vm.recover", deleted, DELETE)
    for vm, state in zip(vms, ("PROLOG_FAILURE", "RUNNING", "RUNNING", "DONE"), strict=True):
        cloud.wait_vm(vm, state)
    place.act("terminate", [failed, passed, again], "DONE")
    place.check_empty()


def test_deadlines(make_cloud: MakeCloud) -> None:
    """What hangs is failed when its time is over; retry after the fault does it; a hanging clean-up still ends."""
    cloud = make_cloud({"deadlines": {"prolog": 1, "deploy": 1, "save": 1, "epilog": 1, "cleanup": 1, "grace": 1}})
    place = Place(cloud, cloud.add_hosts(1)[0], cloud.make_image(), cloud.make_network())
    hangs = {"tm.prolog": "PROLOG_FAILURE", "vm.deploy": "BOOT_FAILURE", "vm.save": "RUNNING",
             "tm.epilog": "EPILOG_FAILURE"}
    vms = {place.vm(): action for action in hangs}
    for vm, action in vms.items():
        cloud.client.call("one.vm.update", vm, f'DUMMY=[ACTION="{action}",HANG="YES"]', 1)
        cloud.client.call("one.vm.deploy", vm, place.host)
    prolog, boot, save, epilog = vms
    cloud.wait_vm(save, "RUNNING")
    cloud.client.call("one.vm.action", "suspend", save)
    cloud.wait_vm(epilog, "RUNNING")
    cloud.client.call("one.vm.action", "terminate", epilog)
    for vm, action in vms.items():
        until(6, f"the error of {action}", lambda vm=vm: cloud.body("vm", vm).findtext("USER_TEMPLATE/ERROR"))
        assert "1 s" in cloud.body("vm", vm).findtext("USER_TEMPLATE/ERROR", "")
        cloud.wait_vm(vm, hangs[action])
    for vm, state in ((prolog, "RUNNING"), (boot, "RUNNING"), (epilog, "DONE")):
        place.good(vm)
        cloud.client.call("one.vm.recover", vm, RETRY)
        cloud.wait_vm(vm, state)
    place.good(save)
    place.act("suspend", [save], "SUSPENDED")
    for vm in (prolog, boot, save):
        cloud.client.call("one.vm.update", vm, 'DUMMY=[ACTION="tm.delete",HANG="YES"]', 1)
        cloud.client.call("one.vm.recover", vm, DELETE)
    for vm in (prolog, boot, save):
        cloud.wait_vm(vm, "DONE")
    place.check_empty()


def test_a_clean_up_that_fails_is_owed(place: Place) -> None:
    """The VM ends none the less; the host does it later."""
    cloud, vm = place.cloud, place.vm()
    place.act("deploy", [vm], "RUNNING")
    host = cloud.body("host", place.host).findtext("NAME")
    cloud.dummy(rules=[{"action": "vm.cleanup", "host": host, "fail": "busy"}])
    cloud.client.call("one.vm.recover", vm, DELETE)
    cloud.wait_vm(vm, "DONE")
    refused(cloud.client, ACTION, "one.vm.recover", vm, DELETE)
    guest = cloud.home / "dummy" / str(host) / str(vm)
    assert guest.exists()
    cloud.dummy()
    until(60, "the host to end the guest", lambda: not guest.exists())
    place.check_empty()


def test_an_image_that_fails_while_a_vm_waits(place: Place) -> None:
    """CLONING_FAILURE; recover says what it waits for; the image enabled again lets it go on; terminate frees it."""
    cloud = place.cloud
    cloud.hold("ds.mkfs", fail="no room")
    late = cloud.client.number("one.image.allocate", f'NAME="{unique("late")}"\nTYPE=OS\nSIZE=10', 1)
    ended, held = cloud.make_vm(image=late), cloud.make_vm(image=late, hold=True)
    assert [cloud.vm_state(vm) for vm in (ended, held)] == ["CLONING"] * 2
    with pytest.raises(ClientError, match=f"image {late} .* is being made"):
        cloud.client.call("one.vm.recover", held, RETRY)
    cloud.dummy(rules=[{"action": "ds.mkfs", "fail": "no room"}])
    for vm in (ended, held):
        cloud.wait_vm(vm, "CLONING_FAILURE")
        assert "no room" in cloud.body("vm", vm).findtext("USER_TEMPLATE/ERROR", "")
        for operation in (FAILURE, SUCCESS):
            cloud.client.call("one.vm.recover", vm, operation, True)
        with pytest.raises(ClientError, match=f"by itself .* image {late} .* no room; `oneimage enable {late}`"):
            cloud.client.call("one.vm.recover", vm, RETRY)
    cloud.dummy()
    assert cloud.body("image", late).findtext("STATE") == "5"
    cloud.client.call("one.vm.action", "terminate", ended)
    cloud.client.call("one.image.enable", late, True)
    assert cloud.vm_state(held) == "HOLD"
    assert cloud.body("image", late).findtext("STATE") == "2"
    cloud.client.call("one.vm.action", "terminate", held)
    assert (cloud.body("image", late).findtext("STATE"), cloud.vm_state(held)) == ("1", "DONE")
    cloud.client.call("one.image.delete", late)
