"""vm/kvm on hosts over SSH: what it does there, what it hears, and what it does when the host is sick or away."""
from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kvm_remote as remote
import pytest
from bed import Bed, Node
from kvm_bench import Bench, until

pytestmark = pytest.mark.live
ONE = 8131
AWAY = 120.0
"""Within so many seconds a host that came back is heard of again."""


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """Two hosts for all tests of this file."""
    with remote.bed() as made:
        yield made


@pytest.fixture
def bench(bed: Bed) -> Iterator[Bench]:
    made = remote.bench(bed)
    yield made
    made.close()
    remote.sweep(bed)


@pytest.fixture
def one(bed: Bed) -> Node:
    return bed.nodes[0]


@pytest.fixture
def vm(bed: Bed) -> Any:
    return remote.vm(bed, ONE)


def watched(bench: Bench, vm: Any) -> None:
    """The guest runs, and that is known."""
    bench.watch()
    bench.ok("deploy", vm)
    until(lambda: bench.states(ONE) == [(vm["generation"], "running")], 5.0)


def test_a_guest_comes_and_goes_and_nothing_is_left(bench: Bench, one: Node, vm: Any) -> None:
    assert bench.ok("deploy", vm) == {"deploy_id": f"one-{ONE}"}
    assert remote.names(one) == [f"one-{ONE}"] and one.taps()
    assert bench.ok("state", vm) == {"state": "running", "generation": 1}
    bench.ok("shutdown", vm)
    assert remote.names(one) == [] and one.taps() == []
    assert not one.path("/sys/class/net").joinpath(remote.BRIDGE).exists()
    bench.ok("deploy", {**vm, "generation": 2}), bench.ok("destroy", {**vm, "generation": 2})
    assert remote.names(one) == []


def test_a_saved_guest_runs_on_on_another_host(bench: Bench, bed: Bed, vm: Any) -> None:
    one, two = bed.nodes
    bench.ok("deploy", vm)
    bench.ok("save", vm)
    checkpoint = Path(vm["dir"]) / "checkpoint"
    assert checkpoint.exists() and remote.names(one) == []
    vm["generation"] = 2
    bench.ok("restore", vm, host=remote.host(two))
    assert bench.ok("state", vm, host=remote.host(two)) == {"state": "running", "generation": 2}
    assert remote.names(two) == [f"one-{ONE}"] and not checkpoint.exists()
    bench.ok("shutdown", vm, host=remote.host(two))


def test_the_front_ends_context_files_reach_the_disc(bench: Bench, one: Node, vm: Any, tmp_path: Path) -> None:
    (tmp_path / "init.sh").write_text("only here\n" * 1000)
    vm |= {"context": {"SET_HOSTNAME": "far"}, "context_disk": {"DISK_ID": "1", "TARGET": "hda", "DEV_PREFIX": "hd"},
           "context_files": [{"source": str(tmp_path / "init.sh"), "name": "init.sh"}]}
    bench.ok("deploy", vm)
    disc = f"{vm['dir']}/disk.1"
    shown = subprocess.run(["isoinfo", "-R", "-x", "/init.sh", "-i", disc], capture_output=True, text=True, check=True)
    assert shown.stdout == "only here\n" * 1000
    assert not one.path(tmp_path).exists()


def test_what_happens_there_is_known(bench: Bench, one: Node, vm: Any) -> None:
    watched(bench, vm)
    remote.kill(one, ONE)
    took = until(lambda: bench.states(ONE)[-1] == (1, "crashed"), 5.0)
    print(f"known after {took:.2f} s")


def test_what_vanished_while_libvirtd_was_away_is_told(bench: Bench, one: Node, vm: Any) -> None:
    watched(bench, vm)
    one.kill("libvirtd")
    assert bench.do("state", vm).temporary
    remote.kill(one, ONE)
    until(lambda: waits(bench), 10.0)
    time.sleep(3.0)
    one.start("libvirtd")
    until(lambda: bench.states(ONE)[-1] == (1, "gone"), AWAY)
    assert bench.ok("state", vm)["state"] == "gone"
    assert waits(bench) == 1


def test_connections_that_broke_leave_nothing(bench: Bench, one: Node, vm: Any) -> None:
    bench.watch()
    until(lambda: bench.do("state", vm).ok, AWAY)
    time.sleep(1.5)
    first = held()
    for number in range(3):
        restart(bench, one, number + 1)
        until(lambda: bench.do("state", vm).ok, AWAY)
        until(lambda: all(now <= then for now, then in zip(held(), first, strict=True)), 40.0, "no more than at first")


def held() -> tuple[int, int]:
    """How many threads and open files this process has."""
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def restart(bench: Bench, node: Node, times: int) -> None:
    """libvirtd away and back, noticed both times."""
    node.kill("libvirtd")
    until(lambda: waits(bench) >= times, 10.0)
    node.start("libvirtd")
    until(lambda: returns(bench) >= times, AWAY)


def waits(bench: Bench) -> int:
    """How often it was logged that the watch has no libvirt."""
    return len([text for text in bench.log("warning") if "waits for libvirt" in text])


def returns(bench: Bench) -> int:
    """How often it was logged that it has it back."""
    return len([text for text in bench.log("info") if "has libvirt back" in text])


def test_a_libvirtd_that_hangs_costs_one_command_its_time(bench: Bench, one: Node, vm: Any) -> None:
    watched(bench, vm)
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    one.stop("libvirtd")
    try:
        first = bench.do("state", vm)
        assert first.temporary and "does not answer" in first.error
        later = [bench.do(action, vm) for action in ("state", "destroy", "reset", "deploy") * 5]
        assert all(result.temporary and "does not answer" in result.error for result in later), later
        assert threading.active_count() <= threads + 6, threading.enumerate()
        time.sleep(12)  # it is asked again meanwhile, and again
        assert threading.active_count() <= threads + 6, threading.enumerate()
        until(lambda: waits(bench), 90.0, "the watch to see that libvirt hangs")
    finally:
        one.cont("libvirtd")
    until(lambda: bench.do("state", vm).ok, AWAY)
    until(lambda: len(bench.states(ONE)) >= 2 and bench.states(ONE)[-1] == (1, "running"), AWAY)
    remote.kill(one, ONE)
    until(lambda: bench.states(ONE)[-1] == (1, "crashed"), 2.0)
    until(lambda: threading.active_count() <= threads, 10.0, "no more threads than before")
    until(lambda: len(os.listdir("/proc/self/fd")) <= files, 10.0, "no more files than before")


def test_a_command_without_patience_keeps_to_its_time(bench: Bench, one: Node, vm: Any) -> None:
    bench.ok("state", vm)
    one.stop("libvirtd")
    try:
        for _ in range(3):
            result = bench.do("state", vm, timeout=2.0)
            assert result.temporary and ("2 s" in result.error or "does not answer" in result.error), result
    finally:
        one.cont("libvirtd")
    until(lambda: bench.do("state", vm).ok, AWAY)


@pytest.mark.parametrize("action", ["state", "shutdown"])
def test_sshd_killed_in_the_middle(bench: Bench, one: Node, vm: Any, action: str) -> None:
    vm["attrs"]["FEATURES"] = {"ACPI": "NO"}
    watched(bench, vm)
    killer = threading.Timer(1.0, one.kill, ("sshd",))
    killer.start()
    results = []
    while not results or results[-1].ok:
        results.append(bench.do(action, vm, timeout=30.0))
    killer.join()
    assert results[-1].temporary, results[-1]
    remote.kill(one, ONE)
    one.start("sshd")
    until(lambda: bench.do("state", vm).ok, AWAY)
    until(lambda: bench.states(ONE)[-1] == (1, "gone"), AWAY)


def test_a_cut_network_is_noticed_and_mended(bench: Bench, one: Node, vm: Any) -> None:
    watched(bench, vm)
    one.cut()
    try:
        result = bench.do("state", vm, timeout=240.0)
        assert result.temporary and "240 s" not in result.error, "nothing was heard, long before its time was up"
        until(lambda: waits(bench), 60.0)
        remote.kill(one, ONE)
    finally:
        one.mend()
    until(lambda: bench.do("state", vm).ok, AWAY)
    until(lambda: bench.states(ONE)[-1] == (1, "gone"), AWAY)


def test_after_a_crash_of_the_host_its_guests_are_gone(bench: Bench, bed: Bed, one: Node, vm: Any) -> None:
    watched(bench, vm)
    one.crash()
    assert bench.do("state", vm, timeout=30.0).temporary
    bed.start(one)
    until(lambda: bench.states(ONE)[-1] == (1, "gone"), AWAY)
    assert bench.ok("state", vm)["state"] == "gone"
    vm["generation"] = 2
    bench.ok("deploy", vm)
    until(lambda: bench.states(ONE)[-1] == (2, "running"), 3.0)


def test_an_unwatched_host_is_left(bench: Bench, one: Node, vm: Any) -> None:
    watched(bench, vm)
    bench.ok("unwatch")
    remote.kill(one, ONE)
    time.sleep(1.5)
    assert bench.states(ONE) == [(1, "running")]
