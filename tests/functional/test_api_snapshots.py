"""one.vm.disksnapshot*: what clients see in each state, what is refused, who may."""
from __future__ import annotations

from collections.abc import Iterator

import pyone
import pytest
from api_bodies import end, vector
from api_calls import ACTION, AUTHORIZATION, LOCKED, RPC_API, Watch, refused
from cloud_process import Cloud, unique, vm_template
from xsd import validate

STATES = {"RUNNING": ("DISK_SNAPSHOT", "DISK_SNAPSHOT_DELETE"),
          "POWEROFF": ("DISK_SNAPSHOT_POWEROFF", "DISK_SNAPSHOT_DELETE_POWEROFF"),
          "SUSPENDED": ("DISK_SNAPSHOT_SUSPENDED", "DISK_SNAPSHOT_DELETE_SUSPENDED")}


class Place:
    """A host, images, and a VM that runs: a disk of a qcow2 image, a volatile one, a CD, one of a raw image."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.host = cloud, cloud.add_hosts(1)[0]
        self.image, self.raw = cloud.make_image(FORMAT="qcow2"), cloud.make_image()
        cd = cloud.make_image(TYPE="CDROM", PATH="/some/cd.iso")
        self.vm = cloud.make_vm(DISK=[{"IMAGE_ID": self.image}, {"TYPE": "fs", "SIZE": 1}, {"IMAGE_ID": cd},
                                      {"IMAGE_ID": self.raw}])
        cloud.deploy(self.vm, self.host)

    def bring(self, state: str) -> int:
        """A VM in STATE, of the qcow2 image."""
        vm = self.cloud.make_vm(image=self.image)
        self.cloud.deploy(vm, self.host)
        if state != "RUNNING":
            self.cloud.client.call("one.vm.action", {"POWEROFF": "poweroff", "SUSPENDED": "suspend"}[state], vm)
            self.cloud.wait_vm(vm, state)
        return vm

    def make(self, vm: int, name: str = "", disk: int = 0, state: str = "RUNNING") -> int:
        """A snapshot; waits."""
        made = self.cloud.client.number("one.vm.disksnapshotcreate", vm, disk, name)
        self.cloud.wait_vm(vm, state)
        return made


@pytest.fixture(scope="module")
def place(shared_cloud: Cloud) -> Iterator[Place]:
    """One for the module."""
    made = Place(shared_cloud)
    yield made
    end(shared_cloud, made.vm)


@pytest.fixture(autouse=True)
def _usual_dummies(cloud: Cloud) -> Iterator[None]:
    yield
    cloud.dummy()


def shown(cloud: Cloud, vm: int, number: int = 0) -> list[dict[str, str]]:
    """The SNAPSHOTs of the first disk that has some."""
    found = cloud.body("vm", vm).findall("SNAPSHOTS")
    return [{leaf.tag: leaf.text or "" for leaf in one} for one in found[number].findall("SNAPSHOT")] if found else []


@pytest.mark.parametrize("state", STATES)
def test_bodies_meanwhile(cloud: Cloud, place: Place, state: str) -> None:
    """The public states; each body is what the schema says."""
    vm, (making, deleting) = place.bring(state), STATES[state]
    place.make(vm, "first", state=state)
    cloud.hold("*")
    assert cloud.client.call("one.vm.disksnapshotcreate", vm, 0, "second") == 1
    assert cloud.vm_state(vm) == making
    validate("vm", cloud.client.text("one.vm.info", vm))
    validate("vm_pool", cloud.client.text("one.vmpool.info", -2, vm, vm, -1))
    assert making in refused(cloud.client, ACTION, "one.vm.disksnapshotcreate", vm, 0, "third")
    cloud.dummy()
    cloud.wait_vm(vm, state)
    first, second = shown(cloud, vm)
    assert (first["NAME"], first["PARENT"], first["CHILDREN"], first["SIZE"]) == ("first", "-1", "1", "64")
    assert (second["ACTIVE"], second["PARENT"]) == ("YES", "0") and int(second["DATE"]) > 1_600_000_000
    assert vector(cloud.body("vm", vm), "TEMPLATE/DISK")["DISK_SNAPSHOT_TOTAL_SIZE"] == "128"
    if state == "POWEROFF":
        cloud.hold("*")
        assert cloud.client.call("one.vm.disksnapshotrevert", vm, 0, 0) == 0
        assert cloud.vm_state(vm) == "DISK_SNAPSHOT_REVERT_POWEROFF"
        validate("vm", cloud.client.text("one.vm.info", vm))
        cloud.dummy()
        cloud.wait_vm(vm, state)
        assert [s.get("ACTIVE") for s in shown(cloud, vm)] == ["YES", None]
        cloud.hold("*")
        assert cloud.client.call("one.vm.disksnapshotdelete", vm, 0, 1) == 1
        assert cloud.vm_state(vm) == deleting
        validate("vm", cloud.client.text("one.vm.info", vm))
        cloud.dummy()
        cloud.wait_vm(vm, state)
        assert [s["ID"] for s in shown(cloud, vm)] == ["0"] and "CHILDREN" not in shown(cloud, vm)[0]
    end(cloud, vm)
    validate("vm", cloud.client.text("one.vm.info", vm))


def test_snapshots_of_raw_disks(cloud: Cloud, place: Place) -> None:
    """Copies: ALLOW_ORPHANS, no parents, deleted in any order but for the active one."""
    vm = cloud.make_vm(image=place.raw)
    cloud.deploy(vm, place.host)
    for _ in range(3):
        place.make(vm)
    found = cloud.body("vm", vm).find("SNAPSHOTS")
    assert found is not None and found.findtext("ALLOW_ORPHANS") == "YES"
    assert [(s["PARENT"], s.get("CHILDREN"), s.get("NAME")) for s in shown(cloud, vm)] == [("-1", None, None)] * 3
    cloud.hold("*")
    cloud.client.call("one.vm.disksnapshotdelete", vm, 0, 1)
    assert cloud.vm_state(vm) == "DISK_SNAPSHOT_DELETE"
    validate("vm", cloud.client.text("one.vm.info", vm))
    cloud.dummy()
    cloud.wait_vm(vm, "RUNNING")
    assert "active" in refused(cloud.client, ACTION, "one.vm.disksnapshotdelete", vm, 0, 2)
    assert [s["ID"] for s in shown(cloud, vm)] == ["0", "2"]
    end(cloud, vm)


def test_pyone(cloud: Cloud, place: Place) -> None:
    """OpenNebula's own binding does it and reads it."""
    one, vm = pyone.OneServer(cloud.endpoint, session=":".join(cloud.credentials())), place.bring("POWEROFF")
    assert one.vm.disksnapshotcreate(vm, 0, "a <b>") == 0
    cloud.wait_vm(vm, "POWEROFF")
    assert one.vm.disksnapshotrename(vm, 0, 0, "é & c") == 0
    found = one.vm.info(vm).SNAPSHOTS[0]
    assert (found.DISK_ID, found.NEXT_SNAPSHOT, found.SNAPSHOT[0].NAME, found.SNAPSHOT[0].SIZE) == (0, 1, "é & c", 64)
    assert one.vm.disksnapshotrevert(vm, 0, 0) == 0
    cloud.wait_vm(vm, "POWEROFF")
    with pytest.raises(pyone.OneActionException, match="active"):
        one.vm.disksnapshotdelete(vm, 0, 0)
    end(cloud, vm)


BAD = [
    # method     arguments                              code     what is said
    ("create", (7, "a"), ACTION, "has no disk 7; its disks are 0, 1, 2, 3"),
    ("create", (-1, "a"), ACTION, "has no disk -1"),
    ("create", (1, "a"), ACTION, "volatile"),
    ("create", (2, "a"), ACTION, "read-only"),
    ("create", (0, "x" * 129), RPC_API, "128 characters"),
    ("create", (0, "a\nb"), RPC_API, "one line"),
    ("create", (0,), RPC_API, "name"),
    ("create", ("0", "a"), RPC_API, "disk_id"),
    ("delete", (7, 0), ACTION, "has no disk 7"),
    ("delete", (0, 5), ACTION, "has no snapshot 5; its snapshots are 0, 1"),
    ("delete", (3, 0), ACTION, "has no snapshot 0; its snapshots are none"),
    ("delete", (0, 0), ACTION, "children"),
    ("delete", (0, 1), ACTION, "active"),
    ("revert", (0, 0), ACTION, "in state RUNNING; it is possible in POWEROFF"),
    ("rename", (0, 5, "a"), ACTION, "has no snapshot 5"),
    ("rename", (0, 0, "x" * 129), RPC_API, "128 characters"),
    ("rename", (7, 0, "a"), ACTION, "has no disk 7"),
]


def test_what_is_refused(cloud: Cloud, place: Place) -> None:
    """With the right code and a text that says why; nothing changes."""
    for _ in range(2 - len(shown(cloud, place.vm))):
        place.make(place.vm)
    watch = Watch(cloud)
    for verb, arguments, code, said in BAD:
        text = refused(cloud.client, code, f"one.vm.disksnapshot{verb}", place.vm, *arguments)
        assert said in text, (verb, arguments)
    watch.check()


def test_who_may(cloud: Cloud, place: Place) -> None:
    """MANAGE of the VM; locks."""
    _, user = cloud.make_user()
    vm = user.number("one.vm.allocate", vm_template(unique("vm")), True)
    for verb, arguments in (("create", (0, "a")), ("delete", (0, 0)), ("revert", (0, 0)), ("rename", (0, 0, "a"))):
        assert "Not authorized" in refused(user, AUTHORIZATION, f"one.vm.disksnapshot{verb}", place.vm, *arguments)
        refused(user, ACTION, f"one.vm.disksnapshot{verb}", vm, *arguments)
        user.call("one.vm.lock", vm, 2)
        refused(user, LOCKED, f"one.vm.disksnapshot{verb}", vm, *arguments)
        user.call("one.vm.unlock", vm)
    end(cloud, vm)
