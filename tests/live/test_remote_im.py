"""Monitoring over SSH: probes that push, hosts that fall silent and return, surveys, checks; nothing left behind."""
from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bed import Bed, Node, missing
from bed_system import command_line, kill

from onecore.wire.messages import Command, Doc, Sample

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from drivers_process import Driver

pytestmark = pytest.mark.live
PERIOD = 2.0
PROBES = ("python3", "virsh")
GUEST = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><metadata>{metadata}</metadata>
<os><type arch='x86_64'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<interface type='bridge'><source bridge='onebr'/><target dev='{tap}'/></interface></devices></domain>"""
OURS = "<onecore:vm xmlns:onecore='urn:onecore:domain:1' id='{}' generation='{}'/>"


class Im(Driver):
    """An im driver process whose hosts are a bed's nodes; a node's id is its index."""

    def __init__(self, home: Path, bed: Bed) -> None:
        super().__init__("im", home, {"kvm": {"hypervisor": "qemu"}, "ssh": {
            "key": str(bed.key), "known_hosts": str(bed.known_hosts), "connect_timeout": 20}})
        self._bed, self._op = bed, 0

    def ask(self, action: str, node: Node, seconds: float = 60, **args: Any) -> Doc:
        """A command's data; it must succeed."""
        self._op += 1
        host = {"id": node.index, "name": node.name, "im_mad": "kvm", "vm_mad": "kvm", "attrs": {}}
        self.send(Command(self._op, 1, 1, 0, node.name, "kvm", action, ("host", node.index), seconds, "test",
                          {"host": host, **args}))
        result = self.result(self._op, seconds=seconds + 30)
        assert result.ok, result.error
        return result.data

    def watch(self, node: Node, period: float = PERIOD) -> None:
        """Watch a node from now on."""
        self.ask("watch", node, datastores=[{"id": 100, "base_path": "/var/lib/one/100", "shared": False},
                                            {"id": 0, "base_path": str(self._bed.datastores / "0"), "shared": True}],
                 period=period)

    def samples(self, node: Node) -> list[Sample]:
        """All samples of a node so far."""
        return [each for each in self.messages if isinstance(each, Sample) and each.hid == node.index]

    def next(self, node: Node, seconds: float, true: Callable[[Sample], object]) -> Sample:
        """Wait for a sample of NODE, from now on, of which something is true; that sample."""
        seen = len(self.samples(node))

        def found() -> list[Sample]:
            return [each for each in self.samples(node)[seen:] if true(each)]
        self.until(found, max(seconds, 120))
        return found()[0]


def good(sample: Sample) -> bool:
    """Whether the host could be asked."""
    return not sample.error


def bad(sample: Sample) -> str:
    """Why it could not."""
    return sample.error


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    if missing():
        pytest.skip(missing())
    with Bed(nodes=2) as made:
        yield made


@pytest.fixture
def im(bed: Bed, tmp_path: Path) -> Iterator[Im]:
    driver = Im(tmp_path, bed)
    try:
        yield driver
    finally:
        driver.close()
        gone(bed, *bed.nodes)


def gone(bed: Bed, *nodes: Node, seconds: float = 120) -> None:
    """Wait until nothing of ours runs on the nodes."""
    end = time.monotonic() + seconds
    while left := [(node.name, name) for node in nodes for name in PROBES if node.pids(name)]:
        assert time.monotonic() < end, f"still running: {left}"
        time.sleep(0.1)


def test_samples_flow_from_each_host(im: Im, bed: Bed) -> None:
    for node in bed.nodes:
        im.watch(node)
    for node in bed.nodes:
        # a clock is compared by the time that an answer takes, which may be long once
        sample = im.next(node, 20, lambda each: good(each) and abs(each.host["clock_skew"]) < 5)
        assert sample.host["hostname"] == node.hostname and sample.host["hypervisor"] == "qemu"
        assert sample.host["libvirt"] and sample.host["version"] and sample.host["python"].startswith("3.")
        assert sample.host["total_cpu"] == 100 * (os.cpu_count() or 1)
        assert [each["id"] for each in sample.datastores] == [100] and sample.datastores[0]["total_mb"] < 5000
    im.next(bed.nodes[0], 45, good)  # and they go on


def test_guests_and_leftovers_are_seen(im: Im, bed: Bed) -> None:
    node, store = bed.nodes[0], {"id": 100, "base_path": "/var/lib/one/100", "shared": False}
    node.run("mkdir", "-p", "/var/lib/one/100/41", "/var/lib/one/100/.locks")
    node.run("dd", "if=/dev/urandom", "of=/var/lib/one/100/41/disk.0.tmp", "bs=1M", "count=3", "status=none")
    for name, tap, metadata in (("one-41", "one-41-0", OURS.format(41, 6)), ("my own", "vnet7", "")):
        (bed.datastores / "0" / "guest.xml").write_text(GUEST.format(name=name, tap=tap, metadata=metadata))
        node.run("virsh", "-q", "-c", "qemu:///system", "create", str(bed.datastores / "0" / "guest.xml"))
    node.run("ip", "tuntap", "add", "one-42-0", "mode", "tap")
    try:
        found = im.ask("survey", node, datastores=[store])
        assert [(each["name"], each["id"], each["generation"], each["state"]) for each in found["domains"]] == [
            ("one-41", 41, 6, "running"), ("my own", -1, -1, "running")]
        assert found["dirs"] == [{"ds": 100, "vm": 41, "path": "/var/lib/one/100/41", "size_mb": 3}]
        assert found["taps"] == ["one-42-0"]
        im.watch(node)
        sample = im.next(node, 20, lambda sample: any(vm["id"] == 41 and vm["cpu"] > 0 for vm in sample.vms))
        mine = next(vm for vm in sample.vms if vm["id"] == 41)
        assert mine["generation"] == 6 and mine["uuid"] and mine["memory_kb"] > 0
        assert {(vm["id"], vm["deploy_id"]) for vm in sample.vms} == {(41, "one-41"), (-1, "my own")}
    finally:
        for name in ("one-41", "my own"):
            node.run("virsh", "-q", "-c", "qemu:///system", "destroy", name, check=False)
        node.run("ip", "link", "delete", "one-42-0")
        node.run("rm", "-r", "/var/lib/one/100")
        (bed.datastores / "0" / "guest.xml").unlink()


def test_a_stopped_libvirtd_is_an_error_and_nothing_piles_up(im: Im, bed: Bed) -> None:
    node = bed.nodes[0]
    im.watch(node)
    im.next(node, 20, good)
    node.stop("libvirtd")
    try:
        im.next(node, 20, lambda sample: "libvirt does not answer" in sample.error)
        im.next(node, 30, bad)
        im.until(lambda: len(node.pids("virsh")) <= 1, 60)
    finally:
        node.cont("libvirtd")
    im.next(node, 20, good)


def test_a_killed_sshd_is_noticed_and_the_probe_made_again(im: Im, bed: Bed) -> None:
    node = bed.nodes[0]
    im.watch(node)
    for _ in range(4):
        im.next(node, 20, good)
    node.kill("sshd")
    try:
        im.next(node, 20, bad)
        im.next(node, 20, lambda sample: "refused" in sample.error)  # the first may have met one that was just dying
    finally:
        node.start("sshd")
    im.next(node, 30, good)


def test_an_sshd_that_comes_back_at_once_is_no_alarm(im: Im, bed: Bed) -> None:
    node = bed.nodes[0]
    im.watch(node)
    for _ in range(4):
        im.next(node, 20, good)
    seen = len(im.samples(node))
    sessions = [pid for pid in node.pids("sshd") if "[listener]" not in " ".join(command_line(pid))]
    assert sessions
    for pid in sessions:
        kill(pid)
    im.next(node, 20, good)
    im.next(node, 20, good)
    assert [each.error for each in im.samples(node)[seen:] if each.error] == []


def test_a_cut_cable_is_an_error_and_mends_by_itself(im: Im, bed: Bed) -> None:
    node, other = bed.nodes
    for each in bed.nodes:
        im.watch(each)
        im.next(each, 20, good)
    node.cut()
    try:
        im.next(node, 45, bad)
        im.next(other, 45, good)
    finally:
        node.mend()
    im.next(node, 60, good)


def test_a_deaf_sshd_keeps_no_other_host_waiting(im: Im, bed: Bed) -> None:
    node, other = bed.nodes
    with node.hung_sshd():
        im.watch(node)
        im.watch(other)
        im.next(other, 45, good)
        im.next(node, 20, bad)
        im.next(other, 45, good)
    im.next(node, 60, good)


def test_nothing_is_left_after_unwatch(im: Im, bed: Bed) -> None:
    node = bed.nodes[0]
    node.run("touch", "/run/marker")
    im.watch(node)
    im.next(node, 20, good)
    assert node.pids("python3")
    im.ask("survey", node, datastores=[])
    im.ask("check", node, datastores=[{"id": 100, "base_path": "/var/lib/one/100", "shared": False}], bridges=[])
    im.ask("unwatch", node)
    time.sleep(PERIOD)  # a sample may be on its way
    im.read(0)
    seen = len(im.samples(node))
    time.sleep(2 * PERIOD)
    im.read(0)
    assert len(im.samples(node)) == seen
    assert node.written("/run/marker") == []


def test_probes_end_by_themselves_when_their_driver_is_killed(im: Im, bed: Bed) -> None:
    for node in bed.nodes:
        im.watch(node)
        im.next(node, 20, good)
    im.process.kill()
    im.process.wait()
    gone(bed, *bed.nodes)


def test_a_host_that_has_all_is_checked(im: Im, bed: Bed) -> None:
    node = bed.nodes[0]
    stores = [{"id": 0, "base_path": str(bed.datastores / "0"), "shared": True},
              {"id": 100, "base_path": str(bed.datastores / "100"), "shared": False}]
    end = time.monotonic() + 60
    while True:
        found = im.ask("check", node, datastores=stores, bridges=["onebr", "eth0", "none"])["checks"]
        checks = {each["name"]: each for each in found}
        wrong = {name for name, each in checks.items() if not each["ok"]}
        if wrong == {"bridge eth0"} or time.monotonic() > end:  # an answer that took long says little
            break
    assert wrong == {"bridge eth0"}
    assert "the same files as" in checks["storage 0"]["found"] and "uplink eth1" in checks["bridge onebr"]["found"]
    assert list((bed.datastores / "0").iterdir()) == []


def test_storage_that_is_not_what_it_is_said_to_be_is_found(im: Im, bed: Bed) -> None:
    (bed.datastores / "100").mkdir(exist_ok=True)
    stores = [{"id": 0, "base_path": str(bed.datastores / "0"), "shared": False},
              {"id": 100, "base_path": str(bed.datastores / "100"), "shared": True}]
    checks = {each["name"]: each for each in im.ask("check", bed.nodes[0], datastores=stores, bridges=[])["checks"]}
    assert not checks["storage 0"]["ok"] and "SHARED=YES" in checks["storage 0"]["fix"]
    assert not checks["storage 100"]["ok"] and "SHARED=NO" in checks["storage 100"]["fix"]
    assert list(bed.datastores.glob("*/.onecore*")) == []


def test_a_host_that_cannot_be_reached_is_checked_too(im: Im, bed: Bed) -> None:
    node = bed.nodes[1]
    node.kill("sshd")
    try:
        checks = im.ask("check", node, datastores=[], bridges=["onebr"])["checks"]
    finally:
        node.start("sshd")
    assert not checks[0]["ok"] and "refused" in checks[0]["found"] and "SSH" in checks[0]["fix"]
    assert {each["found"] for each in checks[1:]} == {"not asked"} and checks[-1]["name"] == "bridge onebr"


def test_a_stopped_libvirtd_is_a_finding(im: Im, bed: Bed) -> None:
    node = bed.nodes[0]
    node.stop("libvirtd")
    try:
        checks = {each["name"]: each for each in im.ask("check", node, datastores=[], bridges=[])["checks"]}
    finally:
        node.cont("libvirtd")
    assert checks["ssh"]["ok"], checks
    assert not checks["libvirt"]["ok"] and "does not answer" in checks["libvirt"]["found"]
