"""What the crash tests have in common: VMs and images on their way to everywhere, and books that must balance."""
from __future__ import annotations

import contextlib
import json
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from xml.etree import ElementTree

from cloud_process import Cloud, unique, until, vm_template

RECREATE = 4


@dataclass(frozen=True)
class Way:
    """A VM that is brought to REST, sent on by ACTION, found in BETWEEN by the kill and expected in END."""

    slow: str
    between: str
    end: str
    rest: str = "PENDING"
    action: str = "deploy"


WAYS = (
    Way("tm.prolog", "PROLOG", "RUNNING"),
    Way("vm.deploy", "BOOT", "RUNNING"),
    Way("vm.shutdown", "SHUTDOWN", "DONE", "RUNNING", "terminate"),
    Way("tm.epilog", "EPILOG", "DONE", "RUNNING", "terminate-hard"),
    Way("vm.shutdown", "SHUTDOWN_POWEROFF", "POWEROFF", "RUNNING", "poweroff"),
    Way("vm.save", "SAVE_SUSPEND", "SUSPENDED", "RUNNING", "suspend"),
    Way("vm.restore", "BOOT_SUSPENDED", "RUNNING", "SUSPENDED", "resume"),
    Way("vm.save", "SAVE_STOP", "STOPPED", "RUNNING", "stop"),
    Way("tm.epilog_stop", "EPILOG_STOP", "STOPPED", "SUSPENDED", "stop"),
    Way("vm.destroy", "SHUTDOWN_UNDEPLOY", "UNDEPLOYED", "RUNNING", "undeploy-hard"),
    Way("tm.prolog_resume", "PROLOG_UNDEPLOY", "RUNNING", "UNDEPLOYED", "deploy"),
    Way("tm.delete", "CLEANUP_RESUBMIT", "PENDING", "RUNNING", "recreate"),
)
TO_REST = {"SUSPENDED": "suspend", "UNDEPLOYED": "undeploy-hard"}


@dataclass
class Traffic:
    """VMs under way, and the image that one waits for."""

    cloud: Cloud
    hosts: list[int]
    image: int
    network: int
    vms: dict[int, Way] = field(default_factory=dict)
    waiting: int = -1
    images: dict[int, str] = field(default_factory=dict)

    def start(self) -> None:
        """Send everything on its way; returns when each VM is in the state in which the kill shall find it."""
        for number, way in enumerate(WAYS):
            oid = self.cloud.make_vm(unique("way"), self.image, self.network)
            self.vms[oid] = way
            if way.rest != "PENDING":
                self.cloud.client.call("one.vm.deploy", oid, self.hosts[number % len(self.hosts)])
        self._rest()
        self._hold()
        for oid in self.vms:
            self._send(oid)
        self._copy()
        for oid, way in self.vms.items():
            self.cloud.wait_vm(oid, way.between, 2.0)

    def _hold(self) -> None:
        """What they are sent on to ends when they are to arrive, and not before, however busy the machine is."""
        held = [{"action": way.slow, "vm": oid, "hold": True} for oid, way in self.vms.items()]
        held += [{"action": f"ds.{action}", "hold": True} for action in ("mkfs", "clone")]
        self.cloud.dummy(rules=held)

    def _rest(self) -> None:
        for oid, way in self.vms.items():
            if way.rest in TO_REST:
                self.cloud.wait_vm(oid, "RUNNING")
                self.cloud.client.call("one.vm.action", TO_REST[way.rest], oid)
        for oid, way in self.vms.items():
            self.cloud.wait_vm(oid, way.rest)

    def _send(self, oid: int) -> None:
        way, client = self.vms[oid], self.cloud.client
        if way.action == "deploy":
            client.call("one.vm.deploy", oid, self.hosts[oid % len(self.hosts)])
        elif way.action == "recreate":
            client.call("one.vm.recover", oid, RECREATE)
        else:
            client.call("one.vm.action", way.action, oid)

    def _copy(self) -> None:
        """An image that is made, one that is copied, and a VM that waits for the first."""
        client = self.cloud.client
        made = client.number("one.image.allocate", f'NAME="{unique("new")}"\nSIZE=8\nTYPE=DATABLOCK\n', 1)
        copy = client.number("one.image.clone", self.image, unique("copy"))
        self.waiting = client.number("one.vm.allocate", vm_template(unique("clone"), made, self.network), False)
        self.images = {made: "2", copy: "1", self.image: "2"}  # USED, READY, USED
        assert self.cloud.vm_state(self.waiting) == "CLONING"

    def arrive(self) -> None:
        """Wait until all are where they were heading to."""
        self.cloud.dummy()
        for oid, way in self.vms.items():
            self.cloud.wait_vm(oid, way.end, 10.0)
        self.cloud.wait_vm(self.waiting, "PENDING", 10.0)
        for oid, state in self.images.items():
            until(5.0, f"image {oid} in state {state}", lambda oid=oid, state=state:  # type: ignore[misc]
                  self.cloud.body("image", oid).findtext("STATE") == state)

    def clear(self) -> None:
        """End what is left."""
        for oid in (*self.vms, self.waiting):
            if self.cloud.vm_state(oid) != "DONE":
                self.cloud.client.call("one.vm.recover", oid, 3)
        for oid in (*self.vms, self.waiting):
            self.cloud.wait_vm(oid, "DONE")
        self.vms.clear()


def check_books(cloud: Cloud) -> None:
    """Leases, capacity, images and (dummy) guests are exactly what the VMs that are there say."""
    check_guests(cloud, check_books_but_guests(cloud))


def check_books_but_guests(cloud: Cloud) -> list[ElementTree.Element]:
    """Leases, capacity and images; the VMs."""
    vms = list(ElementTree.fromstring(cloud.client.text("one.vmpool.infoextended", -2, -1, -1, -1)))
    _check_leases(cloud, vms)
    _check_hosts(cloud, vms)
    _check_images(cloud, vms)
    return vms


def _check_leases(cloud: Cloud, vms: list[ElementTree.Element]) -> None:
    wanted = Counter((nic.findtext("NETWORK_ID"), nic.findtext("IP"), vm.findtext("ID"))
                     for vm in vms for nic in vm.findall("TEMPLATE/NIC"))
    found = Counter[tuple[str | None, str | None, str | None]]()
    for net in ElementTree.fromstring(cloud.client.text("one.vnpool.info", -2, -1, -1)).findall("VNET"):
        oid = net.findtext("ID", "")
        for lease in cloud.body("vn", int(oid)).findall("AR_POOL/AR/LEASES/LEASE"):
            found[oid, lease.findtext("IP"), lease.findtext("VM")] += 1
    assert found == wanted, f"leases {found - wanted} too many, {wanted - found} lost"
    addresses = Counter(key[:2] for key in wanted.elements())
    assert not [each for each, times in addresses.items() if times > 1], "an address has two owners"


def _check_hosts(cloud: Cloud, vms: list[ElementTree.Element]) -> None:
    for host in ElementTree.fromstring(cloud.client.text("one.hostpool.info")):
        here = [vm for vm in vms if _host(vm) == host.findtext("ID")]
        assert {e.text for e in host.findall("VMS/ID")} == {vm.findtext("ID") for vm in here}
        assert int(host.findtext("HOST_SHARE/RUNNING_VMS", "")) == len(here)
        cpu = sum(round(float(vm.findtext("TEMPLATE/CPU", "")) * 100) for vm in here)
        memory = sum(int(vm.findtext("TEMPLATE/MEMORY", "")) * 1024 for vm in here)
        assert int(host.findtext("HOST_SHARE/CPU_USAGE", "")) == cpu
        assert int(host.findtext("HOST_SHARE/MEM_USAGE", "")) == memory


def _host(vm: ElementTree.Element) -> str:
    """The host whose capacity a VM takes: that of its last stay while it is ACTIVE, SUSPENDED or POWEROFF."""
    stays = vm.findall("HISTORY_RECORDS/HISTORY")
    return stays[-1].findtext("HID", "") if stays and vm.findtext("STATE") in ("3", "5", "8") else ""


def _check_images(cloud: Cloud, vms: list[ElementTree.Element]) -> None:
    for image in ElementTree.fromstring(cloud.client.text("one.imagepool.info", -2, -1, -1)):
        users = {vm.findtext("ID") for vm in vms
                 if image.findtext("ID") in [d.findtext("IMAGE_ID") for d in vm.findall("TEMPLATE/DISK")]}
        assert {e.text for e in image.findall("VMS/ID")} == users
        assert int(image.findtext("RUNNING_VMS", "")) == len(users)


def check_guests(cloud: Cloud, vms: list[ElementTree.Element]) -> None:
    """Each VM that is RUNNING has one guest, on its host; no other guest is anywhere."""
    names = {host.findtext("ID"): host.findtext("NAME")
             for host in ElementTree.fromstring(cloud.client.text("one.hostpool.info"))}
    wanted = {(names[_host(vm)], vm.findtext("ID")) for vm in vms
              if (vm.findtext("STATE"), vm.findtext("LCM_STATE")) == ("3", "3")}
    assert guests(cloud) == wanted


def guests(cloud: Cloud) -> set[tuple[str, str]]:
    """(host, VM) of every dummy guest."""
    root = cloud.home / "dummy"
    return {(host.name, file.name) for host in (root.iterdir() if root.is_dir() else ())
            for file in host.iterdir() if not host.name.startswith("%")}


def drivers(cloud: Cloud) -> dict[str, int]:
    """Process ids of the drivers."""
    found: dict[str, int] = json.loads(cloud.client.text("onecore.status"))["drivers"]
    return found


def kill_driver(cloud: Cloud, family: str) -> None:
    """kill -9 of a driver process; waits for the next one."""
    old = drivers(cloud)[family]
    with contextlib.suppress(ProcessLookupError):
        os.kill(old, signal.SIGKILL)
    until(5.0, f"another driver {family}", lambda: drivers(cloud).get(family, old) != old)
