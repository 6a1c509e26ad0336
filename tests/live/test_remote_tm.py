"""tm/ssh and tm/shared over real SSH, between two hosts of the test-bed and a driver process that may be killed."""
from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bed import Bed, Node, missing

from onecore.wire.messages import Command, Doc, Progress, Result

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from drivers_process import Driver

pytestmark = [pytest.mark.live, pytest.mark.skipif(bool(missing()), reason=missing())]
MB = 1 << 20
BIG = 192
"""MB of random bytes: a second or more on their way."""
TRIES = 5
"""So often a copy may be over before its driver can be killed."""
SLOW = """#!/bin/sh
[ ! -e /run/slow-img ] || exec /run/slow-img 1000
exec /usr/bin/qemu-img "$@"
"""


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with Bed(nodes=2) as made:
        yield made


class Ground:
    """The bed's front-end with a transfer driver at work; VM 7 is in a datastore of the hosts, VM 8 in a shared one."""

    def __init__(self, bed: Bed) -> None:
        self.bed, self.op, self.epoch = bed, 0, time.time_ns() // 1_000_000
        self.one, self.two = bed.nodes
        self.images = bed.datastores / "1"
        self.start()

    def start(self) -> None:
        """A driver process."""
        self.driver = Driver("tm", self.bed.directory, path=self.bed.home, settings={
            "ssh": {"key": str(self.bed.key), "known_hosts": str(self.bed.known_hosts), "connect_timeout": 20}})

    def kill(self) -> None:
        """kill -9; then another one."""
        self.driver.process.kill()
        self.driver.process.wait()
        self.driver.close()
        self.start()

    def send(self, action: str, vm: Doc, node: Node, again: bool = False) -> None:
        """Send a command: the next operation, or the last one again."""
        self.op += not again
        args = {"host": {"id": node.index, "name": node.name, "attrs": {}}, "vm": vm, "datastore": {"id": 100}}
        self.driver.send(Command(self.op, 1, self.epoch, 1, node.name, vm["tm_mad"], action, ("vm", vm["id"]), 120.0,
                                 "r", args))

    def end(self) -> Result:
        """The answer to what was sent last."""
        return self.driver.result(self.op, seconds=300)

    def caught(self, action: str, vm: Doc, node: Node, half: Path, over: Callable[[], object]) -> bool:
        """Send a command and kill the driver once HALF of a copy is there; whether it was not OVER by then."""
        self.send(action, vm, node)
        ended = (self.op, 1)
        self.wait("a part of the copy", lambda: _blocks(half) > 8 * MB or ended in self.driver.results())
        self.kill()
        return not over()

    def do(self, action: str, vm: Doc, node: Node, again: bool = False) -> None:
        """A command that must succeed."""
        self.send(action, vm, node, again)
        result = self.end()
        assert result.ok, result.error

    def vm(self, *disks: dict[str, str], tm_mad: str = "ssh") -> Doc:
        """VM 7, or VM 8 on shared storage."""
        oid, ds = (7, 100) if tm_mad == "ssh" else (8, 0)
        return {"id": oid, "name": "web", "generation": 1, "tm_mad": tm_mad, "away": False, "disks": list(disks),
                "dir": str(self.bed.datastores / str(ds) / str(oid))}

    def image(self, disk: int, form: str, size: int = 8, **more: str) -> dict[str, str]:
        """A disk of an image that is half random bytes."""
        path = self.images / f"{form}{disk}"
        raw = self.images / "raw"
        with raw.open("wb") as file:
            for _ in range(size):
                file.write(os.urandom(MB // 2) + bytes(MB // 2))
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, raw, path], check=True)
        raw.unlink()
        return {"DISK_ID": str(disk), "TYPE": "FILE", "IMAGE_ID": "4", "SOURCE": str(path), "FORMAT": form,
                "SIZE": str(size), "ORIGINAL_SIZE": str(size), "CLONE": "YES", "SAVE": "NO", **more}

    def files(self, node: Node, vm: Doc) -> list[str]:
        """What a node has of the VM."""
        return [os.path.relpath(path, vm["dir"]) for path in node.files(vm["dir"])]

    def digest(self, node: Node | None, path: object) -> str:
        """A file's digest, on a node or on the front-end."""
        place = node.path(str(path)) if node else Path(str(path))
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def wait(self, what: str, true: Any, seconds: float = 120) -> None:
        """Wait, reading what the driver says."""
        self.driver.until(true, seconds)

    def assert_nothing_left(self, vm: Doc) -> None:
        """Neither on the nodes nor on the front-end, but for the images."""
        for node in self.bed.nodes:
            assert node.files(vm["dir"]) == [] and not node.path(vm["dir"]).exists()
        assert not Path(vm["dir"]).exists()
        assert [path.name for path in self.images.iterdir() if not path.name[-1].isdigit()] == []


@pytest.fixture
def ground(bed: Bed) -> Iterator[Ground]:
    made = Ground(bed)
    yield made
    for vm in (made.vm(), made.vm(tm_mad="shared")):
        for node in bed.nodes:
            made.do("delete", vm, node)
    made.driver.close()
    for path in made.images.iterdir():
        path.unlink()


def written(node: Node, path: str, form: str) -> None:
    """As if a guest wrote."""
    node.run("qemu-io", "-f", form, "-c", "write -P 97 0 64k", path)


@pytest.mark.parametrize("tm_mad", ["ssh", "shared"])
def test_a_life_on_two_hosts(ground: Ground, tm_mad: str) -> None:
    """Copied to one, stopped, resumed on the other; the persistent disk keeps what was written on both."""
    own = ground.image(1, "qcow2", CLONE="NO", SAVE="YES", SIZE="12")
    vm = ground.vm(ground.image(0, "raw", SIZE="16"), own,
                   {"DISK_ID": "2", "TYPE": "fs", "SIZE": "8", "FORMAT": "qcow2", "FS": "ext4"}, tm_mad=tm_mad)
    ground.do("prolog", vm, ground.one)
    assert ground.files(ground.one, vm) == ["disk.0", "disk.1", "disk.2"]
    if tm_mad == "ssh":
        assert ground.files(ground.two, vm) == [] and not Path(vm["dir"]).exists()
    written(ground.one, f"{vm['dir']}/disk.1", "qcow2")
    before = ground.digest(ground.one, f"{vm['dir']}/disk.0")
    ground.do("epilog_stop", vm, ground.one)
    if tm_mad == "ssh":
        assert ground.files(ground.one, vm) == []
    ground.do("prolog_resume", vm, ground.two)
    assert ground.digest(ground.two, f"{vm['dir']}/disk.0") == before
    assert ground.two.path(f"{vm['dir']}/disk.0").stat().st_size == 16 * MB
    ground.do("epilog", vm, ground.two)
    ground.assert_nothing_left(vm)
    seen = subprocess.run(["qemu-io", "-r", "-f", "qcow2", "-c", "read -P 97 0 64k", own["SOURCE"]],
                          capture_output=True, text=True, check=True).stdout
    assert "verification failed" not in seen


def test_a_stopped_vm_ends_with_no_host_there(ground: Ground) -> None:
    own = ground.image(0, "raw", CLONE="NO", SAVE="YES")
    vm = ground.vm(own)
    ground.do("prolog", vm, ground.one)
    written(ground.one, f"{vm['dir']}/disk.0", "raw")
    ground.do("epilog_stop", vm, ground.one)
    ground.one.crash()
    try:
        ground.do("epilog", {**vm, "away": True}, ground.one)
    finally:
        ground.bed.start(ground.one)
    assert Path(own["SOURCE"]).read_bytes()[:65536] == b"a" * 65536
    ground.assert_nothing_left(vm)


def test_a_kill_in_the_middle_of_a_copy_to_the_host(ground: Ground) -> None:
    vm = ground.vm(ground.image(0, "raw", BIG * 2))
    half = ground.one.path(f"{vm['dir']}/disk.0.tmp")
    for _ in range(TRIES):
        if ground.caught("prolog", vm, ground.one, half, lambda: "disk.0" in ground.files(ground.one, vm)):
            break
        ground.do("delete", vm, ground.one)
    else:
        pytest.fail("every copy was over before its driver was killed")
    ground.do("prolog", vm, ground.one, again=True)
    assert ground.files(ground.one, vm) == ["disk.0"]
    copy = ground.one.path(f"{vm['dir']}/disk.0")
    assert ground.digest(None, vm["disks"][0]["SOURCE"]) == ground.digest(ground.one, f"{vm['dir']}/disk.0")
    assert copy.stat().st_blocks * 512 < (BIG + 8) * MB
    told = [each for each in ground.driver.messages if isinstance(each, Progress) and each.total == BIG * 2 * MB]
    assert any(0 < each.done <= each.total for each in told)
    ground.do("delete", vm, ground.one)
    ground.assert_nothing_left(vm)


@pytest.mark.parametrize("action", ["epilog", "epilog_stop"])
def test_a_kill_in_the_middle_of_a_copy_home(ground: Ground, action: str) -> None:
    own = ground.image(0, "raw", BIG * 2, CLONE="NO", SAVE="YES")
    vm = ground.vm(own)
    half = Path(f"{own['SOURCE']}.tmp" if action == "epilog" else f"{vm['dir']}/disk.0.tmp")
    for _ in range(TRIES):
        ground.do("prolog", vm, ground.one)
        written(ground.one, f"{vm['dir']}/disk.0", "raw")
        wanted = ground.digest(ground.one, f"{vm['dir']}/disk.0")
        if ground.caught(action, vm, ground.one, half, lambda: not half.exists()):
            break
        ground.do("delete", vm, ground.one)
    else:
        pytest.fail("every copy was over before its driver was killed")
    assert ground.digest(ground.one, f"{vm['dir']}/disk.0") == wanted
    ground.do(action, vm, ground.one, again=True)
    if action == "epilog_stop":
        assert [path.name for path in Path(vm["dir"]).iterdir()] == ["disk.0"]
        ground.do("prolog_resume", vm, ground.two)
        ground.do("epilog", vm, ground.two)
    assert ground.digest(None, own["SOURCE"]) == wanted
    ground.assert_nothing_left(vm)


def test_what_outlives_its_driver_is_ended_before_the_next_begins(ground: Ground) -> None:
    """The driver and its hand are killed; their qemu-img works on, on the same file."""
    vm, node = ground.vm({"DISK_ID": "0", "TYPE": "raw", "SIZE": "8", "FORMAT": "qcow2"}), ground.one
    program, slow = node.path("/usr/local/sbin/qemu-img"), node.path("/run/slow-img")
    program.write_text(SLOW)
    program.chmod(0o755)
    node.run("cp", "/bin/sleep", "/run/slow-img")
    try:
        ground.send("prolog", vm, node)
        ground.wait("qemu-img", lambda: node.pids("slow-img"))
        orphan = node.pids("slow-img")
        node.stop("python3")
        ground.driver.process.kill()
        node.kill("python3")
        ground.kill()
        assert node.pids("slow-img") == orphan
        slow.unlink()
        ground.do("prolog", vm, node, again=True)
        assert node.pids("slow-img") == [] and ground.files(node, vm) == ["disk.0"]
    finally:
        slow.unlink(missing_ok=True)
        program.unlink()


def test_a_host_that_is_away_is_worth_another_try(ground: Ground) -> None:
    vm = ground.vm(ground.image(0, "raw", CLONE="NO", SAVE="YES"))
    ground.do("prolog", vm, ground.one)
    ground.one.crash()
    try:
        for action in ("epilog", "epilog_stop", "delete"):
            ground.send(action, vm, ground.one)
            result = ground.end()
            assert result.temporary and ground.one.name in result.error
    finally:
        ground.bed.start(ground.one)
    assert ground.files(ground.one, vm) == ["disk.0"]
    _soon(ground, vm)
    ground.assert_nothing_left(vm)


def _soon(ground: Ground, vm: Doc) -> None:
    """Delete once the circuit breaker lets it."""
    end = time.monotonic() + 120
    while True:
        ground.send("delete", vm, ground.one)
        result = ground.end()
        if result.ok or time.monotonic() > end:
            assert result.ok, result.error
            return
        time.sleep(1)


def _blocks(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0
