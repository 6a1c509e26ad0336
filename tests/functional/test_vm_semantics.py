"""What a VM is made of, where it may go, what its records tell, and what its methods accept, on dummy drivers."""
from __future__ import annotations

import time
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from api_calls import ACTION, ALLOCATE, NO_EXISTS, RPC_API, refused, unmonitored
from cloud_process import Cloud, template, unique, until
from makers import MakeCloud

from onecore.wire.client import Client


@pytest.fixture(autouse=True)
def _usual_dummies(cloud: Cloud) -> Iterator[None]:
    yield
    cloud.dummy()


@pytest.fixture(scope="module")
def host(shared_cloud: Cloud) -> int:
    """A host for the VMs of this module."""
    return shared_cloud.add_hosts(1)[0]


@pytest.fixture(scope="module")
def network(shared_cloud: Cloud) -> int:
    """A network with all settings that a guest is told."""
    return shared_cloud.make_network(ip="10.7.0.1", NETWORK_ADDRESS="10.7.0.0", NETWORK_MASK="255.255.0.0",
                                     GATEWAY="10.7.255.254", DNS="10.7.255.253", GUEST_MTU="1400", NOTE="blue")


def act(cloud: Cloud, action: str, vm: int, state: str) -> None:
    """An action, and what it leads to."""
    cloud.client.call("one.vm.action", action, vm)
    cloud.wait_vm(vm, state)


def seen(client: Client, method: str, *given: object) -> list[int]:
    """The ids in a pool of VMs."""
    return [int(node.findtext("ID", "")) for node in ElementTree.fromstring(client.text(method, *given))]


# -- allocate


def test_disks_are_resolved(cloud: Cloud) -> None:
    """By id and by name, volatile ones between; targets by prefix around those given; ids in order."""
    named = unique("disk")
    plain, cd = cloud.make_image(named, size=100), cloud.make_image(TYPE="CDROM", PATH="/some/cd.iso")
    lasting = cloud.make_image(PERSISTENT="YES", DEV_PREFIX="sd")
    vm = cloud.make_vm(DISK=[{"IMAGE": named}, {"TYPE": "swap", "SIZE": 7}, {"IMAGE_ID": lasting}, {"IMAGE_ID": cd},
                             {"IMAGE_ID": plain, "TARGET": "vdb", "SIZE": 150, "DEV_PREFIX": "vd"}],
                       CONTEXT={"A": "b"})
    body = cloud.body("vm", vm)
    disks = [{node.tag: node.text or "" for node in disk} for disk in body.findall("TEMPLATE/DISK")]
    assert [(d["DISK_ID"], d["TARGET"], d.get("IMAGE_ID"), d["SIZE"]) for d in disks] == [
        ("0", "vda", str(plain), "100"), ("1", "vdc", None, "7"), ("2", "sda", str(lasting), "64"),
        ("3", "hda", str(cd), disks[3]["SIZE"]), ("4", "vdb", str(plain), "150")]
    assert [(d.get("CLONE"), d["SAVE"], d["TYPE"]) for d in disks] == [
        ("YES", "NO", "FILE"), (None, "NO", "swap"), ("NO", "YES", "FILE"), ("YES", "NO", "CDROM"),
        ("YES", "NO", "FILE")]
    assert disks[3]["READONLY"] == "YES" and disks[4]["ORIGINAL_SIZE"] == "100"
    assert (body.findtext("TEMPLATE/CONTEXT/DISK_ID"), body.findtext("TEMPLATE/CONTEXT/TARGET")) == ("5", "hdb")
    act(cloud, "terminate", vm, "DONE")


def test_names(cloud: Cloud) -> None:
    """one-ID without a name; %i is the id; a template's instances carry its name."""
    plain = cloud.client.number("one.vm.allocate", "CPU=1\nMEMORY=64")
    numbered = cloud.client.number("one.vm.allocate", "CPU=1\nMEMORY=64\nNAME=\"web-%i-x\"")
    made = cloud.make_template("base")
    instance = cloud.client.number("one.template.instantiate", made)
    called = cloud.client.number("one.template.instantiate", made, "mine-%i", True, "MEMORY=128\nNOTE=extra")
    for vm, name in ((plain, f"one-{plain}"), (numbered, f"web-{numbered}-x"), (instance, f"base-{instance}"),
                     (called, f"mine-{called}")):
        assert cloud.body("vm", vm).findtext("NAME") == name
    body = cloud.body("vm", called)
    assert [body.findtext(f"TEMPLATE/{key}") for key in ("TEMPLATE_ID", "MEMORY", "CPU", "VMID")] == [
        str(made), "128", "0.1", str(called)]
    assert body.findtext("USER_TEMPLATE/NOTE") == "extra" and cloud.vm_state(called) == "HOLD"
    cloud.client.call("one.vm.rename", called, "other")
    assert cloud.body("vm", called).findtext("NAME") == "other"
    for vm in (plain, numbered, instance, called):
        act(cloud, "terminate", vm, "DONE")


def test_context(cloud: Cloud, network: int) -> None:
    """Variables are replaced, NETWORK=YES tells each interface all about itself."""
    image = cloud.make_image(ROOT_LABEL="tiny")
    uid, user = cloud.make_user()
    user.call("one.user.update", uid, 'SSH_PUBLIC_KEY="ssh-ed25519 AAAA me@there"', 1)
    cloud.client.call("one.image.chmod", image, 1, 1, 0, 0, 0, 0, 1, 0, 0)
    vm = user.number("one.vm.allocate", template({
        "NAME": "ctx", "CPU": 1, "MEMORY": 64, "COLOUR": "red", "DISK": {"IMAGE_ID": image},
        "NIC": [{"NETWORK_ID": network, "IP": "10.7.0.9"}, {"NETWORK_ID": network}], "CONTEXT": {
            "NETWORK": "YES", "SET_HOSTNAME": "$NAME", "KEY": "$USER[SSH_PUBLIC_KEY]", "ID": "vm $VMID of $UNAME/$UID",
            "GW": f"$NETWORK[GATEWAY, NETWORK_ID={network}]", "NOTE": f"$NETWORK[NOTE, NETWORK_ID={network}]",
            "SECOND": "$NIC[IP, NIC_ID=1]", "MEM": "$TEMPLATE[MEMORY]", "COLOUR": "$COLOUR", "NONE": "<$NOTHING[X]>",
            "LABEL": f"$IMAGE[ROOT_LABEL, IMAGE_ID={image}]", "PRICE": "5$$"}}))
    body = cloud.body("vm", vm)
    context = {node.tag: node.text or "" for node in body.findall("TEMPLATE/CONTEXT/*")}
    second = body.findall("TEMPLATE/NIC")[1]
    assert second.findtext("IP") not in ("10.7.0.9", None, "")
    name = body.findtext("UNAME")
    expected = {"SET_HOSTNAME": "ctx", "KEY": "ssh-ed25519 AAAA me@there", "ID": f"vm {vm} of {name}/{uid}",
                "GW": "10.7.255.254", "NOTE": "blue", "SECOND": second.findtext("IP"), "MEM": "64", "COLOUR": "red",
                "NONE": "<>", "LABEL": "tiny", "PRICE": "5$",
                "ETH0_IP": "10.7.0.9", "ETH0_MAC": "02:00:0a:07:00:09", "ETH0_MASK": "255.255.0.0",
                "ETH0_NETWORK": "10.7.0.0", "ETH0_GATEWAY": "10.7.255.254", "ETH0_DNS": "10.7.255.253",
                "ETH0_MTU": "1400", "ETH1_IP": second.findtext("IP"), "ETH1_MAC": second.findtext("MAC")}
    assert {key: context.get(key) for key in expected} == expected
    user.call("one.vm.action", "terminate", vm)


def test_an_image_that_is_not_ready_yet(cloud: Cloud, host: int) -> None:
    """CLONING until the image is there, then PENDING or HOLD; not deployed before; the disk knows its source then."""
    cloud.hold("ds.register")
    image = cloud.client.number("one.image.allocate", f'NAME="{unique("late")}"\nTYPE=OS\nPATH="/some/image"', 1)
    waits, held = cloud.make_vm(image=image), cloud.make_vm(image=image, hold=True)
    assert {cloud.vm_state(vm) for vm in (waits, held)} == {"CLONING"}
    assert cloud.body("image", image).findtext("STATE") == "9"
    refused(cloud.client, ACTION, "one.vm.deploy", waits, host)
    cloud.dummy()
    cloud.wait_vm(waits, "PENDING")
    cloud.wait_vm(held, "HOLD")
    assert cloud.body("image", image).findtext("STATE") == "2"
    cloud.deploy(waits, host)
    for vm in (waits, held):
        act(cloud, "terminate", vm, "DONE")
    assert cloud.body("image", image).findtext("STATE") == "1"


def test_a_persistent_image_is_used_once(cloud: Cloud, host: int) -> None:
    """By one VM, whatever its state, until that is DONE; a VM that is refused takes nothing."""
    image, network = cloud.make_image(PERSISTENT="YES"), cloud.make_network()
    first = cloud.make_vm(image=image)
    assert cloud.body("image", image).findtext("STATE") == "8"
    text = template({"CPU": 1, "MEMORY": 64, "NIC": {"NETWORK_ID": network}, "DISK": {"IMAGE_ID": image}})
    refused(cloud.client, RPC_API, "one.vm.allocate", text)
    refused(cloud.client, RPC_API, "one.image.persistent", image, False)
    refused(cloud.client, RPC_API, "one.image.delete", image)
    cloud.deploy(first, host)
    act(cloud, "undeploy", first, "UNDEPLOYED")
    refused(cloud.client, RPC_API, "one.vm.allocate", text)
    assert cloud.body("vn", network).findtext("USED_LEASES") == "0"
    act(cloud, "terminate", first, "DONE")
    assert cloud.body("image", image).findtext("STATE") == "1"
    second = cloud.client.number("one.vm.allocate", text)
    act(cloud, "terminate", second, "DONE")


# -- where it may go

ACTIONS = ("terminate", "terminate-hard", "undeploy", "undeploy-hard", "hold", "release", "stop", "suspend", "resume",
           "reboot", "reboot-hard", "resched", "unresched", "poweroff", "poweroff-hard")
_END = {"terminate", "terminate-hard"}
_MARK = {"resched", "unresched"}
ACCEPTED = {
    "PENDING": _END | {"hold"}, "HOLD": _END | {"release"}, "SUSPENDED": _END | {"resume", "stop"},
    "POWEROFF": _END | _MARK | {"resume", "undeploy", "undeploy-hard"}, "STOPPED": _END | {"resume"},
    "UNDEPLOYED": _END | {"resume"}, "RUNNING": set(ACTIONS) - {"hold", "release", "resume"}, "DONE": set[str](),
    "PROLOG": set[str](), "BOOT_FAILURE": _END, "SHUTDOWN_POWEROFF": {"poweroff-hard"},
}
"""Which actions a state accepts."""


def reach(cloud: Cloud, host: int, state: str) -> int:
    """A VM in that state."""
    hangs = {"PROLOG": "tm.prolog", "SHUTDOWN_POWEROFF": "vm.shutdown"}
    rule = {"ACTION": hangs[state], "HANG": "YES"} if state in hangs else {"ACTION": "vm.deploy", "FAIL": "x"}
    vm = cloud.make_vm(**({"DUMMY": rule} if state in hangs or state == "BOOT_FAILURE" else {}))
    leads = {"SUSPENDED": "suspend", "STOPPED": "stop", "POWEROFF": "poweroff", "UNDEPLOYED": "undeploy",
             "DONE": "terminate", "SHUTDOWN_POWEROFF": "poweroff"}
    if state == "HOLD":
        cloud.client.call("one.vm.action", "hold", vm)
    elif state != "PENDING":
        cloud.client.call("one.vm.deploy", vm, host)
    if state in leads:
        cloud.wait_vm(vm, "RUNNING")
        cloud.client.call("one.vm.action", leads[state], vm)
    cloud.wait_vm(vm, state)
    return vm


@pytest.mark.parametrize("state", ACCEPTED)
def test_what_a_state_refuses(cloud: Cloud, host: int, state: str) -> None:
    """With ACTION, naming the state, and nothing happens."""
    vm = reach(cloud, host, state)
    before = unmonitored(cloud.client.text("one.vm.info", vm))
    for action in ACTIONS:
        if action not in ACCEPTED[state]:
            assert state in refused(cloud.client, ACTION, "one.vm.action", action, vm)
    if state not in ("PENDING", "HOLD", "STOPPED", "UNDEPLOYED"):
        assert state in refused(cloud.client, ACTION, "one.vm.deploy", vm, host)
    for action in ("fly", "", "terminate_hard", "TERMINATE"):
        refused(cloud.client, RPC_API if state != "DONE" else ACTION, "one.vm.action", action, vm)
    assert unmonitored(cloud.client.text("one.vm.info", vm)) == before
    assert cloud.vm_state(vm) == state
    if state != "DONE":
        cloud.client.call("one.vm.recover", vm, 3)


WAYS = {
    "poweroff": (("poweroff", "POWEROFF"), ("resume", "RUNNING")),
    "poweroff-hard": (("poweroff-hard", "POWEROFF"), ("resume", "RUNNING")),
    "suspend": (("suspend", "SUSPENDED"), ("resume", "RUNNING")),
    "reboot": (("reboot", "RUNNING"),), "reboot-hard": (("reboot-hard", "RUNNING"),),
    "stop": (("stop", "STOPPED"), ("resume", "PENDING"), ("deploy", "RUNNING")),
    "stop, deploy": (("stop", "STOPPED"), ("deploy", "RUNNING")),
    "suspend, stop": (("suspend", "SUSPENDED"), ("stop", "STOPPED"), ("deploy", "RUNNING")),
    "undeploy": (("undeploy", "UNDEPLOYED"), ("resume", "PENDING"), ("hold", "HOLD"), ("release", "PENDING"),
                 ("deploy", "RUNNING")),
    "undeploy-hard": (("undeploy-hard", "UNDEPLOYED"), ("deploy", "RUNNING")),
    "poweroff, undeploy": (("poweroff", "POWEROFF"), ("undeploy", "UNDEPLOYED"), ("deploy", "RUNNING")),
    "stop, terminate": (("stop", "STOPPED"), ("resume", "PENDING"), ("terminate", "DONE")),
    "suspend, terminate": (("suspend", "SUSPENDED"), ("terminate", "DONE")),
    "undeploy, terminate": (("undeploy", "UNDEPLOYED"), ("terminate", "DONE")),
    "poweroff, terminate": (("poweroff", "POWEROFF"), ("terminate-hard", "DONE")),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_from_running_and_back(cloud: Cloud, host: int, network: int, way: str) -> None:
    """Each keeps the address; only what left the host gives its capacity back; the mark is gone afterwards."""
    vm = cloud.make_vm(network=network)
    cloud.deploy(vm, host)
    ip = cloud.body("vm", vm).findtext("TEMPLATE/NIC/IP")
    cloud.client.call("one.vm.action", "resched", vm)
    assert cloud.body("vm", vm).findtext("RESCHED") == "1"
    for action, state in WAYS[way]:
        if action == "deploy":
            cloud.deploy(vm, host)
        else:
            act(cloud, action, vm, state)
        body = cloud.body("vm", vm)
        assert (body.findtext("TEMPLATE/NIC/IP"), body.findtext("RESCHED")) == (ip, "0")
        on_host = state in ("RUNNING", "POWEROFF", "SUSPENDED")
        assert (str(vm) in [node.text for node in cloud.body("host", host).findall("VMS/ID")]) == on_host
    if cloud.vm_state(vm) != "DONE":
        act(cloud, "terminate", vm, "DONE")


def test_the_mark(cloud: Cloud, host: int) -> None:
    """resched and unresched change nothing else."""
    vm = cloud.make_vm()
    cloud.deploy(vm, host)
    for state, action in (("RUNNING", ""), ("POWEROFF", "poweroff")):
        if action:
            act(cloud, action, vm, state)
        for mark, value in (("resched", "1"), ("resched", "1"), ("unresched", "0")):
            act(cloud, mark, vm, state)
            assert cloud.body("vm", vm).findtext("RESCHED") == value
    act(cloud, "terminate", vm, "DONE")


# -- capacity


def test_deploy_looks_at_capacity_only_when_told(cloud: Cloud) -> None:
    """With enforce: CPU and MEMORY against what the host, or else its cluster, does not reserve."""
    cluster = cloud.client.number("one.cluster.allocate", unique("cluster"))
    host = cloud.add_hosts(1)[0]
    cloud.client.call("one.host.update", host, "DUMMY_CPU=200\nDUMMY_MEMORY=1000", 1)
    until(5, "its own capacity", lambda: cloud.body("host", host).findtext("HOST_SHARE/TOTAL_CPU") == "200")
    vm, big = cloud.make_vm(CPU=1.5, MEMORY=600), cloud.make_vm(CPU=0.1, MEMORY=1001)
    store = cloud.client.number("one.datastore.allocate", template(
        {"NAME": unique("ds"), "TYPE": "SYSTEM_DS", "TM_MAD": "dummy"}), cluster)
    cloud.client.call("one.cluster.addhost", cluster, host)
    assert "MEMORY 1001 MB" in refused(cloud.client, ACTION, "one.vm.deploy", big, host, True)
    own = "DUMMY_CPU=200\nDUMMY_MEMORY=1000\n"
    for where, oid, reserved, key, room in (
            ("host", host, "RESERVED_CPU=60", "MAX_CPU", 140), ("host", host, "RESERVED_CPU=30%", "MAX_CPU", 140),
            ("cluster", cluster, "RESERVED_CPU=60", "MAX_CPU", 140),
            ("cluster", cluster, "RESERVED_MEM=50%", "MAX_MEM", 500 * 1024)):
        cloud.client.call("one.host.update", host, own, 0)
        cloud.client.call(f"one.{where}.update", oid, own + reserved, 0)
        assert cloud.body("host", host).findtext(f"HOST_SHARE/{key}") == str(room)
        refused(cloud.client, ACTION, "one.vm.deploy", vm, host, True)
    cloud.client.call("one.cluster.update", cluster, "", 0)
    cloud.client.call("one.vm.deploy", vm, host, True)
    cloud.wait_vm(vm, "RUNNING")
    share = {n.tag: n.text for n in cloud.body("host", host).findall("HOST_SHARE/*")}
    assert (share["CPU_USAGE"], share["MEM_USAGE"], share["RUNNING_VMS"]) == ("150", str(600 * 1024), "1")
    second = cloud.make_vm(CPU=1, MEMORY=64)
    assert "CPU 1 needed" in refused(cloud.client, ACTION, "one.vm.deploy", second, host, True)
    cloud.client.call("one.host.update", host, 'DUMMY_CPU=200\nDUMMY_MEMORY=1000\nRESERVED_CPU="-100"', 0)
    cloud.client.call("one.vm.deploy", second, host, True)
    cloud.client.call("one.vm.deploy", big, host, False, store)
    for one in (vm, second, big):
        cloud.wait_vm(one, "RUNNING")
        act(cloud, "terminate-hard", one, "DONE")
    cloud.client.call("one.host.delete", host)


def test_what_deploy_refuses(cloud: Cloud, host: int) -> None:
    """No such host or datastore, one for images, a host that is offline; a disabled one takes what is sent by hand."""
    vm, other = cloud.make_vm(), cloud.add_hosts(1)[0]
    refused(cloud.client, NO_EXISTS, "one.vm.deploy", vm, 4711)
    refused(cloud.client, NO_EXISTS, "one.vm.deploy", vm, host, False, 4711)
    refused(cloud.client, RPC_API, "one.vm.deploy", vm, host, False, 1)
    refused(cloud.client, RPC_API, "one.vm.deploy", vm, host, False, 0, "A=[")
    cloud.client.call("one.host.status", other, 2)
    refused(cloud.client, ACTION, "one.vm.deploy", vm, other)
    assert cloud.vm_state(vm) == "PENDING"
    cloud.client.call("one.host.status", other, 1)
    cloud.wait_host(other, "DISABLED")
    cloud.deploy(vm, other)
    act(cloud, "undeploy", vm, "UNDEPLOYED")
    cloud.deploy(vm, host)
    act(cloud, "terminate", vm, "DONE")
    cloud.client.call("one.host.delete", other)


# -- what is told of it


def test_history(cloud: Cloud, host: int) -> None:
    """One record a stay: where, from when to when, what ended it and who asked for that."""
    cloud.dummy(delay={"tm.prolog": 0.1})
    other, (uid, user) = cloud.add_hosts(1)[0], cloud.make_user()
    vm = user.number("one.vm.allocate", template({"CPU": 1, "MEMORY": 64}))
    begin = int(time.time())
    cloud.deploy(vm, host)
    for action, state in (("poweroff", "POWEROFF"), ("resume", "RUNNING"), ("stop", "STOPPED")):
        user.call("one.vm.action", action, vm)
        cloud.wait_vm(vm, state)
    cloud.deploy(vm, other)
    act(cloud, "terminate-hard", vm, "DONE")
    body = cloud.body("vm", vm)
    found = [{node.tag: node.text or "" for node in stay} for stay in body.iter("HISTORY")]
    assert [[stay[key] for key in ("SEQ", "HID", "ACTION", "UID")] for stay in found] == [
        ["0", str(host), "19", str(uid)], ["1", str(host), "9", str(uid)], ["2", str(other), "28", "0"]]
    assert all(stay["REQUEST_ID"] and stay["VM_MAD"] == stay["TM_MAD"] == "dummy" for stay in found)
    order = ("STIME", "PSTIME", "PETIME", "RSTIME", "RETIME", "ESTIME", "EETIME", "ETIME")
    for stay in found:
        times = [int(stay[key]) for key in order if stay[key] != "0"]
        assert times == sorted(times) and begin <= times[0] <= times[-1] <= time.time()
    zero = [[key for key in order if stay[key] == "0"] for stay in found]
    assert zero == [["ESTIME", "EETIME"], ["PSTIME", "PETIME"], []]
    assert int(body.findtext("ETIME", "")) >= int(body.findtext("STIME", "")) >= begin
    cloud.client.call("one.host.delete", other)


def test_update(cloud: Cloud, host: int) -> None:
    """Replace or merge the user template, never the other; ERROR and SCHED_MESSAGE come and go."""
    vm = cloud.make_vm(A="1", B={"C": "2"}, DUMMY={"ACTION": "vm.deploy", "FAIL": "boom"})

    def user() -> dict[str, str]:
        return {node.tag: node.text or "" for node in cloud.body("vm", vm).findall("USER_TEMPLATE/*")}
    cloud.client.call("one.vm.update", vm, 'A="3"\nE="new"', 1)
    assert (user()["A"], user()["E"], "B" in user()) == ("3", "new", True)
    cloud.client.call("one.vm.update", vm, 'SCHED_MESSAGE="no room"', 1)
    assert user()["SCHED_MESSAGE"] == "no room"
    cloud.client.call("one.vm.deploy", vm, host)
    cloud.wait_vm(vm, "BOOT_FAILURE")
    assert "SCHED_MESSAGE" not in user() and "boom" in user()["ERROR"]
    cloud.client.call("one.vm.update", vm, "F=1", 1)
    assert "boom" in user()["ERROR"]
    cloud.client.call("one.vm.update", vm, 'ONLY="this"\nERROR="mine"\nMEMORY="1"', 0)
    assert {key: value for key, value in user().items() if key != "MEMORY"} == {"ONLY": "this"}
    assert cloud.body("vm", vm).findtext("TEMPLATE/MEMORY") == "64"
    refused(cloud.client, RPC_API, "one.vm.update", vm, "A=[", 0)
    refused(cloud.client, RPC_API, "one.vm.update", vm, "A=1", 2)
    cloud.client.call("one.vm.update", vm, "", 0)
    assert user() == {}
    act(cloud, "terminate", vm, "DONE")


def test_pools_with_vms_that_are_done(cloud: Cloud, host: int) -> None:
    """States, ranges, pages and sets over VMs in memory and those that only SQL has."""
    _, user = cloud.make_user()
    text = template({"CPU": 1, "MEMORY": 64, "NOTE": "mark"})
    a, b, c, d, e = (user.number("one.vm.allocate", text) for _ in range(5))
    for vm in (a, d):
        user.call("one.vm.action", "terminate", vm)
    user.call("one.vm.action", "hold", c)
    cloud.deploy(e, host)
    for method in ("one.vmpool.info", "one.vmpool.infoextended"):
        for state, expected in ((-1, [b, c, e]), (-2, [a, b, c, d, e]), (6, [a, d]), (1, [b]), (2, [c]), (3, [e]),
                                (8, [])):
            assert seen(user, method, -3, -1, -1, state) == expected, state
        assert seen(user, method, -3, -1, -1) == [b, c, e]
        for start, end, expected in ((0, -2, [a, b]), (2, -2, [c, d]), (4, -5, [e]), (5, -2, []), (b, d, [b, c, d]),
                                     (c, -1, [c, d, e])):
            assert seen(user, method, -3, start, end, -2) == expected, (start, end)
        assert seen(user, method, -3, 1, -2, 6) == [d]
        for state in (-3, 12):
            refused(user, RPC_API, method, -3, -1, -1, state)
        refused(user, RPC_API, method, -5, -1, -1, -2)
    assert seen(user, "one.vmpool.infoset", f"{e}, {a},,{b},999999") == [a, b, e]
    assert seen(user, "one.vmpool.infoset", "") == []
    refused(user, RPC_API, "one.vmpool.infoset", "1,x")
    short, full = (ElementTree.fromstring(user.text("one.vmpool.infoset", f"{a},{e}", flag)) for flag in (False, True))
    assert [vm.find("PERMISSIONS") is None for vm in (*short, *full)] == [True, True, False, False]
    assert [vm.findtext("USER_TEMPLATE/NOTE") for vm in (*short, *full)] == ["mark"] * 4
    for vm in (b, c, e):
        user.call("one.vm.action", "terminate", vm)


def test_a_log_of_its_own(cloud: Cloud, host: int) -> None:
    """Who made it, its states and errors, the last lines when asked, also when it is DONE."""
    vm = cloud.make_vm(DUMMY={"ACTION": "vm.deploy", "FAIL": "boom", "TIMES": "1"})
    cloud.client.call("one.vm.deploy", vm, host)
    cloud.wait_vm(vm, "BOOT_FAILURE")
    cloud.client.call("one.vm.recover", vm, 2)
    cloud.wait_vm(vm, "RUNNING")
    refused(cloud.client, ACTION, "one.vm.recover", vm, 0)
    act(cloud, "terminate", vm, "DONE")
    log = cloud.client.text("onecore.vm.log", vm)
    assert "recover --failure" not in log, "it was refused"
    places = [log.find(word) for word in ("Created by user 0 (oneadmin), state PENDING", "state is PROLOG",
                                          "state is BOOT", "boom",
                                          "recover --retry by user 0", "state is RUNNING", "state is EPILOG",
                                          "state is DONE")]
    assert -1 not in places and places == sorted(places), log
    assert cloud.client.text("onecore.vm.log", vm, 1).strip() == log.strip().splitlines()[-1]
    for lines in (0, -1, 10_001):
        refused(cloud.client, RPC_API, "onecore.vm.log", vm, lines)
    refused(cloud.client, NO_EXISTS, "onecore.vm.log", 999999)


def test_monitoring(make_cloud: MakeCloud) -> None:
    """The latest sample is in the body and in the pool's monitoring, for VMs that run and may be seen."""
    cloud = make_cloud({"monitoring": {"host_period": 1}})
    host, (_, user) = cloud.add_hosts(1)[0], cloud.make_user()
    runs, waits = cloud.make_vm(CPU=2, MEMORY=128), cloud.make_vm()
    cloud.deploy(runs, host)
    until(5, "a sample", lambda: cloud.body("vm", runs).findtext("MONITORING/MEMORY"))
    assert cloud.body("vm", runs).findtext("MONITORING/MEMORY") == str(128 * 1024)
    assert abs(int(cloud.body("vm", runs).findtext("LAST_POLL", "0")) - time.time()) < 10
    pool = ElementTree.fromstring(cloud.client.text("one.vmpool.monitoring", -2, 0))
    assert [node.findtext("ID") for node in pool] == [str(runs)]
    assert len(ElementTree.fromstring(user.text("one.vmpool.monitoring", -2, 0))) == 0
    assert len(ElementTree.fromstring(cloud.client.text("one.vm.monitoring", waits))) == 0
    host_body = cloud.body("host", host)
    assert int(host_body.findtext("MONITORING/CAPACITY/USED_CPU", "0")) >= 200


def test_nothing_is_made_of_what_is_wrong(cloud: Cloud) -> None:
    """The last NIC of a template is missing: no address, image or id is spent on the others."""
    image, network = cloud.make_image(), cloud.make_network()
    before = cloud.make_vm(hold=True)
    text = {"CPU": 1, "MEMORY": 64, "DISK": {"IMAGE_ID": image}, "NIC": [{"NETWORK_ID": network}] * 3}
    refused(cloud.client, NO_EXISTS, "one.vm.allocate", template({**text, "NIC": [{"NETWORK_ID": network}, {
        "NETWORK_ID": 4711}]}))
    refused(cloud.client, ALLOCATE, "one.vm.allocate", template({**text, "GRAPHICS": {"TYPE": "VNC", "PORT": "x"}}))
    assert cloud.body("vn", network).findtext("USED_LEASES") == "0"
    assert cloud.body("image", image).findtext("RUNNING_VMS") == "0"
    after = cloud.make_vm(hold=True)
    assert after == before + 1
    for vm in (before, after):
        act(cloud, "terminate", vm, "DONE")
