"""one.vm.updateconf: exactly what may change, merged or replaced, by whom, in which states, and what a guest sees."""
from __future__ import annotations

from typing import Any

import pytest
from api_bodies import end, vector
from api_calls import ACTION, AUTHORIZATION, NO_EXISTS, RPC_API, refused
from cloud_process import Cloud, vm_template
from xsd import validate

from onecore.kinds.vm.updateconf import CONF

pytestmark = pytest.mark.surface

VALUES = {"UUID": "6f6e6563-6f72-4500-8000-00000000abcd", "PORT": "29999", "VRAM": "4096", "LISTEN": "127.0.0.1"}
TYPES = {"GRAPHICS": "VNC", "SERIAL": "tcp", "INPUT": "tablet", "VIDEO": "virtio", "RAW": "kvm"}


@pytest.fixture(scope="module")
def host(shared_cloud: Cloud) -> int:
    """The host of this module."""
    return shared_cloud.add_hosts(1)[0]


def make(cloud: Cloud, host: int, state: str = "PENDING", **more: Any) -> int:
    """A VM in STATE."""
    vm = cloud.make_vm(**more)
    if state != "PENDING":
        cloud.deploy(vm, host)
    actions = {"POWEROFF": "poweroff", "SUSPENDED": "suspend", "UNDEPLOYED": "undeploy", "STOPPED": "stop"}
    if state in actions:
        cloud.client.call("one.vm.action", actions[state], vm)
        cloud.wait_vm(vm, state)
    return vm


def conf(cloud: Cloud, vm: int, name: str) -> dict[str, str]:
    """A vector of TEMPLATE, or USER_TEMPLATE; empty when there is none."""
    body = cloud.body("vm", vm)
    for part in ("TEMPLATE", "USER_TEMPLATE"):
        if body.findall(f"{part}/{name}"):
            return vector(body, f"{part}/{name}")
    return {}


def ask(cloud: Cloud, vm: int, text: str, append: int = 0) -> None:
    """The call, and the end of what it began."""
    state = cloud.vm_state(vm)
    cloud.client.call("one.vm.updateconf", vm, text, append)
    cloud.wait_vm(vm, state)
    validate("vm", cloud.client.text("one.vm.info", vm))
    validate("vm_pool", cloud.client.text("one.vmpool.info", -2, vm, vm, -1))


def text(name: str, values: dict[str, str]) -> str:
    """A vector as text."""
    return f"{name}=[" + ",".join(f'{key}="{value}"' for key, value in values.items()) + "]\n"


@pytest.mark.parametrize("state", ["PENDING", "POWEROFF", "UNDEPLOYED", "RUNNING"])
@pytest.mark.parametrize("name", CONF)
def test_each_vector(cloud: Cloud, host: int, state: str, name: str) -> None:
    """Every key of it is set, one is changed alone, one is taken away, then all of it."""
    vm = make(cloud, host, state)
    wanted = {key: VALUES.get(key, "1") for key in CONF[name] if key != "UUID" or state != "RUNNING"}
    if "TYPE" in wanted:
        wanted["TYPE"] = TYPES[name]
    ask(cloud, vm, text(name, wanted), 1)
    assert conf(cloud, vm, name) == wanted
    last = [key for key in wanted if key not in ("PORT", "TYPE", "VRAM")][-1]
    ask(cloud, vm, text(name, {last: "other"}), 1)
    assert conf(cloud, vm, name) == {**wanted, last: "other"}
    if len(wanted) > 1:
        ask(cloud, vm, text(name, {key: value for key, value in wanted.items() if key != last}))
        assert conf(cloud, vm, name) == {key: value for key, value in wanted.items() if key != last}
    ask(cloud, vm, "")
    assert conf(cloud, vm, name) == {}
    end(cloud, vm)


def test_a_running_guest(cloud: Cloud, host: int) -> None:
    """Its context is renewed through HOTPLUG; a failure is told, and what was asked for stays for its next start."""
    vm = make(cloud, host, "RUNNING", CONTEXT={"A": "1"})
    ask(cloud, vm, 'CONTEXT=[A="2"]', 1)
    body = cloud.body("vm", vm)
    assert (body.findtext("PREV_LCM_STATE"), conf(cloud, vm, "CONTEXT")["A"]) == ("17", "2")
    cloud.client.call("one.vm.update", vm, 'DUMMY=[ACTION="vm.updateconf",FAIL="no drive"]', 1)
    ask(cloud, vm, 'CONTEXT=[A="3"]', 1)
    assert "no drive" in (cloud.body("vm", vm).findtext("USER_TEMPLATE/ERROR") or "")
    assert conf(cloud, vm, "CONTEXT")["A"] == "3"
    cloud.client.call("one.vm.update", vm, "", 0)
    ask(cloud, vm, "", 1)
    assert cloud.body("vm", vm).find("USER_TEMPLATE/ERROR") is None
    end(cloud, vm)


def test_what_a_guest_is_known_by(cloud: Cloud, host: int) -> None:
    """Its UUID is that of its domain while there may be one."""
    vm = make(cloud, host, "RUNNING")
    said = refused(cloud.client, RPC_API, "one.vm.updateconf", vm, f"OS=[UUID={VALUES['UUID']}]", 1)
    assert "OS/UUID" in said
    cloud.client.call("one.vm.action", "poweroff", vm)
    cloud.wait_vm(vm, "POWEROFF")
    ask(cloud, vm, f"OS=[UUID={VALUES['UUID']}]", 1)
    cloud.client.call("one.vm.action", "resume", vm)
    cloud.wait_vm(vm, "RUNNING")
    ask(cloud, vm, "OS=[BOOT=disk0]", 1)
    assert "OS/UUID" in refused(cloud.client, RPC_API, "one.vm.updateconf", vm, "OS=[BOOT=disk0]")
    end(cloud, vm)


def test_the_context(cloud: Cloud, host: int) -> None:
    """Variables are replaced in what is new; what is sent back is not taken for a template; its CD stays."""
    net = cloud.make_network(ip="10.45.0.1")
    vm = cloud.make_vm(name="mine", network=net, CONTEXT={"NETWORK": "YES", "A": "$NAME", "B": "$$HOME", "MINE": "x"})
    before = conf(cloud, vm, "CONTEXT")
    assert (before["A"], before["B"]) == ("mine", "$HOME")
    ask(cloud, vm, text("CONTEXT", before))
    assert conf(cloud, vm, "CONTEXT") == before
    ask(cloud, vm, 'CONTEXT=[C="$NAME-$VMID",B="other"]', 1)
    after = {**before, "C": f"mine-{vm}", "B": "other"}
    assert conf(cloud, vm, "CONTEXT") == after
    ask(cloud, vm, 'CONTEXT=[NETWORK="YES",D="4",DISK_ID="9",TARGET="sdx",ETH0_IP="1.2.3.4"]')
    assert conf(cloud, vm, "CONTEXT") == {
        "DISK_ID": before["DISK_ID"], "TARGET": before["TARGET"], "NETWORK": "YES", "D": "4",
        **{key: value for key, value in before.items() if key.startswith("ETH0_")}}
    ask(cloud, vm, "OS=[BOOT=disk0]")
    assert conf(cloud, vm, "CONTEXT")["D"] == "4", "CONTEXT that is not given stays"
    end(cloud, vm)


def test_files_in_the_context(cloud: Cloud) -> None:
    """By FILES_DS; a file that is none is refused."""
    file = cloud.make_image(datastore=2, TYPE="CONTEXT", PATH="/some/init.sh")
    vm = cloud.make_vm(CONTEXT={"A": "b"})
    ask(cloud, vm, f'CONTEXT=[FILES_DS="$FILE[IMAGE_ID={file}]"]', 1)
    assert conf(cloud, vm, "CONTEXT")["FILES_DS"] == f"$FILE[IMAGE_ID={file}]"
    assert "4711" in refused(cloud.client, NO_EXISTS, "one.vm.updateconf", vm, "CONTEXT=[FILES_DS=4711]", 1)
    ask(cloud, vm, 'CONTEXT=[A="b"]')
    assert "FILES_DS" not in conf(cloud, vm, "CONTEXT")
    end(cloud, vm)
    cloud.client.call("one.image.delete", file)


@pytest.mark.parametrize(("given", "said"), [
    ("CPU=2", "CPU"), ("DISK=[SIZE=1]", "DISK"), ("NIC=[IP=1.2.3.4]", "NIC"), ("BACKUP_CONFIG=[KEEP_LAST=1]",
                                                                              "BACKUP_CONFIG"),
    ("OS=[FOO=1]", "OS/FOO"), ("GRAPHICS=[FOO=1]", "GRAPHICS/FOO"), ("TOPOLOGY=[PIN_POLICY=CORE]", "PIN_POLICY"),
    ("OS=5", "OS"), ("OS=[BOOT=a]\nOS=[BOOT=b]", "OS"), ("OS=[", "line 1"), ("CONTEXT=[A=b]", "CONTEXT"),
    ("GRAPHICS=[TYPE=VNC,PORT=x]", "GRAPHICS PORT"), ("SERIAL=[PORT=80]", "SERIAL PORT"),
    ("SERIAL=[TYPE=usb]", "SERIAL TYPE"), ("VIDEO=[VRAM=x]", "VRAM"), ("RANDOM=1", "RANDOM")])
def test_what_cannot_be_changed(cloud: Cloud, given: str, said: str) -> None:
    """Refused, naming it; nothing of the rest is done."""
    vm = cloud.make_vm()
    before = cloud.client.text("one.vm.info", vm)
    more = "" if given.endswith("[") else "\nFEATURES=[ACPI=no]"
    assert said in refused(cloud.client, RPC_API, "one.vm.updateconf", vm, given + more, 1)
    assert cloud.client.text("one.vm.info", vm) == before
    end(cloud, vm)


def test_append_is_0_or_1(cloud: Cloud) -> None:
    """Nothing else."""
    vm = cloud.make_vm()
    for append in (-1, 2):
        assert "append" in refused(cloud.client, RPC_API, "one.vm.updateconf", vm, "", append)
    end(cloud, vm)


@pytest.mark.parametrize("state", ["SUSPENDED", "STOPPED"])
def test_where_it_stays(cloud: Cloud, host: int, state: str) -> None:
    """A saved guest comes back as it was."""
    vm = make(cloud, host, state)
    assert state in refused(cloud.client, ACTION, "one.vm.updateconf", vm, "OS=[BOOT=disk0]")
    end(cloud, vm)


def test_while_something_is_under_way(cloud: Cloud, host: int) -> None:
    """In PROLOG, for one: the operation goes on, the start has it."""
    vm = cloud.make_vm()
    cloud.hold("tm.prolog", vm=vm)
    cloud.client.call("one.vm.deploy", vm, host)
    cloud.client.call("one.vm.updateconf", vm, "OS=[BOOT=disk0]", 1)
    assert cloud.vm_state(vm) == "PROLOG"
    cloud.dummy()
    cloud.wait_vm(vm, "RUNNING")
    assert conf(cloud, vm, "OS") == {"BOOT": "disk0"}
    end(cloud, vm)


def test_who_may(cloud: Cloud) -> None:
    """MANAGE; what only administrators give, others neither set nor take away, but send back as it is."""
    _, user = cloud.make_user()
    _, stranger = cloud.make_user()
    made = cloud.make_template(RAW={"TYPE": "kvm", "DATA": "<a/>"}, OS={"KERNEL": "/boot/k", "BOOT": "disk0"},
                               CONTEXT={"FILES": "/etc/hosts"})
    cloud.client.call("one.template.chmod", made, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    vm = user.number("one.template.instantiate", made, "x", True)
    assert "MANAGE" in refused(stranger, AUTHORIZATION, "one.vm.updateconf", vm, "OS=[BOOT=disk0]")
    for given, said in (('RAW=[TYPE=kvm,DATA="<b/>"]', "RAW/DATA"), ("OS=[KERNEL=/boot/other]", "OS/KERNEL"),
                        ('CONTEXT=[FILES="/etc/shadow"]', "CONTEXT/FILES")):
        assert said in refused(user, AUTHORIZATION, "one.vm.updateconf", vm, given, 1)
    user.call("one.vm.updateconf", vm, 'RAW=[TYPE=kvm,DATA="<a/>"]\nOS=[KERNEL=/boot/k,BOOT=disk1]\nCONTEXT=[A=b]', 0)
    assert conf(cloud, vm, "OS") == {"KERNEL": "/boot/k", "BOOT": "disk1"}
    assert conf(cloud, vm, "CONTEXT")["FILES"] == "/etc/hosts"
    user.call("one.vm.updateconf", vm, "", 0)
    assert conf(cloud, vm, "RAW") == {"TYPE": "kvm", "DATA": "<a/>"} and conf(cloud, vm, "OS") == {"KERNEL": "/boot/k"}
    cloud.client.call("one.vm.updateconf", vm, "", 0)
    assert conf(cloud, vm, "RAW") == {} == conf(cloud, vm, "OS")
    end(cloud, vm)


def test_what_update_leaves_alone(cloud: Cloud) -> None:
    """CPU_MODEL and SERIAL are in USER_TEMPLATE, and no business of one.vm.update."""
    vm = cloud.make_vm(CPU_MODEL={"MODEL": "host-model"}, SERIAL={"TYPE": "tcp"}, LABELS="a")
    cloud.client.call("one.vm.update", vm, "LABELS=b", 0)
    assert conf(cloud, vm, "CPU_MODEL") == {"MODEL": "host-model"} and conf(cloud, vm, "SERIAL")["TYPE"] == "tcp"
    cloud.client.call("one.vm.update", vm, "CPU_MODEL=[MODEL=host-model]\nLABELS=c", 0)
    said = refused(cloud.client, RPC_API, "one.vm.update", vm, "CPU_MODEL=[MODEL=qemu64]", 1)
    assert "CPU_MODEL is changed by updateconf" in said
    assert cloud.body("vm", vm).findtext("USER_TEMPLATE/LABELS") == "c"
    end(cloud, vm)


def test_users_of_other_systems_know_serial_as_a_label(cloud: Cloud) -> None:
    """A plain SERIAL is nothing of ours."""
    _, user = cloud.make_user()
    vm = user.number("one.vm.allocate", vm_template("x", SERIAL="asset 7"))
    user.call("one.vm.update", vm, "SERIAL=8", 1)
    assert cloud.body("vm", vm).findtext("USER_TEMPLATE/SERIAL") == "8"
    end(cloud, vm)
