"""onevm and onetask against a cloud of dummy hosts: what the unit tests fake is what the server says."""
from __future__ import annotations

import json

import pytest
from cloud_process import Cloud, unique, until
from makers import One

pytestmark = pytest.mark.surface


@pytest.fixture
def vm(cloud: Cloud) -> str:
    """The name of a VM that runs on a host of its own."""
    name = unique("cli")
    oid = cloud.make_vm(name, image=cloud.make_image(), network=cloud.make_network(), MEMORY_MAX=128,
                        CONTEXT={"NETWORK": "YES"})
    cloud.deploy(oid, cloud.add_hosts(1)[0])
    return name


def settled(one: One, vm: str, state: str) -> None:
    """What is under way has ended well, and the VM is STATE."""
    one("vm", "wait", vm, "--timeout", "60")
    becomes(one, vm, state)


def becomes(one: One, vm: str, state: str) -> None:
    """The VM is STATE soon, whether what was last failed or not."""
    until(5.0, f"{vm} to be {state}", lambda: f"LCM_STATE           : {state}\n" in one("vm", "show", vm)
          or f"\nSTATE               : {state}\n" in one("vm", "show", vm))


def test_a_vm_that_is_gone_is_waited_for_by_id_and_name(cloud: Cloud, one: One, vm: str) -> None:
    """By name it is told which one that was."""
    oid = one("vm", "list", "-f", f"NAME={vm}", "-l", "ID", "--csv", "--no-header").strip()
    one("vm", "terminate", vm, "--hard")
    assert one("vm", "wait", oid, "--for", "done", "--timeout", "20") == ""
    assert one("vm", "wait", oid, "--for", "done", "--timeout", "1") == ""
    told = f"no VM is named {vm} now; the last one was VM {oid}, DONE at "
    assert one("vm", "wait", vm, "--for", "done", "--timeout", "1").startswith(told)
    assert f"VM named {vm[:-1]} not found" in one("vm", "wait", vm[:-1], "--for", "done", code=255)


def test_migrate_and_its_operation(cloud: Cloud, one: One, vm: str) -> None:
    """Live, followed to its end; refused to a host that it is on."""
    host = cloud.body("host", cloud.add_hosts(1)[0]).findtext("NAME") or ""
    one("vm", "migrate", vm, host, "--live")
    settled(one, vm, "RUNNING")
    assert f"HOST                : {host}\n" in one("vm", "show", vm)
    assert "live-migrate" in one("vm", "show", vm)
    assert one("vm", "migrate", vm, host, "--live", code=255)


def test_operations_are_shown_and_cancelled(cloud: Cloud, one: One, vm: str) -> None:
    """A suspend that hangs, by the VM's name, until it is cancelled."""
    cloud.dummy(rules=[{"action": "vm.save", "hang": True}])
    try:
        one("vm", "suspend", vm)
        op = one("task", "list", "-f", f"NAME={vm}", "-l", "ID", "--csv", "--no-header")
        assert "vm.save" in one("task", "show", op.strip())
        assert "UNDER WAY           : suspend" in one("vm", "show", vm)
        assert "suspend" in one("vm", "list", "-f", f"NAME={vm}", "-l", "TASK")
        assert "not ended within 1" in one("vm", "wait", vm, "--timeout", "1", code=255)
        one("task", "cancel", vm)
        assert f"operation {op.strip()}, suspend of vm" in one("task", "wait", op.strip(), "--timeout", "20", code=255)
    finally:
        cloud.dummy()
    becomes(one, vm, "RUNNING")
    assert "what was last failed" in one("vm", "wait", vm, "--timeout", "20", code=255)
    ended = json.loads(one("task", "show", op.strip(), "-j"))["OPERATION"]
    assert (ended["STATE"], ended["OK"]) == ("ended", "NO")
    assert "there is no operation 999999999" in one("task", "show", "999999999", code=255)


def test_search_looks_into_whole_bodies(one: One, vm: str) -> None:
    """By path and by word."""
    assert one("vm", "list", "--search", f"VM.NAME={vm}&VM.TEMPLATE.NIC.IP=10.0.", "-o", "name") == f"{vm}\n"
    assert one("vm", "list", "--search", vm, "-o", "name") == f"{vm}\n"
    assert one("vm", "list", "--search", f"VM.NAME={vm}&VM.TEMPLATE.NIC.IP=192.", "-o", "name") == ""


def test_scheduled_actions(one: One, vm: str) -> None:
    """Added, shown, changed, done, taken away."""
    told = one("vm", "suspend", vm, "--schedule", "+30d", "--weekly", "1,5", "--end", "2", "--misfire", "skip")
    number = told.strip().rpartition(" ")[2]
    assert "suspend" in one("vm", "show", vm).partition("SCHEDULED ACTIONS")[2]
    assert "weekly 1,5" in one("vm", "show", vm)
    one("vm", "sched-delete", vm, number)
    assert "SCHEDULED ACTIONS" not in one("vm", "show", vm)
    one("vm", "suspend", vm, "--schedule", "now")
    until(10.0, "the suspend", lambda: "\nSTATE               : SUSPENDED\n" in one("vm", "show", vm))


def test_disks_come_and_go(cloud: Cloud, one: One, vm: str) -> None:
    """By the name of the image and the target of the disk."""
    image = cloud.body("image", cloud.make_image()).findtext("NAME") or ""
    one("vm", "disk-attach", vm, "--image", image, "--target", "vdz")
    settled(one, vm, "RUNNING")
    assert f"vdz    {image}" in one("vm", "show", vm)
    one("vm", "disk-detach", vm, "vdz")
    settled(one, vm, "RUNNING")
    one("vm", "disk-attach", vm, "--volatile", "swap", "--size", "64", "--format", "raw")
    settled(one, vm, "RUNNING")
    assert image not in one("vm", "show", vm) and "raw - swap" in one("vm", "show", vm)


def test_snapshots_of_disks(one: One, vm: str) -> None:
    """Made, listed, renamed, reverted to and deleted, by the names of disk and snapshot."""
    for name in ("first", "second"):
        one("vm", "disk-snapshot-create", vm, "vda", name)
        settled(one, vm, "RUNNING")
    one("vm", "disk-snapshot-rename", vm, "0", "second", "newest")
    listed = one("vm", "disk-snapshot-list", vm, "vda")
    assert [line.split()[-1] for line in listed.splitlines()[2:]] == ["first", "newest"]
    assert "=>" in listed and listed in one("vm", "show", vm)
    one("vm", "poweroff", vm, "--hard")
    settled(one, vm, "POWEROFF")
    one("vm", "disk-snapshot-revert", vm, "vda", "first")
    settled(one, vm, "POWEROFF")
    one("vm", "disk-snapshot-delete", vm, "vda", "newest")
    settled(one, vm, "POWEROFF")
    assert "newest" not in one("vm", "disk-snapshot-list", vm, "vda")
    assert "disk 0 of VM" in one("vm", "disk-snapshot-delete", vm, "vda", "newest", code=255)


def test_nics_come_and_go(cloud: Cloud, one: One, vm: str) -> None:
    """A NIC, a further address of it, a change of it; by the names of network and NIC."""
    network = cloud.body("vn", cloud.make_network(ip="10.7.0.1")).findtext("NAME") or ""
    one("vm", "nic-attach", vm, "--network", network, "--ip", "10.7.0.9", "--nic_name", "lan")
    settled(one, vm, "RUNNING")
    one("vm", "nic-attach", vm, "-n", network, "--alias", "lan", "--nic-name", "more")
    settled(one, vm, "RUNNING")
    shown = one("vm", "show", vm)
    assert "10.7.0.9" in shown.partition("VM NICS")[2] and " lan " in shown.partition("VM ALIAS")[2]
    (cloud.home / "nic").write_text("INBOUND_AVG_BW=512\n")
    one("vm", "nic-update", vm, "lan", str(cloud.home / "nic"), "--append")
    settled(one, vm, "RUNNING")
    assert "512" in one("vm", "show", vm, "--all")
    for name in ("more", "lan"):
        one("vm", "nic-detach", vm, name)
        settled(one, vm, "RUNNING")
    assert "10.7.0.9" not in one("vm", "show", vm)


def test_snapshots_of_the_whole_vm(one: One, vm: str) -> None:
    """Made, reverted to and deleted by name."""
    one("vm", "snapshot-create", vm, "before")
    settled(one, vm, "RUNNING")
    assert one("vm", "snapshot-list", vm).splitlines()[2].split()[3] == "before"
    one("vm", "snapshot-revert", vm, "before")
    settled(one, vm, "RUNNING")
    one("vm", "snapshot-delete", vm, "before")
    settled(one, vm, "RUNNING")
    assert one("vm", "snapshot-list", vm) == "No snapshots available\n"


def test_size_and_configuration(cloud: Cloud, one: One, vm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the editor shows is taken back as it is."""
    one("vm", "resize", vm, "--cpu", "0.2", "--memory", "96")
    settled(one, vm, "RUNNING")
    assert " 0.2     96M " in one("vm", "list", "-f", f"NAME={vm}")
    (cloud.home / "conf").write_text('CONTEXT=[COLOUR="red"]\nGRAPHICS=[TYPE="VNC"]\n')
    one("vm", "updateconf", vm, str(cloud.home / "conf"))
    settled(one, vm, "RUNNING")
    assert 'COLOUR="red"' in one("vm", "show", vm)
    (cloud.home / "edit").write_text('#!/bin/sh\nsed -i s/red/blue/ "$1"\n')
    (cloud.home / "edit").chmod(0o755)
    monkeypatch.setenv("EDITOR", str(cloud.home / "edit"))
    one("vm", "updateconf", vm)
    settled(one, vm, "RUNNING")
    assert 'COLOUR="blue"' in one("vm", "show", vm) and 'TYPE="VNC"' in one("vm", "show", vm)
    (cloud.home / "edit").write_text('#!/bin/sh\necho "INBOUND_AVG_BW=7" >> "$1"\n')
    one("vm", "nic-update", vm, "0")
    settled(one, vm, "RUNNING")
    assert 'INBOUND_AVG_BW="7"' in one("vm", "show", vm, "--all")


def test_commands_in_guests(cloud: Cloud, one: One, vm: str) -> None:
    """What they print, and that they fail."""
    one("vm", "exec", vm, "uname -a", "--wait")
    assert "uname -a" in one("vm", "show", vm)
    cloud.dummy(rules=[{"action": "vm.exec", "fail": "no agent"}])
    try:
        one("vm", "exec-retry", vm)

        def next_one() -> str:
            """What is told of it; nothing while the one before runs."""
            told = one("vm", "exec", vm, "x", "--wait", code=255)
            return "" if "runs in VM" in told else told
        assert "no agent" in until(20, "a command in the guest", next_one)
    finally:
        cloud.dummy()


def test_disks_grow_and_are_saved(cloud: Cloud, one: One, vm: str) -> None:
    """By their target; the image is READY when the operation has ended."""
    one("vm", "disk-resize", vm, "vda", "128")
    settled(one, vm, "RUNNING")
    assert "/128M " in one("vm", "show", vm)
    assert "[one.vm.diskresize]" in one("vm", "disk-resize", vm, "vda", "1", code=255)
    name = unique("saved")
    number = one("vm", "disk-saveas", vm, "vda", name, "--type", "DATABLOCK").removeprefix("Image ID: ").strip()
    settled(one, vm, "RUNNING")
    assert one("image", "list", "-f", f"NAME={name}", "-l", "ID,STAT", "--csv", "--no-header") == f"{number},rdy\n"


def test_a_vm_becomes_a_template(cloud: Cloud, one: One) -> None:
    """onevm save: the new template makes VMs with the disks that were saved."""
    image = cloud.make_image()
    source = cloud.make_template(image=image)
    oid = cloud.client.number("one.template.instantiate", source, unique("origin"), False, "", False)
    cloud.deploy(oid, cloud.add_hosts(1)[0])
    assert "not POWEROFF" in one("vm", "save", str(oid), unique("golden"), code=255)
    one("vm", "poweroff", str(oid), "--hard")
    settled(one, str(oid), "POWEROFF")
    name = unique("golden")
    assert one("vm", "save", str(oid), name).startswith("Template ID: ")
    assert f'IMAGE_ID="{image}"' not in one("template", "show", name)
    copy = one("template", "instantiate", name).rpartition(" ")[2].strip()
    assert f"{name}-disk-0" in one("vm", "show", copy)


def test_security_groups(cloud: Cloud, one: One, vm: str) -> None:
    """Made from a file, given to a NIC and taken from it by name."""
    name = unique("rules")
    (cloud.home / "group").write_text(f'NAME={name}\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="22,80:90"]\n')
    assert one("secgroup", "create", str(cloud.home / "group")).startswith("ID: ")
    assert "inbound  TCP      22,80:90" in one("secgroup", "show", name)
    one("vm", "sg-attach", vm, "0", name)
    assert one("secgroup", "list", "-f", f"NAME={name}", "-l", "VMS", "--csv", "--no-header") == "1\n"
    one("vm", "sg-detach", vm, "0", name)
    one("secgroup", "delete", name)
    assert name not in one("secgroup", "list")
