"""Real VMs after quickstart.sh: power cycles, data that stays, a guest that dies, an end without traces."""
from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from quickstart_ground import Quickstart, domains, facts, needs_venv, page, quickstart, within

pytestmark = [pytest.mark.live, needs_venv]

COUNT_BOOTS = b"""
mkdir -p /data
mount /dev/vdb /data
cat /proc/sys/kernel/random/boot_id >> /data/boots
cp /data/boots /www/
"""
TEMPLATE = f"""
NAME = "keeper"
CPU = "0.2"
MEMORY = "112"
DISK = [ IMAGE = "quickstart" ]
DISK = [ IMAGE = "data" ]
NIC = [ NETWORK = "quickstart" ]
CONTEXT = [ NETWORK = "YES", SET_HOSTNAME = "$NAME", START_SCRIPT_BASE64 = "{base64.b64encode(COUNT_BOOTS).decode()}" ]
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quickstart]:
    with quickstart(tmp_path_factory.mktemp("life") / "home") as made:
        made.run()
        yield made


def address_of(cloud: Quickstart, name: str) -> str:
    address: str = cloud.show(name)["TEMPLATE"]["NIC"]["IP"]
    return address


def ordered(cloud: Quickstart, action: str, name: str = "quickstart") -> None:
    """Do an action on a VM, once its host is heard: a busy machine may miss a sample."""
    within(90, lambda: cloud.state(name) != "unkn", f"the state of {name} is known")
    cloud.one("onevm", action, name)


def turned(cloud: Quickstart, action: str, state: str, seconds: float = 180) -> None:
    """Do an action on the VM of the quickstart and wait for the state it leads to."""
    ordered(cloud, action)
    within(seconds, lambda: cloud.state("quickstart") == state, f"{action} leads to {state}")


def booted(cloud: Quickstart, name: str, before: str = "") -> str:
    """Wait until the guest answers, by another boot than BEFORE; the boot's id."""
    address = address_of(cloud, name)
    found: dict[str, str] = {}

    def answers() -> bool:
        found.update(facts(address))
        return found.get("boot_id", before) != before
    within(360, answers, f"{name} answers at {address}")
    assert found["hostname"] == name and f"eth0:{address}/24" in found["addresses"]
    return found["boot_id"]


def test_the_guest_outlives_power_cycles(cloud: Quickstart) -> None:
    first = booted(cloud, "quickstart")
    turned(cloud, "poweroff", "poff")
    turned(cloud, "resume", "runn")
    second = booted(cloud, "quickstart", first)
    turned(cloud, "suspend", "susp")
    assert page(address_of(cloud, "quickstart")) == ""
    turned(cloud, "resume", "runn")
    assert booted(cloud, "quickstart") == second
    ordered(cloud, "reboot")
    booted(cloud, "quickstart", second)
    within(60, lambda: cloud.state("quickstart") == "runn", "it is RUNNING, once its host can be asked")


def test_a_guest_that_is_killed_is_seen_within_two_seconds(cloud: Quickstart) -> None:
    booted(cloud, "quickstart")
    domain = cloud.show("quickstart")["DEPLOY_ID"]
    os.kill(int(Path(f"/run/libvirt/qemu/{domain}.pid").read_text()), signal.SIGKILL)
    within(2, lambda: cloud.state("quickstart") in ("poff", "unkn"), "the VM is seen to be off")
    turned(cloud, "resume", "runn")
    booted(cloud, "quickstart")


def test_persistent_data_stays_and_nothing_else(cloud: Quickstart) -> None:
    blank = ("--type", "DATABLOCK", "--size", "8", "--fs", "ext4", "--format", "raw")
    cloud.one("oneimage", "create", "-d", "default", "--name", "data", *blank, "--prefix", "vd", "--persistent")
    within(30, lambda: "rdy" in cloud.one("oneimage", "list", "-l", "STAT", "-f", "NAME=data"), "the image is ready")
    cloud.one("onetemplate", "create", "-", template=TEMPLATE)
    boots = []
    for name in ("first", "second"):
        cloud.one("onetemplate", "instantiate", "keeper", "--name", name)
        boots.append(booted(cloud, name))
        address = address_of(cloud, name)
        within(40, lambda address=address: page(address, "/boots").split() == boots,  # type: ignore[misc]
               f"each boot so far on the page of {name}")
        ended(cloud, name)
    cloud.one("onetemplate", "delete", "keeper")
    cloud.one("oneimage", "delete", "data")


def ended(cloud: Quickstart, name: str) -> None:
    """Terminate the VM; nothing of it is left: domain, files, tap, lease."""
    found = cloud.show(name)
    ordered(cloud, "terminate", name)
    within(240, lambda: cloud.state(name) in ("", "done"), f"{name} is done")
    assert found["DEPLOY_ID"] not in domains()
    assert not (cloud.home / "datastores/0" / found["ID"]).exists()
    assert not Path("/sys/class/net", found["TEMPLATE"]["NIC"]["TARGET"]).exists()
    leases = cloud.one("onevnet", "show", "quickstart", "-x").partition("<LEASES>")[2]
    assert address_of(cloud, "quickstart") in leases and found["TEMPLATE"]["NIC"]["IP"] not in leases
