"""OpenNebula's Python binding, unmodified, drives a whole life; raw calls as the Ruby and Go bindings write them."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyone
import pytest
from api_calls import NO_EXISTS, call_xml, post
from cloud_process import Cloud, unique, until

from onecore.wire import xmlrpc

pytestmark = pytest.mark.surface


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud whose match-maker runs."""
    cloud = Cloud(tmp_path_factory.mktemp("pyone"), {}).start()
    cloud.start_scheduler()
    yield cloud
    cloud.stop()


def server(cloud: Cloud, session: str = "") -> Any:
    """pyone's server object."""
    return pyone.OneServer(cloud.endpoint, session=session or ":".join(cloud.credentials()))


def reaches(one: Any, vm: int, state: int, lcm: int = 0) -> Any:
    """Wait until a VM is in a state; its body."""
    def look() -> Any:
        found = one.vm.info(vm)
        now = (found.STATE, found.LCM_STATE)
        return found if now == (state, lcm) else None
    return until(15, f"VM {vm} to be in state {state}, {lcm}", look,
                 lambda: (one.vm.info(vm).STATE, one.vm.info(vm).LCM_STATE))


RUNS = (pyone.VM_STATE.ACTIVE, pyone.LCM_STATE.RUNNING)


def test_a_whole_life(placed: Cloud) -> None:
    """User, host, datastore, image, network, template, VM, every action, recover, and all of it gone again."""
    one = server(placed)
    assert one.system.version() == "7.4.0"
    user = one.user.allocate("paul", "secret", "", [])
    paul = server(placed, "paul:secret")
    host = one.host.allocate(unique("host"), "dummy", "dummy", -1)
    store = one.datastore.allocate({"NAME": unique("store"), "DS_MAD": "dummy", "TM_MAD": "dummy"}, -1)
    one.datastore.chmod(store, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    image = paul.image.allocate({"NAME": "disk", "SIZE": 64, "TYPE": "DATABLOCK"}, store)
    net = one.vn.allocate({"TEMPLATE": {"NAME": unique("net"), "VN_MAD": "dummy", "DNS": "10.0.0.1",
                                        "AR": {"TYPE": "IP4", "IP": "10.8.0.2", "SIZE": "10"}}}, -1)
    one.vn.chmod(net, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    until(5, "the image", lambda: paul.image.info(image).STATE == pyone.IMAGE_STATES.READY)
    until(5, "the host", lambda: one.host.info(host).STATE == pyone.HOST_STATES.MONITORED)
    template = paul.template.allocate({"TEMPLATE": {
        "NAME": "small", "CPU": "0.1", "MEMORY": "64", "DISK": {"IMAGE_ID": image},
        "NIC": [{"NETWORK_ID": net}, {"NETWORK_ID": net, "IP": "10.8.0.9"}],
        "CONTEXT": {"NETWORK": "YES", "SSH_PUBLIC_KEY": "ssh-rsa <&> ]] key", "SET_HOSTNAME": "$NAME"}}})
    extra = {"TEMPLATE": {"LABELS": "a", "MORE": {"INNER": "<b>"}}}
    vm = paul.template.instantiate(template, "web", False, extra, False)
    found = reaches(paul, vm, *RUNS)
    assert found.NAME == "web" and found.UNAME == "paul"
    assert found.USER_TEMPLATE["MORE"]["INNER"] == "<b>"
    assert [nic["IP"] for nic in found.TEMPLATE["NIC"]] == ["10.8.0.2", "10.8.0.9"]
    assert found.TEMPLATE["CONTEXT"]["SSH_PUBLIC_KEY"] == "ssh-rsa <&> ]] key"
    assert found.TEMPLATE["CONTEXT"]["ETH1_IP"] == "10.8.0.9"
    assert [stay.HID for stay in found.HISTORY_RECORDS.HISTORY] == [host]
    _every_action(one, paul, vm)
    one.vm.recover(vm, 4)
    reaches(paul, vm, *RUNS)
    paul.vm.update(vm, {"LABELS": "b"}, 1)
    assert paul.vm.info(vm).USER_TEMPLATE["LABELS"] == "b"
    assert paul.vm.info(vm).USER_TEMPLATE["MORE"]["INNER"] == "<b>"
    assert [v.ID for v in paul.vmpool.info(-3, -1, -1, -1).VM] == [vm]
    assert [v.NAME for v in paul.vmpool.infoextended(-2, -1, -1, 3).VM] == ["web"]
    paul.vm.action("terminate", vm)
    reaches(paul, vm, pyone.VM_STATE.DONE)
    paul.template.delete(template)
    paul.image.delete(image)
    until(5, "the image to go", lambda: not one.imagepool.info(-2, -1, -1).IMAGE)
    for gone in ((one.vn, net), (one.datastore, store), (one.host, host), (one.user, user)):
        gone[0].delete(gone[1])


def _every_action(one: Any, paul: Any, vm: int) -> None:
    states = pyone.VM_STATE
    for action, state in (("poweroff", states.POWEROFF), ("poweroff-hard", states.POWEROFF),
                          ("suspend", states.SUSPENDED), ("stop", states.STOPPED),
                          ("undeploy", states.UNDEPLOYED), ("undeploy-hard", states.UNDEPLOYED)):
        paul.vm.action(action, vm)
        reaches(paul, vm, state)
        paul.vm.action("resume", vm)
        reaches(paul, vm, *RUNS)
    for action in ("reboot", "reboot-hard"):
        paul.vm.action(action, vm)
    reaches(paul, vm, *RUNS)
    paul.vm.action("poweroff", vm)
    reaches(paul, vm, states.POWEROFF)
    one.vm.action("resched", vm)
    assert paul.vm.info(vm).RESCHED == 1
    one.vm.action("unresched", vm)
    assert paul.vm.info(vm).RESCHED == 0


def test_a_vm_that_changes(placed: Cloud) -> None:
    """NICs, aliases, system snapshots, size, configuration, a command in the guest: as clients write and read them."""
    one = server(placed)
    host = one.host.allocate(unique("host"), "dummy", "dummy", -1)
    net = one.vn.allocate({"TEMPLATE": {"NAME": unique("net"), "VN_MAD": "dummy",
                                        "AR": {"TYPE": "IP4", "IP": "10.9.0.2", "SIZE": "10"}}}, -1)
    vm = one.vm.allocate({"TEMPLATE": {"CPU": "0.1", "MEMORY": "64", "MEMORY_MAX": "256",
                                       "CONTEXT": {"NETWORK": "YES"}}}, False)
    reaches(one, vm, *RUNS)

    def change(method: str, *arguments: Any) -> Any:
        value = getattr(one.vm, method)(vm, *arguments)
        return value, reaches(one, vm, *RUNS).TEMPLATE
    _, template = change("attachnic", {"TEMPLATE": {"NIC": {"NETWORK_ID": net, "NAME": "web"}}})
    assert (template["NIC"]["IP"], template["CONTEXT"]["ETH0_IP"]) == ("10.9.0.2", "10.9.0.2")
    _, template = change("attachnic", {"TEMPLATE": {"NIC_ALIAS": {"NETWORK_ID": net, "PARENT": "web"}}})
    assert template["CONTEXT"]["ETH0_ALIAS0_IP"] == "10.9.0.3" and template["NIC"]["ALIAS_IDS"] == "1"
    _, template = change("updatenic", 0, {"TEMPLATE": {"NIC": {"INBOUND_AVG_BW": "100"}}}, 1)
    assert template["NIC"]["INBOUND_AVG_BW"] == "100"
    number, template = change("snapshotcreate", "now")
    assert [(s["NAME"], s["HYPERVISOR_ID"]) for s in template["SNAPSHOT"]] == [("now", "snap-0")] and number == 0
    change("snapshotrevert", 0)
    _, template = change("snapshotdelete", 0)
    assert not template.get("SNAPSHOT")
    _, template = change("resize", {"MEMORY": 128}, True)
    assert template["MEMORY"] == "128"
    _, template = change("updateconf", {"TEMPLATE": {"CONTEXT": {"A": "<b>"}, "GRAPHICS": {"TYPE": "VNC"}}}, 1)
    assert template["CONTEXT"]["A"] == "<b>" and template["GRAPHICS"]["PORT"] == str(5900 + vm)
    one.vm.exec(vm, "echo", "")
    until(5, "the command", lambda: one.vm.info(vm).TEMPLATE["QEMU_GA_EXEC"]["STATUS"] == "DONE")
    assert one.vm.info(vm).TEMPLATE["QEMU_GA_EXEC"]["RETURN_CODE"] == "0"
    _, template = change("detachnic", 0)
    assert "NIC" not in template and "NIC_ALIAS" not in template and "ETH0_IP" not in template["CONTEXT"]
    one.vm.action("terminate-hard", vm)
    reaches(one, vm, pyone.VM_STATE.DONE)
    one.vn.delete(net)
    one.host.delete(host)


def test_hold_and_release(placed: Cloud) -> None:
    """The match-maker leaves alone what is on hold."""
    one = server(placed)
    host = one.host.allocate(unique("host"), "dummy", "dummy", -1)
    vm = one.vm.allocate({"CPU": "0.1", "MEMORY": "64"}, True)
    assert one.vm.info(vm).STATE == pyone.VM_STATE.HOLD
    one.vm.action("release", vm)
    reaches(one, vm, *RUNS)
    one.vm.action("terminate-hard", vm)
    reaches(one, vm, pyone.VM_STATE.DONE)
    one.host.delete(host)


def test_exceptions_have_types(cloud: Cloud) -> None:
    """By error code."""
    one = server(cloud)
    user, _ = cloud.make_user("petra")
    vm = cloud.make_vm(hold=True)
    cases: tuple[tuple[type[Exception], Callable[[], Any]], ...] = (
        (pyone.OneAuthenticationException, lambda: server(cloud, "petra:wrong").vm.info(vm)),
        (pyone.OneAuthorizationException, lambda: server(cloud, "petra:secret").vm.info(vm)),
        (pyone.OneNoExistsException, lambda: one.vm.info(4711)),
        (pyone.OneActionException, lambda: one.vm.action("resume", vm)),
        (pyone.OneApiException, lambda: one.vm.action("fly", vm)),
        (pyone.OneException, lambda: one.vm.allocate({"CPU": "1"})),
        (pyone.OneException, lambda: one.vm.fly(vm)))
    for wanted, call in cases:
        with pytest.raises(wanted) as raised:
            call()
        assert type(raised.value) is wanted
    one.vm.action("terminate", vm)
    one.user.delete(user)


def test_every_pool_can_be_bound(cloud: Cloud) -> None:
    """pyone makes objects of every body, empty pools included."""
    one = server(cloud)
    vm = cloud.make_vm(image=cloud.make_image(), network=cloud.make_network(), hold=True)
    for pool in (one.vmpool.info(-2, -1, -1, -2), one.vmpool.infoextended(-2, -1, -1, -1), one.hostpool.info(),
                 one.imagepool.info(-2, -1, -1), one.vnpool.info(-2, -1, -1), one.templatepool.info(-2, -1, -1),
                 one.datastorepool.info(), one.clusterpool.info(), one.userpool.info(), one.grouppool.info(),
                 one.zonepool.info(), one.acl.info(), one.system.config(), one.vmpool.monitoring(-2, 0)):
        assert pool is not None
    assert one.datastorepool.info().DATASTORE[0].NAME == "system"
    assert one.vmpool.infoset(str(vm), True).VM[0].TEMPLATE["DISK"]["TARGET"] == "vda"
    assert {g.NAME for g in one.grouppool.info().GROUP} >= {"oneadmin", "users"}
    one.vm.action("terminate", vm)


# -- in the raw

def value_of(answer: bytes) -> list[Any]:
    """The array of an answer."""
    found = xmlrpc.decode_answer(answer)
    assert isinstance(found, list)
    return found


def test_how_others_write_calls(cloud: Cloud) -> None:
    """Ruby's <i4>, Go's <int>, <i8>, text without a type, white space; missing trailing and surplus arguments."""
    session = ":".join(cloud.credentials())
    vm = cloud.make_vm(hold=True)
    for values in (("<i4>{}</i4>",), ("<int>{}</int>",), ("<i8>{}</i8>",), ("<i4>{}</i4>", "<boolean>0</boolean>"),
                   ("<i4> {}\n</i4>", "<boolean>1</boolean>", "<string>surplus</string>", "<i4>5</i4>"),
                   ("<i4>{}</i4>", "<i4>0</i4>")):
        for secret in (f"<string>{session}</string>", session):
            status, answer = post(cloud, call_xml("one.vm.info", secret, *(v.format(vm) for v in values)))
            found = value_of(answer)
            assert (status, found[0], found[2], len(found)) == (200, True, 0, 3)
            assert found[1].startswith(f"<VM><ID>{vm}</ID>")
    pager = ("<i4>-2</i4>", "<i4>0</i4>", "<i4>-10</i4>", "<i4>-1</i4>", "<string></string>")
    for pool in ("vm", "image", "vn", "template", "host", "user", "group", "datastore", "cluster", "zone"):
        found = value_of(post(cloud, call_xml(f"one.{pool}pool.info", session, *pager))[1])
        assert found[0] is True, found
    found = value_of(post(cloud, call_xml("one.vm.allocate", session, "CPU=1\nMEMORY=64\nNAME=\"a &amp; b &lt;\""))[1])
    assert found[0] is True and isinstance(found[1], int)
    assert cloud.body("vm", found[1]).findtext("NAME") == "a & b <"
    for oid in (vm, found[1]):
        cloud.client.call("one.vm.action", "terminate", oid)


def test_answers_have_three_or_five_elements(cloud: Cloud) -> None:
    """Success: true, value, 0.  Failure: false, text, code, object id, replication index as <i8>."""
    session = ":".join(cloud.credentials())
    answer = post(cloud, call_xml("one.system.version", session))[1]
    assert value_of(answer) == [True, "7.4.0", 0]
    assert b"<value><string>7.4.0</string></value>" in answer
    answer = post(cloud, call_xml("one.vm.info", session, "<i4>4711</i4>"))[1]
    assert value_of(answer) == [False, "[one.vm.info] Error getting virtual machine [4711].", NO_EXISTS, 4711, 0]
    assert b"<value><i8>0</i8></value></data>" in answer and b"<int>4711</int>" in answer
