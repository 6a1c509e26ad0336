"""net/bridge and its place around a VM's actions: which devices, which driver, which names."""
from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Permanent
from drivers.context import Kept
from drivers.net import around

HOST = {"id": 1, "name": "node1"}


class FakeHost:
    """A host whose network devices and files are held in a dictionary, and who knows a few commands."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.addresses: list[dict[str, str]] = [{"family": "inet6", "scope": "link"}]

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> str:
        words = list(argv)
        if words[:2] == ["ip", "-batch"]:
            name = stdin.decode().split()[3]
            self.files |= {f"/sys/class/net/{name}/bridge": b"", f"/sys/class/net/{name}/ifalias": b"onecore\n"}
        elif words[:3] == ["ip", "link", "delete"]:
            self._remove(f"/sys/class/net/{words[4]}/")
        elif "master" in words:
            self.files[f"/sys/class/net/{words[6]}/brif/{words[4]}"] = b""
        elif words[0] == "ls":
            return "\n".join(path.rpartition("/")[2] for path in self.files if path.startswith(words[-1] + "/"))
        elif words[0] == "rm":
            self.files.pop(words[-1], None)
        elif words[:2] == ["ip", "-json"]:
            return json.dumps([{"addr_info": self.addresses}])
        return ""

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self.files[path] = data

    def read(self, path: str) -> bytes:
        return self.files[path]

    def exists(self, path: str) -> bool:
        return any(known == path or known.startswith(path + "/") for known in self.files)

    def _remove(self, start: str) -> None:
        self.files = {path: data for path, data in self.files.items() if not path.startswith(start)}

    @property
    def bridges(self) -> set[str]:
        return {path.split("/")[4] for path in self.files if path.endswith("/bridge")}


class FakeContext:
    """The part of a context that net drivers use."""

    def __init__(self) -> None:
        self.fake = FakeHost()
        self.keep = Kept().get
        self.home, self.settings, self.rid = Path("/"), dict[str, Any](), ""
        self.now, self.deadline = time.monotonic, 1e9

    def host(self, host: dict[str, Any]) -> FakeHost:
        return self.fake


def args(vm: int, *names: str, **more: str) -> Any:
    return {"host": HOST, "vm": {"id": vm, "nics": [{"NIC_ID": str(i), "BRIDGE": n, **more}
                                                    for i, n in enumerate(names)]}}


@pytest.fixture
def ctx() -> Any:
    return FakeContext()


def test_a_bridge_lives_from_its_first_to_its_last_vm(ctx: Any) -> None:
    around.pre(ctx, args(1, "br0", "br1"))
    around.pre(ctx, args(2, "br0"))
    around.pre(ctx, args(2, "br0"))
    assert ctx.fake.bridges == {"br0", "br1"}
    around.clean(ctx, args(1, "br0", "br1"))
    assert ctx.fake.bridges == {"br0"}
    around.clean(ctx, args(2, "br0"))
    around.clean(ctx, args(2, "br0"))
    assert ctx.fake.bridges == set()


def test_a_bridge_that_was_there_stays(ctx: Any) -> None:
    ctx.fake.files |= {"/sys/class/net/br0/bridge": b"", "/sys/class/net/br0/ifalias": b"the admin's\n"}
    around.pre(ctx, args(1, "br0"))
    around.clean(ctx, args(1, "br0"))
    assert ctx.fake.bridges == {"br0"}


@pytest.mark.parametrize("address", [{"family": "inet", "scope": "global"}, {"family": "inet", "scope": "link"},
                                     {"family": "inet6", "scope": "global"}])
def test_a_bridge_with_somebodys_address_stays(ctx: Any, address: dict[str, str]) -> None:
    around.pre(ctx, args(1, "br0"))
    ctx.fake.addresses.append(address)
    around.clean(ctx, args(1, "br0"))
    assert ctx.fake.bridges == {"br0"}


def test_a_bridge_with_another_port_stays_and_its_physical_one_does_not_count(ctx: Any) -> None:
    both = args(1, "br0", PHYDEV="eth1")
    around.pre(ctx, both)
    assert ctx.fake.exists("/sys/class/net/br0/brif/eth1")
    ctx.fake.files["/sys/class/net/br0/brif/tap7"] = b""
    around.clean(ctx, both)
    assert ctx.fake.bridges == {"br0"}
    del ctx.fake.files["/sys/class/net/br0/brif/tap7"]
    around.clean(ctx, both)
    assert ctx.fake.bridges == set()


@pytest.mark.parametrize("name", ["", "a/b", "..", ".", "-x", "x" * 16, "br 0", "br0\n", "bré"])
def test_a_name_that_no_device_can_have_is_refused_before_anything_is_done(ctx: Any, name: str) -> None:
    with pytest.raises(Permanent, match="BRIDGE of NIC 0"):
        around.pre(ctx, args(1, name))
    assert ctx.fake.files == {}


def test_a_device_that_is_no_bridge_is_refused(ctx: Any) -> None:
    ctx.fake.files["/sys/class/net/eth0/device"] = b""
    with pytest.raises(Permanent, match="eth0 that is no bridge"):
        around.pre(ctx, args(1, "eth0"))


def test_each_driver_gets_its_own_nics() -> None:
    nics = [{"NIC_ID": "0", "VN_MAD": "dummy"}, {"NIC_ID": "1"}, {"NIC_ID": "2", "VN_MAD": "bridge"}]
    found = around.by_driver({"host": HOST, "vm": {"id": 1, "nics": nics}})
    assert [(name, [nic["NIC_ID"] for nic in own["vm"]["nics"]]) for name, own in found] == [
        ("dummy", ["0"]), ("bridge", ["1", "2"])]


def test_an_unknown_driver_is_refused_by_name(ctx: Any) -> None:
    with pytest.raises(Permanent, match="carrier-pigeon"):
        around.pre(ctx, args(1, "br0", VN_MAD="carrier-pigeon"))
