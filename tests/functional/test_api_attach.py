"""one.vm.attach and detach as clients see them: what is refused, who may, what bodies show meanwhile."""
from __future__ import annotations

from collections.abc import Iterator

import pyone
import pytest
from api_bodies import end, vector
from api_calls import ACTION, AUTHORIZATION, LOCKED, NO_EXISTS, RPC_API, Watch, refused
from cloud_process import Cloud, template, unique, until, vm_template
from xsd import validate

pytestmark = pytest.mark.surface


class Place:
    """A host, an image, a VM that runs with one disk."""

    def __init__(self, cloud: Cloud) -> None:
        self.host, self.image, self.kept = cloud.add_hosts(1)[0], cloud.make_image(), cloud.make_image(PERSISTENT="YES")
        self.vm = cloud.make_vm(image=self.image, CONTEXT={"A": "b"})
        cloud.deploy(self.vm, self.host)


@pytest.fixture(scope="module")
def place(shared_cloud: Cloud) -> Iterator[Place]:
    """One for the module."""
    made = Place(shared_cloud)
    yield made
    end(shared_cloud, made.vm)


def attach(cloud: Cloud, vm: int, state: str = "RUNNING", **attributes: object) -> dict[str, str]:
    """Attach and wait; the new DISK."""
    cloud.client.call("one.vm.attach", vm, template({"DISK": attributes}))
    cloud.wait_vm(vm, state)
    return vector(cloud.body("vm", vm), "TEMPLATE/DISK", -1)


def detach(cloud: Cloud, vm: int, disk: str, state: str = "RUNNING") -> None:
    """Detach and wait."""
    cloud.client.call("one.vm.detach", vm, int(disk))
    cloud.wait_vm(vm, state)


def test_a_disk_comes_and_goes(cloud: Cloud) -> None:
    """Complete as those from the start; the context CD keeps its id; images, RESCHED and capacity follow."""
    place = Place(cloud)  # of its own: ids of disks are never given again
    used = int(cloud.body("host", place.host).findtext("HOST_SHARE/DATASTORES/DISK_USAGE", ""))
    cloud.client.call("one.vm.action", "resched", place.vm)
    disk = attach(cloud, place.vm, IMAGE_ID=place.image, SIZE=100, ATTACH="NO", DISK_ID="0", CACHE="none")
    wanted = {"DISK_ID": "2", "TARGET": "vdb", "SIZE": "100", "CLONE": "YES", "SAVE": "NO", "CACHE": "none",
              "SOURCE": f"dummy-{place.image}", "TM_MAD": "dummy", "DATASTORE_ID": "1", "TYPE": "FILE"}
    assert disk | wanted == disk and "ATTACH" not in disk
    body = cloud.body("vm", place.vm)
    assert (body.findtext("RESCHED"), body.findtext("TEMPLATE/CONTEXT/DISK_ID")) == ("0", "1")
    usage = cloud.body("host", place.host).findtext("HOST_SHARE/DATASTORES/DISK_USAGE", "")
    assert int(usage) == used + 100
    swap = attach(cloud, place.vm, TYPE="swap", SIZE=7, TARGET="sda", DEV_PREFIX="sd")
    assert (swap["TYPE"], swap["TARGET"], swap["SAVE"], swap["FORMAT"]) == ("swap", "sda", "NO", "raw")
    kept = attach(cloud, place.vm, IMAGE=cloud.body("image", place.kept).findtext("NAME", ""))
    assert (kept["SAVE"], kept["IMAGE_ID"], kept["TARGET"]) == ("YES", str(place.kept), "vdc")
    assert [e.text for e in cloud.body("image", place.kept).iterfind("VMS/ID")] == [str(place.vm)]
    short = cloud.client.text("one.vmpool.info", -2, place.vm, place.vm, -1)
    assert short.count("<DISK>") == 4
    for gone in (disk, swap, kept):
        detach(cloud, place.vm, gone["DISK_ID"])
    assert cloud.body("image", place.kept).findtext("STATE") == "1"
    assert cloud.body("host", place.host).findtext("HOST_SHARE/DATASTORES/DISK_USAGE") == str(used)
    end(cloud, place.vm)


def test_bodies_meanwhile(cloud: Cloud, place: Place) -> None:
    """HOTPLUG and the states of a VM that is off, with ATTACH and DETACH, are what the schema says."""
    off = cloud.make_vm(image=place.image)
    cloud.deploy(off, place.host)
    cloud.client.call("one.vm.action", "poweroff", off)
    cloud.wait_vm(off, "POWEROFF")
    names = {place.vm: ("HOTPLUG", "HOTPLUG", "RUNNING"),
             off: ("HOTPLUG_PROLOG_POWEROFF", "HOTPLUG_EPILOG_POWEROFF", "POWEROFF")}
    for vm, (attaching, detaching, stays) in names.items():
        cloud.hold("tm.attach")
        cloud.client.call("one.vm.attach", vm, "DISK=[TYPE=raw,SIZE=3]")
        assert cloud.vm_state(vm) == attaching
        disk = vector(cloud.body("vm", vm), "TEMPLATE/DISK", -1)
        assert disk["ATTACH"] == "YES"
        validate("vm", cloud.client.text("one.vm.info", vm))
        validate("vm_pool", cloud.client.text("one.vmpool.info", -2, vm, vm, -1))
        for method, arguments in (("one.vm.attach", ("DISK=[TYPE=raw,SIZE=3]",)), ("one.vm.detach", (0,))):
            assert attaching in refused(cloud.client, ACTION, method, vm, *arguments)
        cloud.hold("tm.detach")
        cloud.wait_vm(vm, stays)
        cloud.client.call("one.vm.detach", vm, int(disk["DISK_ID"]))
        assert cloud.vm_state(vm) == detaching
        assert vector(cloud.body("vm", vm), "TEMPLATE/DISK", -1)["DETACH"] == "YES"
        validate("vm", cloud.client.text("one.vm.info", vm))
        cloud.dummy()
        cloud.wait_vm(vm, stays)
        validate("vm", cloud.client.text("one.vm.info", vm))
    end(cloud, off)


def test_pyone(cloud: Cloud, place: Place) -> None:
    """OpenNebula's own binding does it."""
    one = pyone.OneServer(cloud.endpoint, session=":".join(cloud.credentials()))
    assert one.vm.attach(place.vm, {"TEMPLATE": {"DISK": {"IMAGE_ID": place.image}}}) == place.vm
    cloud.wait_vm(place.vm, "RUNNING")
    disks = one.vm.info(place.vm).TEMPLATE["DISK"]
    assert one.vm.detach(place.vm, int(disks[-1]["DISK_ID"])) == place.vm
    cloud.wait_vm(place.vm, "RUNNING")
    with pytest.raises(pyone.OneActionException, match="has no disk 99"):
        one.vm.detach(place.vm, 99)


# -- what is refused

BAD = {
    "nothing": ("", RPC_API, "one DISK"),
    "syntax": ("DISK=[", RPC_API, "line 1"),
    "two disks": ("DISK=[TYPE=fs,SIZE=1]\nDISK=[TYPE=fs,SIZE=1]", RPC_API, "not 2"),
    "a value": ("DISK=5", RPC_API, "vector"),
    "neither image nor type": ("DISK=[SIZE=5]", RPC_API, "TYPE"),
    "unknown type": ("DISK=[TYPE=gold,SIZE=5]", RPC_API, "gold"),
    "no size": ("DISK=[TYPE=fs]", RPC_API, "SIZE"),
    "size": ("DISK=[TYPE=fs,SIZE=-1]", RPC_API, "SIZE"),
    "format": ("DISK=[TYPE=fs,SIZE=1,FORMAT=vmdk]", RPC_API, "FORMAT"),
    "no room": ("DISK=[TYPE=fs,SIZE=99999999]", ACTION, "99999999 MB needed"),
    "target": ("DISK=[TYPE=fs,SIZE=1,TARGET=../x]", RPC_API, "TARGET"),
    "target of a disk": ("DISK=[TYPE=fs,SIZE=1,TARGET=vda]", RPC_API, "vda"),
    "target of the context": ("DISK=[TYPE=fs,SIZE=1,TARGET=hda]", RPC_API, "hda"),
    "unknown image": ("DISK=[IMAGE_ID=4711]", NO_EXISTS, "image [4711]"),
    "unknown image by name": ("DISK=[IMAGE=nowhere]", NO_EXISTS, "nowhere"),
    "image in use": ("DISK=[IMAGE_ID={used}]", RPC_API, "in use"),
    "image of another type": ("DISK=[IMAGE_ID={file}]", RPC_API, "CONTEXT"),
    "image that is not there yet": ("DISK=[IMAGE_ID={late}]", ACTION, "still being made"),
    "disabled image": ("DISK=[IMAGE_ID={off}]", ACTION, "DISABLED"),
    "image of another cluster": ("DISK=[IMAGE_ID={far}]", RPC_API, "cluster"),
}


@pytest.fixture(scope="module")
def things(shared_cloud: Cloud, place: Place) -> Iterator[dict[str, int]]:
    """Images that cannot be attached."""
    cloud = shared_cloud
    used, off = cloud.make_image(PERSISTENT="YES"), cloud.make_image()
    cloud.client.call("one.image.enable", off, False)
    cluster, text = cloud.client.number("one.cluster.allocate", unique("far")), "TM_MAD=dummy\nDS_MAD=dummy\nNAME="
    store = cloud.client.number("one.datastore.allocate", text + unique("far"), cluster)
    until(5, "the datastore to be measured", lambda: cloud.body("datastore", store).findtext("TOTAL_MB") != "0")
    far = cloud.make_image(datastore=store)
    holder = cloud.make_vm(image=used, hold=True)
    cloud.dummy(rules=[{"action": "ds.mkfs", "hang": True, "times": 1}])
    late = cloud.client.number("one.image.allocate", f'NAME="{unique("late")}"\nSIZE=1', 1)
    until(5, "the image to be made", lambda: cloud.body("image", late).findtext("STATE") == "4")
    yield {"used": used, "off": off, "late": late, "far": far,
           "file": cloud.make_image(datastore=2, TYPE="CONTEXT", PATH="/some/file")}
    cloud.dummy()
    cloud.client.call("one.image.delete", late, True)
    end(cloud, holder)


@pytest.mark.parametrize("case", BAD)
def test_a_disk_that_cannot_be_attached(cloud: Cloud, place: Place, things: dict[str, int], case: str) -> None:
    """No image is taken, nothing changes."""
    text, code, said = BAD[case]
    for name, oid in things.items():
        text = text.replace(f"{{{name}}}", str(oid))
    watch = Watch(cloud)
    assert said in refused(cloud.client, code, "one.vm.attach", place.vm, text)
    watch.check()


def test_a_disk_that_cannot_be_detached(cloud: Cloud, place: Place) -> None:
    """One that is not there, the context CD."""
    watch = Watch(cloud)
    for number in (7, -1, 1, 2**31 - 1):
        said = refused(cloud.client, ACTION, "one.vm.detach", place.vm, number)
        assert f"has no disk {number}; its disks are 0" in said
    watch.check()


def test_where_it_is_not_possible(cloud: Cloud, place: Place) -> None:
    """The state is what is looked at first."""
    vm = cloud.make_vm(hold=True)
    for method, argument in (("one.vm.attach", "DISK=[IMAGE_ID=4711]"), ("one.vm.detach", 7)):
        said = refused(cloud.client, ACTION, method, vm, argument)
        assert "in state HOLD; it is possible in POWEROFF, RUNNING" in said
    end(cloud, vm)


def test_who_may(cloud: Cloud, place: Place) -> None:
    """MANAGE of the VM and USE of the image; what only administrators give a disk; locks."""
    uid, user = cloud.make_user()
    vm = user.number("one.vm.allocate", vm_template(unique("vm")), True)
    cloud.client.call("one.vm.action", "release", vm)
    cloud.deploy(vm, place.host)
    assert "Not authorized" in refused(user, AUTHORIZATION, "one.vm.attach", place.vm, "DISK=[TYPE=fs,SIZE=1]")
    assert "Not authorized" in refused(user, AUTHORIZATION, "one.vm.detach", place.vm, 0)
    assert "Not authorized" in refused(user, AUTHORIZATION, "one.vm.attach", vm, f"DISK=[IMAGE_ID={place.image}]")
    assert "DISK/SOURCE" in refused(user, AUTHORIZATION, "one.vm.attach", vm, 'DISK=[TYPE=fs,SIZE=1,SOURCE="/dev/sda"]')
    own = user.number("one.image.allocate", f'NAME="{unique("own")}"\nSIZE=1', 1)
    until(5, "the image", lambda: cloud.body("image", own).findtext("STATE") == "1")
    user.call("one.image.lock", own, 4)
    refused(user, LOCKED, "one.vm.attach", vm, f"DISK=[IMAGE_ID={own}]")
    user.call("one.image.unlock", own)
    user.call("one.vm.lock", vm, 2)
    refused(user, LOCKED, "one.vm.attach", vm, f"DISK=[IMAGE_ID={own}]")
    user.call("one.vm.unlock", vm)
    user.call("one.vm.attach", vm, f"DISK=[IMAGE_ID={own}]")
    cloud.wait_vm(vm, "RUNNING")
    user.call("one.vm.detach", vm, 0)
    cloud.wait_vm(vm, "RUNNING")
    end(cloud, vm)


def test_clusters_follow_the_disks(cloud: Cloud, place: Place) -> None:
    """Where the VM may run is where all its images are; without them, anywhere again."""
    vm = cloud.make_vm()
    cloud.deploy(vm, place.host)
    assert cloud.body("vm", vm).find("TEMPLATE/AUTOMATIC_REQUIREMENTS") is None
    disk = attach(cloud, vm, IMAGE_ID=place.image)
    assert cloud.body("vm", vm).findtext("TEMPLATE/AUTOMATIC_REQUIREMENTS") == "(CLUSTER_ID = 0)"
    detach(cloud, vm, disk["DISK_ID"])
    assert cloud.body("vm", vm).find("TEMPLATE/AUTOMATIC_REQUIREMENTS") is None
    end(cloud, vm)


def test_system_snapshots_keep_the_disks(cloud: Cloud, place: Place) -> None:
    """They are of the disks as they are: nothing about these changes while there are some."""
    vm = cloud.make_vm(image=cloud.make_image(FORMAT="qcow2"))
    cloud.deploy(vm, place.host)
    cloud.client.call("one.vm.snapshotcreate", vm, "before")
    cloud.wait_vm(vm, "RUNNING")
    for method, arguments in (("attach", ("DISK=[TYPE=fs,SIZE=1]",)), ("detach", (0,)), ("diskresize", (0, "999")),
                              ("disksnapshotcreate", (0, "a"))):
        said = refused(cloud.client, ACTION, f"one.vm.{method}", vm, *arguments)
        assert "has system snapshots (0)" in said, method
    cloud.client.call("one.vm.snapshotdelete", vm, 0)
    cloud.wait_vm(vm, "RUNNING")
    attach(cloud, vm, TYPE="fs", SIZE=1)
    end(cloud, vm)
