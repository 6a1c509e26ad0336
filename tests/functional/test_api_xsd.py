"""Every body and every pool that oned answers is what OpenNebula's schemas describe, in all states of the objects."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cloud_process import Cloud, template, unique, until
from makers import MakeCloud
from xsd import validate

pytestmark = pytest.mark.surface

POOLS = {
    "one.vmpool.info": ("vm_pool", (-2, -1, -1, -2)),
    "one.vmpool.infoextended": ("vm_pool_extended", (-2, -1, -1, -2)),
    "one.hostpool.info": ("host_pool", ()),
    "one.imagepool.info": ("image_pool", (-2, -1, -1)),
    "one.vnpool.info": ("vnet_pool", (-2, -1, -1)),
    "one.templatepool.info": ("vmtemplate_pool", (-2, -1, -1)),
    "one.datastorepool.info": ("datastore_pool", ()),
    "one.clusterpool.info": ("cluster_pool", ()),
    "one.userpool.info": ("user_pool", ()),
    "one.grouppool.info": ("group_pool", ()),
    "one.vdcpool.info": ("vdc_pool", ()),
    "one.zonepool.info": ("zone_pool", ()),
    "one.acl.info": ("acl_pool", ()),
}


@pytest.fixture(autouse=True)
def _usual_dummies(cloud: Cloud) -> Iterator[None]:
    yield
    cloud.dummy()


def check(cloud: Cloud, kind: str, *ids: int) -> None:
    """The body of each object, and how the pool shows it."""
    for oid in ids:
        validate({"vn": "vnet", "template": "vmtemplate"}.get(kind, kind), cloud.client.text(f"one.{kind}.info", oid))
    for method, (schema, arguments) in POOLS.items():
        if method.startswith(f"one.{kind}pool."):
            some = (-2, min(ids), max(ids), *arguments[3:]) if arguments else ()
            validate(schema, cloud.client.text(method, *some))


def check_pools(cloud: Cloud) -> None:
    """Every pool as a whole."""
    for method, (schema, arguments) in POOLS.items():
        validate(schema, cloud.client.text(method, *arguments))


@pytest.fixture(scope="module")
def place(shared_cloud: Cloud) -> tuple[int, int, int]:
    """Host, image and network that the VMs of this module share."""
    host = shared_cloud.add_hosts(1)[0]
    return host, shared_cloud.make_image(), shared_cloud.make_network(
        NETWORK_ADDRESS="10.0.0.0", NETWORK_MASK="255.255.255.0", GATEWAY="10.0.0.254", DNS="10.0.0.253")


@pytest.fixture(scope="module", autouse=True)
def watched(shared_cloud: Cloud, place: tuple[int, int, int]) -> int:
    """A VM that runs, of which a sample came early: series are written every few seconds."""
    vm = shared_cloud.make_vm(image=place[1])
    shared_cloud.deploy(vm, place[0])
    shared_cloud.client.call("one.host.update", place[0], "NOTE=1", 1)
    return vm


def full(cloud: Cloud, place: tuple[int, int, int], **more: Any) -> int:
    """A VM with most of what a template can say."""
    _, image, network = place
    attributes: dict[str, Any] = {
        "VCPU": 2, "DISK": [{"IMAGE_ID": image}, {"TYPE": "fs", "SIZE": 10}, {"TYPE": "swap", "SIZE": 5}],
        "NIC": [{"NETWORK_ID": network}, {"NETWORK_ID": network, "MODEL": "e1000"}],
        "CONTEXT": {"NETWORK": "YES", "SET_HOSTNAME": "$NAME"}, "GRAPHICS": {"LISTEN": "127.0.0.1", "TYPE": "VNC"},
        "OS": {"ARCH": "x86_64", "BOOT": "disk0"}, "FEATURES": {"ACPI": "yes"},
        "INPUT": {"TYPE": "tablet", "BUS": "usb"}, "VIDEO": {"VRAM": 16384, "TYPE": "virtio"},
        "TPM": {"MODEL": "tpm-crb"}, "RAW": {"TYPE": "kvm", "DATA": "<a/>"},
        "TOPOLOGY": {"CORES": 1, "THREADS": 1, "SOCKETS": 2}, "CPU_MODEL": {"MODEL": "host-passthrough"},
        "HYPERV_OPTIONS": {"OPTIONS": "x"}, "SPICE_OPTIONS": {"OPTIONS": "x"}, "NIC_DEFAULT": {"MODEL": "virtio"},
        "CPU_COST": 1, "MEMORY_COST": 1, "DISK_COST": 1, "MEMORY_MAX": 128, "VCPU_MAX": 4,
        "SCHED_REQUIREMENTS": "ID=0", "SCHED_ACTION": {"ACTION": "terminate", "TIME": "+3600"},
        "LABELS": "a,b", "DESCRIPTION": "<b>&\"]]", "USER_INPUTS": {"A": "M|text|a"}, **more}
    return cloud.make_vm(**attributes)


@pytest.mark.parametrize("state", ["PENDING", "HOLD", "PROLOG_FAILURE", "BOOT_FAILURE", "EPILOG_FAILURE", "RUNNING",
                                   "SUSPENDED", "STOPPED", "POWEROFF", "UNDEPLOYED", "DONE"])
def test_a_vm_in_each_state(cloud: Cloud, place: tuple[int, int, int], state: str) -> None:
    """With disks, NICs, context and every attribute that has a place of its own."""
    fails = {"PROLOG_FAILURE": "tm.prolog", "BOOT_FAILURE": "vm.deploy", "EPILOG_FAILURE": "tm.epilog"}
    actions = {"SUSPENDED": "suspend", "STOPPED": "stop", "POWEROFF": "poweroff", "UNDEPLOYED": "undeploy",
               "DONE": "terminate", "EPILOG_FAILURE": "terminate"}
    vm = full(cloud, place, **({"DUMMY": {"ACTION": fails[state], "FAIL": "boom"}} if state in fails else {}))
    if state == "HOLD":
        cloud.client.call("one.vm.action", "hold", vm)
    elif state != "PENDING":
        cloud.client.call("one.vm.deploy", vm, place[0])
        if state in actions:
            cloud.wait_vm(vm, "RUNNING")
            cloud.client.call("one.vm.action", actions[state], vm)
    cloud.wait_vm(vm, state)
    check(cloud, "vm", vm)
    check(cloud, "host", place[0])
    check(cloud, "image", place[1])
    check(cloud, "vn", place[2])
    if state != "DONE":
        cloud.client.call("one.vm.recover", vm, 5)
        cloud.wait_vm(vm, "DONE")


def test_a_vm_that_waits_for_its_image(cloud: Cloud) -> None:
    """CLONING while it is LOCKED, CLONING_FAILURE when it fails."""
    cloud.hold("ds.mkfs", fail="no room")
    image = cloud.client.number("one.image.allocate", f'NAME="{unique("late")}"\nTYPE=OS\nSIZE=10', 1)
    vm = cloud.make_vm(image=image)
    assert cloud.vm_state(vm) == "CLONING"
    check(cloud, "vm", vm)
    check(cloud, "image", image)
    cloud.dummy(rules=[{"action": "ds.mkfs", "fail": "no room"}])  # whenever it is tried again
    cloud.wait_vm(vm, "CLONING_FAILURE")
    check(cloud, "vm", vm)
    check(cloud, "image", image)
    cloud.dummy()
    cloud.client.call("one.vm.action", "terminate", vm)
    cloud.client.call("one.image.delete", image)


def test_a_vm_that_is_lost_marked_and_locked(make_cloud: MakeCloud) -> None:
    """UNKNOWN after its host, with a sample, resched mark, lock and ERROR."""
    cloud = make_cloud({"monitoring": {"host_period": 1}})
    host = cloud.add_hosts(1)[0]
    name = cloud.body("host", host).findtext("NAME")
    vm = cloud.make_vm(image=cloud.make_image(), network=cloud.make_network())
    cloud.deploy(vm, host)
    until(5, "a sample", lambda: cloud.body("vm", vm).findtext("MONITORING/MEMORY"))
    check(cloud, "vm", vm)
    validate("monitoring_data", cloud.client.text("one.vmpool.monitoring", -2, 0))
    cloud.dummy(rules=[{"action": "im.sample", "host": name, "fail": "no route"}])
    cloud.wait_vm(vm, "UNKNOWN")
    cloud.client.call("one.vm.action", "resched", vm)
    cloud.client.call("one.vm.lock", vm, 1)
    check(cloud, "vm", vm)
    check(cloud, "host", host)
    cloud.client.call("one.vm.unlock", vm)
    cloud.client.call("one.vm.recover", vm, 5)
    for status in (0, 1, 2):
        cloud.client.call("one.host.status", host, status)
        check(cloud, "host", host)


def test_hosts(cloud: Cloud) -> None:
    """INIT, MONITORED, DISABLED, OFFLINE; a template with anything."""
    host = cloud.add_hosts(1, wait=False)[0]
    check(cloud, "host", host)
    cloud.wait_host(host, "MONITORED")
    cloud.client.call("one.host.update", host, 'RESERVED_CPU="10%"\nRESERVED_MEM=-1024\nA=[B="c",D="<e>"]', 1)
    until(5, "the host's own capacity", lambda: cloud.body("host", host).findtext("HOST_SHARE/TOTAL_CPU") != "0")
    check(cloud, "host", host)
    cloud.client.call("one.host.delete", host)


def test_images(cloud: Cloud) -> None:
    """Each type, persistent or not, in use, disabled, locked, cloned, in ERROR."""
    made = [cloud.make_image(TYPE=kind) for kind in ("OS", "DATABLOCK")]
    made.append(cloud.make_image(TYPE="CDROM", PATH="/somewhere/cd.iso"))
    files = [cloud.make_image(datastore=2, TYPE=kind, PATH="/some/file") for kind in ("KERNEL", "RAMDISK", "CONTEXT")]
    check(cloud, "image", *made, *files)
    cloud.client.call("one.image.persistent", made[0], True)
    vm = cloud.make_vm(DISK=[{"IMAGE_ID": made[0]}, {"IMAGE_ID": made[1]}])
    check(cloud, "image", *made)
    cloud.client.call("one.vm.action", "terminate", vm)
    cloud.hold("ds.clone")
    clone = cloud.client.number("one.image.clone", made[1], unique("clone"))
    check(cloud, "image", made[1], clone)
    cloud.dummy()
    until(5, "the clone", lambda: cloud.body("image", clone).findtext("STATE") == "1")
    cloud.client.call("one.image.enable", made[1], False)
    cloud.client.call("one.image.update", made[1], "A=[B=1]\nERROR=mine", 1)
    cloud.client.call("one.image.lock", made[1], 4)
    check(cloud, "image", made[1])
    cloud.client.call("one.image.unlock", made[1])
    cloud.dummy(rules=[{"action": "ds.remove", "fail": "busy"}])
    cloud.client.call("one.image.delete", clone)
    until(5, "the failure", lambda: cloud.body("image", clone).findtext("STATE") == "5")
    check(cloud, "image", clone)
    cloud.dummy()
    for oid in (*made, *files, clone):
        cloud.client.call("one.image.delete", oid)


RANGES = """
AR=[TYPE="IP4",IP="10.9.0.1",SIZE="10",NOTE="mine"]
AR=[TYPE="ETHER",SIZE="10",MAC="02:00:00:00:01:00"]
AR=[TYPE="IP6",SIZE="10",GLOBAL_PREFIX="2001:db8::/64",ULA_PREFIX="fd00::/64"]
AR=[TYPE="IP4_6",IP="10.9.1.1",SIZE="10",GLOBAL_PREFIX="2001:db8:1::/64",ULA_PREFIX="fd01::/64"]
AR=[TYPE="IP6_STATIC",SIZE="10",IP6="2001:db8:2::1",PREFIX_LENGTH="64"]
AR=[TYPE="IP4_6_STATIC",IP="10.9.2.1",SIZE="10",IP6="2001:db8:3::1",PREFIX_LENGTH="64"]
"""


def test_networks(cloud: Cloud) -> None:
    """Each type of address range with leases given and held; locked; without a range."""
    net, bare = (cloud.client.number("one.vn.allocate", f'NAME="{unique("net")}"\nVN_MAD=dummy\n{more}', -1)
                 for more in (f"VLAN_ID=5\nPHYDEV=eth9\n{RANGES}", ""))
    check(cloud, "vn", net, bare)
    vm = cloud.make_vm(NIC=[{"NETWORK_ID": net, "AR_ID": ar} for ar in range(6)])
    for lease in ('IP="10.9.0.5"', 'MAC="02:00:00:00:01:05"', 'IP6="2001:db8:2::5"', 'IP="10.9.2.5"'):
        cloud.client.call("one.vn.hold", net, f"LEASES=[{lease}]")
    cloud.client.call("one.vn.lock", net, 4)
    check(cloud, "vn", net)
    check(cloud, "vm", vm)
    assert cloud.body("vn", net).findtext("USED_LEASES") == "10"
    cloud.client.call("one.vn.unlock", net)
    cloud.client.call("one.vm.action", "terminate", vm)


def test_users_groups_and_the_rest(cloud: Cloud) -> None:
    """Users with tokens and several groups; clusters with members; datastores of each type; templates; the zone."""
    group = cloud.client.number("one.group.allocate", unique("group"))
    user, _ = cloud.make_user()
    name = cloud.body("user", user).findtext("NAME")
    many = cloud.client.number("one.user.allocate", unique("user"), "secret", "", [group, 1])
    cloud.client.call("one.user.login", name, "", 100, -1)
    cloud.client.call("one.user.login", name, "", -1, 1)
    cloud.client.call("one.user.update", user, 'A="b"\nC=[D="e"]', 0)
    check(cloud, "user", 0, 1, user, many)
    check(cloud, "group", 0, 1, group)
    cluster = cloud.client.number("one.cluster.allocate", unique("cluster"))
    host = cloud.client.number("one.host.allocate", unique("host"), "dummy", "dummy", cluster)
    stores = [cloud.client.number("one.datastore.allocate", template({
        "NAME": unique("ds"), "TYPE": f"{kind}_DS", "TM_MAD": "dummy", "DS_MAD": "dummy"}), cluster)
        for kind in ("IMAGE", "SYSTEM", "FILE", "BACKUP")]
    cloud.client.call("one.cluster.update", cluster, "RESERVED_CPU=10", 1)
    cloud.client.call("one.datastore.enable", stores[1], False)
    check(cloud, "cluster", 0, cluster)
    check(cloud, "datastore", 0, 1, 2, *stores)
    made = cloud.make_template(DISK={"IMAGE_ID": cloud.make_image()}, CONTEXT={"NETWORK": "YES"})
    validate("vmtemplate", cloud.client.text("one.template.info", made, True))
    cloud.client.call("one.template.lock", made, 4)
    check(cloud, "template", made)
    cloud.client.call("one.template.unlock", made)
    check(cloud, "zone", 0)
    cloud.client.call("one.host.delete", host)
    for store in stores:
        cloud.client.call("one.datastore.delete", store)
    cloud.client.call("one.cluster.delete", cluster)


def test_configuration_and_monitoring(cloud: Cloud, place: tuple[int, int, int], watched: int) -> None:
    """What is about the cloud itself; series of hosts and VMs."""
    validate("opennebula_configuration", cloud.client.text("one.system.config"))
    until(12, "the series to be written", lambda: "<CPU>" in cloud.client.text("one.vm.monitoring", watched))
    validate("monitoring_data", cloud.client.text("one.vm.monitoring", watched))
    for seconds in (-1, 0, 60):
        validate("monitoring_data", cloud.client.text("one.vmpool.monitoring", -2, seconds))
        assert "<FREE_MEMORY>" in cloud.client.text("one.hostpool.monitoring", seconds)
    assert "<USED_CPU>" in cloud.client.text("one.host.monitoring", place[0])
    cloud.client.call("one.vm.action", "terminate-hard", watched)
    check_pools(cloud)
