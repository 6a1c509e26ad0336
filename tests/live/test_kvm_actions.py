"""The actions of vm/kvm beyond the contract suite: generations, failures that leave nothing, checkpoints, the proof."""
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kvm_ground as ground
import libvirtd
import pytest
from kvm_bench import Bench, until
from ports import free_port

pytestmark = pytest.mark.live
NUMBERS = range(8111, 8114)
ONE = NUMBERS[0]
NAME = f"one-{ONE}"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ground.alone(NUMBERS):
        made = Bench(tmp_path, ground.host(), hypervisor="qemu")
        yield made
        made.close()


@pytest.fixture
def vm(bench: Bench, tmp_path: Path) -> Any:
    return ground.vm(tmp_path, ONE)


def bridge_is_there() -> bool:
    return Path(f"/sys/class/net/{ground.BRIDGE}").exists()


def metadata() -> str:
    shown = ["virsh", "-c", "qemu:///system", "metadata", NAME, "urn:onecore:domain:1"]
    return subprocess.run(shown, capture_output=True, text=True, check=True).stdout


def test_nothing_is_left_after_destroy(bench: Bench, vm: Any) -> None:
    bench.ok("deploy", vm)
    assert 'generation="1"' in metadata().replace("'", '"') and bridge_is_there()
    assert (Path(vm["dir"]) / "console.log").exists()
    bench.ok("destroy", vm)
    assert ground.domains(NUMBERS) == [] and not bridge_is_there()
    assert not Path(f"/sys/class/net/{NAME}-0").exists()


def test_a_domain_of_an_older_generation_is_replaced(bench: Bench, vm: Any) -> None:
    bench.ok("deploy", vm)
    older = ground.pid_of(ONE)
    vm["generation"] = 2
    bench.ok("deploy", vm)
    assert ground.pid_of(ONE) != older
    assert bench.ok("state", vm) == {"state": "running", "generation": 2}


def test_a_newer_generation_is_left_alone(bench: Bench, vm: Any, tmp_path: Path) -> None:
    bench.ok("deploy", {**vm, "generation": 5})
    unlock(tmp_path)
    result = bench.do("deploy", {**vm, "generation": 4})
    assert not result.ok and not result.temporary and "superseded" in result.error
    assert bench.ok("state", vm) == {"state": "running", "generation": 5}


@pytest.mark.parametrize("action", ["destroy", "cleanup", "shutdown", "save", "reset"])
def test_a_command_that_was_overtaken_touches_nothing(bench: Bench, vm: Any, tmp_path: Path, action: str) -> None:
    bench.ok("deploy", {**vm, "generation": 5})
    unlock(tmp_path)
    result = bench.do(action, {**vm, "generation": 4})
    assert not result.ok and not result.temporary and "superseded" in result.error
    assert bench.ok("state", vm) == {"state": "running", "generation": 5} and bridge_is_there()


def test_a_debt_of_an_older_generation_is_paid_by_looking(bench: Bench, vm: Any, tmp_path: Path) -> None:
    bench.ok("deploy", {**vm, "generation": 5})
    unlock(tmp_path)
    assert bench.ok("cleanup", {**vm, "generation": 4}, owed=True) == {}
    assert bench.ok("state", vm)["state"] == "running" and bridge_is_there()
    assert bench.ok("cleanup", {**vm, "generation": 6}) == {}
    assert bench.ok("state", vm)["state"] == "gone" and not bridge_is_there()


def test_a_save_that_is_under_way_already_is_waited_for(bench: Bench, vm: Any) -> None:
    bench.ok("deploy", vm)
    qemu = ground.pid_of(ONE)
    os.kill(qemu, signal.SIGSTOP)
    try:
        saving = subprocess.Popen(["virsh", "-q", "-c", "qemu:///system", "save", NAME, f"{vm['dir']}/checkpoint.part"])
        time.sleep(1.0)
        result: list[Any] = []
        mine = threading.Thread(target=lambda: result.append(bench.do("save", vm)))
        mine.start()
        time.sleep(1.0)
        assert not result
    finally:
        os.kill(qemu, signal.SIGCONT)
    saving.wait(120)
    mine.join(120)
    assert result[0].ok, result[0].error
    bench.ok("restore", vm)


def unlock(home: Path) -> None:
    """Forget which operation came last."""
    for lock in (home / "datastores" / ".locks").iterdir():
        lock.unlink()


def test_a_guest_that_cannot_start_leaves_nothing(bench: Bench, vm: Any) -> None:
    vm["disks"][0]["DISK_ID"] = "9"
    result = bench.do("deploy", vm)
    assert not result.ok and "disk.9" in result.error
    assert ground.domains(NUMBERS) == [] and not bridge_is_there()


def test_a_guest_that_will_not_shut_down_runs_on(bench: Bench, vm: Any) -> None:
    vm["attrs"]["FEATURES"] = {"ACPI": "NO"}
    bench.ok("deploy", vm)
    result = bench.do("shutdown", vm, timeout=2.0)
    assert not result.ok and result.temporary
    assert "did not shut down" in result.error or "no end after 2 s" in result.error, result  # who notices first
    assert bench.ok("state", vm)["state"] == "running"


def test_the_button_is_pressed_while_the_guest_still_boots(bench: Bench, vm: Any) -> None:
    bench.ok("deploy", vm)
    bench.ok("shutdown", vm)
    assert not bridge_is_there()


def test_a_checkpoint_is_whole_or_is_none(bench: Bench, vm: Any) -> None:
    checkpoint = Path(vm["dir"]) / "checkpoint"
    bench.ok("deploy", vm)
    bench.ok("save", vm)
    assert checkpoint.exists() and not bridge_is_there()
    whole = checkpoint.read_bytes()
    checkpoint.rename(f"{checkpoint}.part")
    assert bench.ok("save", vm) == {} and checkpoint.exists()
    checkpoint.unlink()
    Path(f"{checkpoint}.part").write_bytes(whole.replace(b"LibvirtQemudSave", b"LibvirtQemudPart", 1))
    assert "no checkpoint" in bench.do("restore", vm).error
    checkpoint.write_bytes(whole)
    vm["generation"] = 2
    bench.ok("restore", vm)
    assert not checkpoint.exists() and bench.ok("state", vm) == {"state": "running", "generation": 2}


def test_a_start_from_the_disks_voids_the_checkpoint(bench: Bench, vm: Any) -> None:
    """Resumed from it later, the guest would write what it remembers over what its disks hold by then."""
    bench.ok("deploy", vm)
    bench.ok("save", vm)
    vm["generation"] = 2
    bench.ok("deploy", vm)
    bench.ok("destroy", vm)
    assert not (Path(vm["dir"]) / "checkpoint").exists()
    assert "has no checkpoint" in bench.do("save", vm).error


def test_reset_starts_the_guest_again(bench: Bench, vm: Any) -> None:
    console = Path(vm["dir"]) / "console.log"
    bench.ok("deploy", vm)
    until(lambda: console.read_text().count("U") == 1, 10)
    bench.ok("reset", vm)
    until(lambda: console.read_text().count("U") == 2, 10)
    bench.ok("reboot", vm)
    until(lambda: console.read_text().count("U") == 3, 15)


def test_the_serial_port_is_a_tcp_server_where_that_is_wanted(bench: Bench, vm: Any) -> None:
    port = free_port()
    bench.ok("deploy", {**vm, "attrs": {**vm["attrs"], "SERIAL": {"PORT": str(port)}}})
    until(lambda: "U" in (Path(vm["dir"]) / "console.log").read_text(), 20)
    with socket.create_connection(("127.0.0.1", port), timeout=120) as console:
        time.sleep(0.5)
        bench.ok("reset", vm)
        assert console.recv(1) == b"U"


def test_a_sample_names_the_guest(bench: Bench, vm: Any) -> None:
    bench.ok("deploy", vm)
    sample = bench.ok("probe", family="im", datastores=[])["sample"]
    found = next(each for each in sample["vms"] if each["id"] == ONE)
    assert found["generation"] == 1 and found["state"] == "running" and found["memory_kb"] > 1000
    assert found["disk_size"] == [{"id": 0, "size_mb": 1}]
    assert "pc" in sample["host"]["attrs"]["KVM_MACHINES"].split() and sample["host"]["attrs"]["KVM_CPU_MODELS"]


def test_the_proof_ends_in_a_verdict_and_guests_start_meanwhile(tmp_path: Path) -> None:
    with ground.alone(NUMBERS):
        bench = Bench(tmp_path, ground.host())
        bench.ok("deploy", ground.vm(tmp_path, ONE))
        until(lambda: list((tmp_path / "hypervisor").glob("localhost*")), 15)
        kept = json.loads(next((tmp_path / "hypervisor").glob("localhost*")).read_text())
        assert kept["hypervisor"] in ("kvm", "qemu")
        bench.close()


def test_the_boot_sector_does_its_steps(tmp_path: Path) -> None:
    libvirtd.need()
    from drivers.vm.hypervisor import EXPECTED, boot_sector, proof_command
    path = tmp_path / "sector"
    path.write_bytes(boot_sector())
    command = [word.replace("kvm", "tcg") if word == "kvm" else word for word in proof_command(str(path))]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip() == EXPECTED
