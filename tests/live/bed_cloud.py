"""A whole cloud on the test-bed: oned, onesched and real drivers on the front-end, hosts reached by SSH.

Datastore 0 (system) and 1 (images) are shared by all hosts; `local` is a system datastore on each host's own disk.
"""
from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from bed import Bed, Node, missing
from cloud_process import ROOT, Cloud, Settings, merged, template, until

from onecore.wire.client import ClientError

GUEST = Path(os.environ.get("ONECORE_GUEST") or ROOT / "build/guest")
SHARED = 0
"""The id of the system datastore that all hosts share."""
KEEP_LOGS = os.environ.get("ONECORE_KEEP_LOGS", "")
"""A directory for the logs of the last cloud, which go with its bed otherwise."""
BOOT_SECONDS = 360.0
_PASSING = re.compile("in state UNKNOWN|needs MONITORED|changed while|nothing was heard|no answer|does not answer|"
                      "connection was lost|is cleaning up")
"""What errors say when a host was not heard for a moment: that is no fault where machines are busy."""
_SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {"system_tm": "qcow2"},
    "monitoring": {"host_period": 2, "host_silence": 30, "datastore_period": 5},
    "deadlines": {"prolog": 60, "deploy": 60, "shutdown": 180, "destroy": 30, "save": 60, "restore": 60, "epilog": 60,
                  "cleanup": 30, "grace": 10},
}


class BedCloud(Cloud):
    """A cloud whose hosts are the nodes of a bed; each method of Cloud works on it too."""

    def __init__(self, bed: Bed, settings: Settings) -> None:
        own = {"drivers": {"kvm": {"hypervisor": "qemu", "migrate_uri": "qemu+tcp://{host}/system"},
                           "ssh": {"key": str(bed.key), "known_hosts": str(bed.known_hosts), "connect_timeout": 15}}}
        super().__init__(bed.directory, merged(_SETTINGS, own, settings))
        self.bed = bed
        self.hosts: dict[str, int] = {}
        """Host id by node name."""

    def furnish(self, tm_mad: str = "") -> None:
        """Hosts MONITORED, a node-local system datastore, a network over the nodes' bridges, the tiny guest's image."""
        if tm_mad:
            self.client.call("one.datastore.update", SHARED, f'TM_MAD="{tm_mad}"', 1)
        for node in self.bed.nodes:
            self.hosts[node.name] = self.client.number("one.host.allocate", node.name, "kvm", "kvm", -1)
        for oid in self.hosts.values():
            self.wait_host(oid, "MONITORED", 120)
        self.local = self.client.number("one.datastore.allocate", template(
            {"NAME": "local", "TYPE": "SYSTEM_DS", "TM_MAD": "ssh"}), -1)
        self.network = self.client.number("one.vn.allocate", template(
            {"NAME": "vms", "VN_MAD": "bridge", "BRIDGE": "onebr", "NETWORK_ADDRESS": self._address(0),
             "NETWORK_MASK": "255.255.255.0", "AR": {"TYPE": "IP4", "IP": self._address(100), "SIZE": "100"}}), -1)
        self.image = self.add_image("tiny", GUEST / "tiny.qcow2")

    def _address(self, last: int) -> str:
        return f"{self.bed.plan.guests}.{last}"

    def add_image(self, name: str, path: Path, **attributes: object) -> int:
        """An image of a file of the front-end, READY."""
        oid = self.client.number("one.image.allocate", template(
            {"NAME": name, "PATH": str(path), "TYPE": "OS", "DEV_PREFIX": "vd", **attributes}), 1)
        return self.ready(oid)

    def ready(self, image: int) -> int:
        """Wait until IMAGE is READY."""
        until(60, f"image {image} to be READY", lambda: self.body("image", image).findtext("STATE") == "1",
              lambda: self.body("image", image).findtext("TEMPLATE/ERROR"))
        return image

    def start_vm(self, name: str, datastore: int, *disks: Mapping[str, object], host: str = "", script: str = "",
                 hold: bool = False, image: int = -1, **attributes: object) -> int:
        """A VM of the tiny guest (and more DISKS) for onesched to place in DATASTORE, on node HOST if given.

        IMAGE is that of its disk 0, if it is not to be the tiny guest's own.
        """
        wanted = f'ID="{self.hosts[host]}"' if host else ""
        first = {"IMAGE_ID": self.image if image < 0 else image}
        context = {"NETWORK": "YES", "SET_HOSTNAME": "$NAME"}
        if script:
            context["START_SCRIPT_BASE64"] = base64.b64encode(script.encode()).decode()
        return self.client.number("one.vm.allocate", template(
            {"NAME": name, "CPU": "0.1", "MEMORY": "96", "DISK": [first, *disks],
             "NIC": {"NETWORK_ID": self.network}, "CONTEXT": context, "GRAPHICS": {"TYPE": "NONE"},
             "SCHED_DS_REQUIREMENTS": f'ID="{datastore}"', "SCHED_REQUIREMENTS": wanted, **attributes}), hold)

    def act(self, vm: int, action: str) -> None:
        """one.vm.action."""
        self.patiently("one.vm.action", action, vm)

    def deploy_on(self, vm: int, host: int, datastore: int = -1) -> None:
        """one.vm.deploy; nothing is waited for afterwards."""
        self.patiently("one.vm.deploy", vm, host, False, datastore)

    def patiently(self, method: str, *arguments: object, seconds: float = 90) -> Any:
        """Call METHOD, again while a host that it needs is not heard for a moment; raises any other error at once."""
        end = time.monotonic() + seconds
        while True:
            try:
                return self.client.call(method, *arguments)
            except ClientError as error:
                if time.monotonic() > end or not _PASSING.search(str(error)):
                    raise
            time.sleep(0.5)

    def recover(self, vm: int, operation: int = 2) -> None:
        """one.vm.recover; 2 is retry."""
        self.client.call("one.vm.recover", vm, operation)

    def arrives(self, vm: int, state: str, seconds: float = 120) -> None:
        """Wait for a state; at once an error, with the VM's own text, when it fails on the way."""
        def there() -> bool:
            now = self.vm_state(vm)
            assert not now.endswith("_FAILURE"), f"VM {vm} is {now}: {self.error_of(vm)}"
            return now == state
        until(seconds, f"VM {vm} to be {state}", there, lambda: f"{self.vm_state(vm)}: {self.error_of(vm)}")

    def error_of(self, vm: int) -> str:
        """What the VM says went wrong, or why it waits."""
        body = self.body("vm", vm)
        return (body.findtext("USER_TEMPLATE/ERROR") or "") + (body.findtext("USER_TEMPLATE/SCHED_MESSAGE") or "")

    def address(self, vm: int) -> str:
        """The VM's IP address."""
        return self.body("vm", vm).findtext("TEMPLATE/NIC/IP", "")

    def node_of(self, vm: int) -> Node:
        """The node on which the VM is, or was last."""
        name = self.body("vm", vm).findall("HISTORY_RECORDS/HISTORY")[-1].findtext("HOSTNAME", "")
        return next(node for node in self.bed.nodes if node.name == name)

    def store_of(self, vm: int) -> int:
        """The id of the system datastore in which the VM is, or was last."""
        return int(self.body("vm", vm).findall("HISTORY_RECORDS/HISTORY")[-1].findtext("DS_ID", ""))

    def directory(self, vm: int) -> Path:
        """The VM's directory on its host."""
        return self.home / "datastores" / str(self.store_of(vm)) / str(vm)

    def page(self, vm: int, path: str = "/") -> str:
        """A page of the guest; nothing while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.address(vm)}{path}", timeout=3) as answer:
                text: str = answer.read().decode()
        except (OSError, HTTPException):
            return ""
        return text

    def facts(self, vm: int) -> dict[str, str]:
        """What the guest says of itself; nothing while it does not answer."""
        return dict(line.split("=", 1) for line in self.page(vm).splitlines() if "=" in line)

    def told(self, vm: int) -> dict[str, str]:
        """What the guest says of itself, as soon as it answers: one question may get no answer where all are busy."""
        return until(BOOT_SECONDS, f"VM {vm} to answer at {self.address(vm)}", lambda: self.facts(vm),
                     lambda: self.vm_state(vm))

    def booted(self, vm: int, before: str = "") -> str:
        """Wait until the guest answers ping and HTTP by another boot than BEFORE; checks name and address; boot id."""
        def anew() -> dict[str, str]:
            facts = self.facts(vm)
            return facts if facts.get("boot_id", before) != before else {}
        found = until(BOOT_SECONDS, f"VM {vm} answers at {self.address(vm)}", anew, lambda: self.vm_state(vm))
        assert found["hostname"] == self.body("vm", vm).findtext("NAME")
        assert f"eth0:{self.address(vm)}/24" in found["addresses"]
        until(60, f"VM {vm} answers ping", lambda: pings(self.address(vm)))
        return found["boot_id"]

    def inside(self, vm: int, command: str, seconds: float = BOOT_SECONDS) -> str:
        """What a command in the guest says, by its agent; it must succeed."""
        def asked() -> bool:
            try:
                self.client.call("one.vm.exec", vm, command, "")
            except ClientError:
                return False
            until(seconds, f"{command!r} to end", lambda: self._told(vm, "STATUS") not in ("QUEUED", "RUNNING"))
            return self._told(vm, "STATUS") == "DONE"
        until(seconds, f"the agent of VM {vm}", asked, lambda: self._told(vm, "STDERR"))
        assert self._told(vm, "RETURN_CODE") == "0", (command, self._told(vm, "STDERR"))
        return base64.b64decode(self._told(vm, "STDOUT")).decode()

    def _told(self, vm: int, key: str) -> str:
        return self.body("vm", vm).findtext(f"TEMPLATE/QEMU_GA_EXEC/{key}", "")

    def guests(self) -> list[tuple[str, str]]:
        """(node, domain) of everything that runs, straight from the nodes."""
        return sorted((node.name, guest.name) for node in self.bed.nodes if node.alive for guest in node.guests())

    def assert_nothing_left(self, *vms: int) -> None:
        """No domain, file, tap or lease of these VMs on any node or on the front-end."""
        def left() -> list[str]:
            return [what for vm in vms for what in self._left(vm)]
        until(90, f"nothing to be left of VMs {vms}", lambda: not left(), left)  # cleaning may be owed for a while

    def _left(self, vm: int) -> list[str]:
        """What there still is of a VM, in words."""
        base = str(self.home / "datastores")
        found = [f"{domain} on {node}" for node, domain in self.guests() if domain == f"one-{vm}"]
        for node in self.bed.nodes:
            found += [f"{path} on {node.name}" for path in node.files(base)
                      if path.removeprefix(base).split("/")[2:3] == [str(vm)]]
            found += [f"{tap} on {node.name}" for tap in node.taps() if tap.startswith(f"one-{vm}-")]
        found += [str(path) for path in self.home.glob(f"datastores/*/{vm}")]
        leases = self.body("vn", self.network).findall("AR_POOL/AR/LEASES/LEASE/VM")
        return found + [f"its lease in network {self.network}" for lease in leases if lease.text == str(vm)]


def pings(address: str) -> bool:
    """Whether ADDRESS answers."""
    return subprocess.run(["ping", "-c", "1", "-W", "2", address], capture_output=True).returncode == 0


@contextmanager
def bed_cloud(nodes: int = 2, settings: Settings | None = None, tm_mad: str = "",
              scheduler: bool = True) -> Iterator[BedCloud]:
    """A furnished cloud on a bed of its own; skips, with the reason, where none can be made."""
    if missing():
        pytest.skip(missing())
    if not (GUEST / "tiny.qcow2").exists():
        pytest.skip(f"needs the guest image: scripts/guest-image.sh {GUEST}")
    with Bed(nodes=nodes, tcp=True) as bed:
        cloud = BedCloud(bed, settings or {})
        try:
            cloud.start()
            cloud.furnish(tm_mad)
            if scheduler:
                cloud.start_scheduler()
            yield cloud
        finally:
            cloud.stop()
            if KEEP_LOGS:
                shutil.copytree(cloud.home / "log", KEEP_LOGS, dirs_exist_ok=True)
