"""net/bridge and its place around a VM's actions: which devices, which driver, which names."""
from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Cancelled, Permanent
from drivers.context import Kept
from drivers.net import around

HOST = {"id": 1, "name": "node1"}


class FakeHost:
    """A host whose network devices and files are held in a dictionary, and who knows a few commands."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.addresses: list[dict[str, str]] = [{"family": "inet6", "scope": "link"}]
        self.up: set[str] = set()
        self.steps = 0
        self.stopped_after = -1

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> str:
        words = list(argv)
        told = self._carry_out(words)
        self._step()
        return told

    def _step(self) -> None:
        """A step is done; whoever asked for it is stopped at the one that was chosen."""
        self.steps += 1
        if self.steps == self.stopped_after:
            raise Cancelled("cancelled")

    def _carry_out(self, words: list[str]) -> str:
        if words[:4] == ["ip", "link", "add", "name"]:
            name = words[4]
            self.files |= {f"/sys/class/net/{name}/bridge": b"", f"/sys/class/net/{name}/ifalias": b"\n"}
        elif "alias" in words:
            self.files[f"/sys/class/net/{words[4]}/ifalias"] = words[6].encode() + b"\n"
        elif words[:3] == ["ip", "link", "delete"]:
            self._remove(f"/sys/class/net/{words[4]}/")
        elif "master" in words:
            self.up |= {words[4]} if "up" in words else set()
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
        self._step()

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


def test_a_plug_that_is_stopped_after_any_of_its_steps_leaves_no_bridge_behind(ctx: Any) -> None:
    wanted = args(1, "br0", PHYDEV="eth1")
    around.pre(ctx, wanted)
    around.clean(ctx, wanted)
    steps, ctx.fake.steps = ctx.fake.steps, 0
    made = 0
    for ctx.fake.stopped_after in range(1, steps + 1):
        with suppress(Cancelled):
            around.pre(ctx, wanted)
        made += bool(ctx.fake.bridges)
        ctx.fake.stopped_after = -1
        around.clean(ctx, wanted)
        ctx.fake.steps = 0
        assert ctx.fake.files == {}
    assert made > 4


def test_a_bridge_whose_making_was_cut_off_is_ours_for_the_next_vm(ctx: Any) -> None:
    for ctx.fake.stopped_after in (4, 5):  # the bridge is there; it has its alias
        ctx.fake.steps = 0
        with pytest.raises(Cancelled):
            around.pre(ctx, args(1, "br0"))
        assert ctx.fake.bridges == {"br0"}
        ctx.fake.stopped_after = -1
        around.pre(ctx, args(2, "br0"))
        around.clean(ctx, args(2, "br0"))
        around.clean(ctx, args(1, "br0"))
        assert ctx.fake.files == {}


def test_a_making_that_was_cut_off_before_its_bridge_claims_no_other(ctx: Any) -> None:
    ctx.fake.stopped_after = 3
    with pytest.raises(Cancelled):
        around.pre(ctx, args(1, "br0"))
    around.clean(ctx, args(1, "br0"))
    test_a_bridge_that_was_there_stays(ctx)


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
    assert ctx.fake.exists("/sys/class/net/br0/brif/eth1") and ctx.fake.up == {"eth1"}
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
