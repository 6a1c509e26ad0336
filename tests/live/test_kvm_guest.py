"""A Linux guest from its image to nothing: what it was given it has, and it lives through what is done to it."""
from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kvm_ground as ground
import pytest
from kvm_bench import Bench, until

pytestmark = pytest.mark.live
ONE = 8121
IP, HERE = "10.199.3.2", "10.199.3.1/24"
BOOT = 360.0


@pytest.fixture
def image() -> Path:
    """The tiny guest's disk."""
    path = Path(os.environ.get("ONECORE_GUEST") or Path(__file__).parents[2] / "build" / "guest") / "tiny.qcow2"
    if not path.exists():
        pytest.skip(f"no guest image: scripts/guest-image.sh {path.parent}")
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ground.alone(range(ONE, ONE + 1)):
        made = Bench(tmp_path, ground.host(), hypervisor="qemu")
        yield made
        made.close()


def machine(home: Path, image: Path) -> Any:
    vm = ground.vm(home, ONE)
    shutil.rmtree(vm["dir"])
    mac = vm["nics"][0]["MAC"]
    return {**vm, "memory_mb": 112, "cpu": 1.0, "attrs": {},
            "disks": [{"DISK_ID": "0", "TYPE": "FILE", "IMAGE_ID": "1", "SOURCE": str(image), "FORMAT": "qcow2",
                       "CLONE": "YES", "SAVE": "NO", "TARGET": "vda", "DEV_PREFIX": "vd"}],
            "context": {"ETH0_IP": IP, "ETH0_MAC": mac, "ETH0_MASK": "255.255.255.0", "SET_HOSTNAME": "live"},
            "context_disk": {"DISK_ID": "1", "TARGET": "hda", "DEV_PREFIX": "hd"}}


def answers() -> bool:
    return subprocess.run(["ping", "-n", "-c", "1", "-W", "1", IP], capture_output=True).returncode == 0


def test_a_guest_from_prolog_to_epilog(bench: Bench, tmp_path: Path, image: Path) -> None:
    vm, store = machine(tmp_path, image), {"id": 0, "base_path": str(tmp_path / "datastores" / "0"), "attrs": {}}
    bench.ok("prolog", vm, family="tm", driver="qcow2", datastore=store)
    bench.watch()
    bench.ok("deploy", vm)
    subprocess.run(["ip", "address", "add", HERE, "dev", ground.BRIDGE], check=True)
    until(answers, BOOT, "ping after deploy")

    bench.ok("save", vm)
    assert not answers()
    vm["generation"] = 2
    bench.ok("restore", vm)
    until(answers, 90, "ping after restore")

    bench.ok("reboot", vm)
    until(lambda: not answers(), 90, "no ping while it reboots")
    until(answers, BOOT, "ping after reboot")

    bench.ok("shutdown", vm, timeout=240.0)
    until(lambda: bench.states(ONE)[-1] == (2, "poweroff"), 2, "news")
    assert bench.ok("state", vm)["state"] == "gone"
    assert Path(f"/sys/class/net/{ground.BRIDGE}").exists(), "somebody gave it an address"
    bench.ok("epilog", vm, family="tm", driver="qcow2", datastore=store)
    assert not Path(vm["dir"]).exists()
