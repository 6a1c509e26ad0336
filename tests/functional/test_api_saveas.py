"""one.vm.diskresize and disksaveas: what clients see in each state, what is refused, who may."""
from __future__ import annotations

from collections.abc import Iterator

import pyone
import pytest
from api_bodies import end, vector
from api_calls import ACTION, ALLOCATE, AUTHORIZATION, LOCKED, RPC_API, Watch, refused
from cloud_process import Cloud, template, unique, until, vm_template
from xsd import validate

LEADS = {"POWEROFF": "poweroff", "SUSPENDED": "suspend", "STOPPED": "stop", "UNDEPLOYED": "undeploy"}


class Place:
    """A host, an image of type OS, a VM that runs: a disk of that image, a volatile one, a CD."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.host = cloud, cloud.add_hosts(1)[0]
        self.image, cd = cloud.make_image(TYPE="OS", DEV_PREFIX="sd"), cloud.make_image(TYPE="CDROM", PATH="/a/cd.iso")
        self.vm = cloud.make_vm(DISK=[{"IMAGE_ID": self.image}, {"TYPE": "fs", "SIZE": 5}, {"IMAGE_ID": cd}])
        cloud.deploy(self.vm, self.host)

    def bring(self, state: str) -> int:
        """A VM in STATE."""
        vm = self.cloud.make_vm(image=self.image)
        self.cloud.deploy(vm, self.host)
        if state != "RUNNING":
            self.cloud.client.call("one.vm.action", LEADS[state], vm)
            self.cloud.wait_vm(vm, state)
        return vm


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


def check(cloud: Cloud, vm: int) -> None:
    """The bodies of the VM are what the schemas say."""
    validate("vm", cloud.client.text("one.vm.info", vm))
    validate("vm_pool", cloud.client.text("one.vmpool.info", -2, vm, vm, -1))


RESIZING = {"RUNNING": "DISK_RESIZE", "POWEROFF": "DISK_RESIZE_POWEROFF", "UNDEPLOYED": "DISK_RESIZE_UNDEPLOYED"}
SAVING = {"RUNNING": "HOTPLUG_SAVEAS", "POWEROFF": "HOTPLUG_SAVEAS_POWEROFF", "SUSPENDED": "HOTPLUG_SAVEAS_SUSPENDED",
          "STOPPED": "HOTPLUG_SAVEAS_STOPPED", "UNDEPLOYED": "HOTPLUG_SAVEAS_UNDEPLOYED"}


@pytest.mark.parametrize("state", SAVING)
def test_bodies_meanwhile(cloud: Cloud, place: Place, state: str) -> None:
    """The public states; each body is what the schema says; the image's too."""
    vm = place.bring(state)
    if state in RESIZING:
        cloud.hold("*")
        assert cloud.client.call("one.vm.diskresize", vm, 0, "100") == vm
        assert cloud.vm_state(vm) == RESIZING[state]
        check(cloud, vm)
        cloud.dummy()
        cloud.wait_vm(vm, state)
        assert vector(cloud.body("vm", vm), "TEMPLATE/DISK")["SIZE"] == "100"
    cloud.hold("*")
    image = cloud.client.number("one.vm.disksaveas", vm, 0, unique("copy"), "", -1)
    assert cloud.vm_state(vm) == SAVING[state]
    check(cloud, vm)
    assert cloud.body("image", image).findtext("STATE") == "4"
    validate("image", cloud.client.text("one.image.info", image))
    assert "being saved" in refused(cloud.client, RPC_API, "one.image.delete", image, True)
    cloud.dummy()
    cloud.wait_vm(vm, state)
    check(cloud, vm)
    body = cloud.body("image", image)
    assert (body.findtext("STATE"), body.findtext("TYPE"), body.findtext("DATASTORE_ID")) == ("1", "0", "1")
    assert body.findtext("SIZE") == ("100" if state in RESIZING else "64")
    assert body.findtext("TEMPLATE/DEV_PREFIX") == "sd"
    assert body.findtext("TEMPLATE/SAVED_VM_ID") == str(vm)
    cloud.client.call("one.image.delete", image)
    end(cloud, vm)


def test_types_and_names(cloud: Cloud, place: Place) -> None:
    """As the disk's image unless asked otherwise; a volatile one a DATABLOCK; what snap_id means, and its default."""
    for disk, given, kind in ((0, "", "0"), (0, "datablock", "2"), (1, "", "2"), (1, "OS", "0"), (2, "", "1")):
        name = unique("copy")
        image = cloud.client.number("one.vm.disksaveas", place.vm, disk, name, given)
        cloud.wait_vm(place.vm, "RUNNING")
        body = cloud.body("image", image)
        assert (body.findtext("TYPE"), body.findtext("NAME"), body.findtext("STATE")) == (kind, name, "1")
        cloud.client.call("one.image.delete", image)


def test_pyone(cloud: Cloud, place: Place) -> None:
    """OpenNebula's own binding does it."""
    one, vm = pyone.OneServer(cloud.endpoint, session=":".join(cloud.credentials())), place.bring("POWEROFF")
    assert one.vm.diskresize(vm, 0, "128") == vm
    cloud.wait_vm(vm, "POWEROFF")
    image = one.vm.disksaveas(vm, 0, unique("copy"), "OS", -1)
    until(5, "the image", lambda: one.image.info(image).STATE == pyone.IMAGE_STATES.READY)
    assert one.image.info(image).SIZE == 128
    one.image.delete(image)
    with pytest.raises(pyone.OneActionException, match="has no disk 9"):
        one.vm.disksaveas(vm, 9, "x", "", -1)
    end(cloud, vm)


BAD = [
    # method      arguments                           code     what is said
    ("resize", (7, "99"), ACTION, "has no disk 7; its disks are 0, 1, 2"),
    ("resize", (0, ""), RPC_API, "new_size"),
    ("resize", (0, "x"), RPC_API, "new_size"),
    ("resize", (0, "1.5"), RPC_API, "new_size"),
    ("resize", (0, "-5"), RPC_API, "new_size"),
    ("resize", (0, "9" * 5000), RPC_API, "new_size"),
    ("resize", (0, "64"), ACTION, "has 64 MB; disks only grow"),
    ("resize", (0, "9"), ACTION, "has 64 MB; disks only grow"),
    ("resize", (0, "99999999"), ACTION, "MB needed"),
    ("resize", (2, "99999"), ACTION, "read-only"),
    ("resize", (0, 99), RPC_API, "new_size"),
    ("saveas", (7, "a", "", -1), ACTION, "has no disk 7"),
    ("saveas", (0, "", "", -1), ALLOCATE, "NAME"),
    ("saveas", (0, "{taken}", "", -1), ALLOCATE, "NAME"),
    ("saveas", (0, "a", "GOLD", -1), RPC_API, "image_type"),
    ("saveas", (0, "a", "KERNEL", -1), RPC_API, "image_type"),
    ("saveas", (0, "a", "", 3), ACTION, "has no snapshot 3"),
    ("saveas", (0, "a", "", -2), ACTION, "has no snapshot -2"),
    ("saveas", (0,), RPC_API, "image_name"),
]


def test_what_is_refused(cloud: Cloud, place: Place) -> None:
    """With the right code and a text that says why; nothing changes."""
    taken, watch = cloud.body("image", place.image).findtext("NAME", ""), Watch(cloud)
    for verb, arguments, code, said in BAD:
        given = [taken if a == "{taken}" else a for a in arguments]
        assert said in refused(cloud.client, code, f"one.vm.disk{verb}", place.vm, *given), (verb, arguments)
    watch.check()


def test_where_it_is_not_possible(cloud: Cloud, place: Place) -> None:
    """By state; each says where it is."""
    stopped, held = place.bring("STOPPED"), cloud.make_vm(hold=True)
    assert "POWEROFF, RUNNING, UNDEPLOYED" in refused(cloud.client, ACTION, "one.vm.diskresize", stopped, 0, "99")
    said = refused(cloud.client, ACTION, "one.vm.disksaveas", held, 0, "a", "", -1)
    assert "POWEROFF, RUNNING, STOPPED, SUSPENDED, UNDEPLOYED" in said
    end(cloud, stopped, held)


def test_a_datastore_that_is_full(cloud: Cloud, place: Place) -> None:
    """No image is made that would not fit."""
    text = {"NAME": unique("small"), "TM_MAD": "dummy", "DS_MAD": "dummy"}
    store = cloud.client.number("one.datastore.allocate", template(text), -1)
    until(5, "the datastore to be measured", lambda: cloud.body("datastore", store).findtext("TOTAL_MB") != "0")
    image = cloud.make_image(datastore=store, size=900_000)
    vm = cloud.make_vm(DISK={"IMAGE_ID": image, "SIZE": 1_200_000})
    cloud.client.call("one.vm.deploy", vm, place.host)
    cloud.wait_vm(vm, "RUNNING")
    said = refused(cloud.client, ALLOCATE, "one.vm.disksaveas", vm, 0, unique("copy"), "", -1)
    assert f"datastore {store}" in said and "1200000 MB" in said
    end(cloud, vm)
    cloud.client.call("one.image.delete", image)
    until(5, "the image to go", lambda: not cloud.body("datastore", store).findall("IMAGES/ID"))
    cloud.client.call("one.datastore.delete", store)


def test_who_may(cloud: Cloud, place: Place) -> None:
    """MANAGE of the VM and CREATE of images; the image is the caller's; locks."""
    uid, user = cloud.make_user()
    for verb, arguments in (("resize", (0, "99")), ("saveas", (0, "a", "", -1))):
        assert "Not authorized" in refused(user, AUTHORIZATION, f"one.vm.disk{verb}", place.vm, *arguments)
    vm = user.number("one.vm.allocate", vm_template(unique("vm"), DISK={"TYPE": "fs", "SIZE": 5}), False)
    cloud.deploy(vm, place.host)
    image = user.number("one.vm.disksaveas", vm, 0, unique("mine"), "", -1)
    cloud.wait_vm(vm, "RUNNING")
    assert cloud.body("image", image).findtext("UID") == str(uid)
    user.call("one.image.delete", image)
    group, other = cloud.client.number("one.group.allocate", unique("group")), unique("user")
    uid = cloud.client.number("one.user.allocate", other, "secret", "", [group])
    cloud.client.call("one.vm.chown", vm, uid, group)
    user = cloud.client_as(other, "secret")
    said = refused(user, AUTHORIZATION, "one.vm.disksaveas", vm, 0, unique("mine"), "", -1)
    assert "CREATE" in said and "IMAGE" in said
    user.call("one.vm.lock", vm, 2)
    for verb, arguments in (("resize", (0, "99")), ("saveas", (0, "a", "", -1))):
        refused(user, LOCKED, f"one.vm.disk{verb}", vm, *arguments)
    user.call("one.vm.unlock", vm)
    end(cloud, vm)
