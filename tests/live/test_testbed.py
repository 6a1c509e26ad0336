"""The test-bed itself: hosts that are apart from each other and from the front-end, fail as told, and leave nothing."""
from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import bed_remains
import pytest
import testbed_guest
from bed import Bed, Failed, Node, missing
from bed_plan import Plan
from bed_system import namespace, until

pytestmark = [pytest.mark.live, pytest.mark.skipif(bool(missing()), reason=missing())]
PROGRAM = Path(__file__).parents[1] / "testbed" / "bed.py"


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """Two hosts for all tests of this file; each leaves them as they were."""
    with Bed(nodes=2, memory_mb=2048, disk_mb=1024) as made:
        yield made


def ssh(bed: Bed, node: Node, command: str, user: str = "root", patience: int = 15) -> str:
    """What a command says over SSH, with the bed's key and known hosts and nobody's configuration."""
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={bed.known_hosts}",
               "GlobalKnownHostsFile=/dev/null", "IdentitiesOnly=yes", f"ConnectTimeout={patience}"]
    done = subprocess.run(["/usr/bin/ssh", "-F", "none", "-i", str(bed.key), *(f"-o{option}" for option in options),
                           f"{user}@{node.name}", command], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Failed(done.stderr)
    return done.stdout.strip()


def reachable(bed: Bed, node: Node) -> bool:
    try:
        return ssh(bed, node, "hostname") == node.hostname
    except Failed:
        return False


def assert_reached(bed: Bed, node: Node) -> None:
    """Wait until the node can be reached, as it soon can."""
    until(lambda: reachable(bed, node), 120, f"an answer of {node.name}")


def test_ssh_takes_the_key_and_shows_the_key_that_is_known(bed: Bed) -> None:
    for node in bed.nodes:
        assert ssh(bed, node, "hostname") == node.hostname
        assert ssh(bed, node, "whoami", user="oneadmin") == "oneadmin"
        assert ssh(bed, node, "command -v python3") == "/usr/bin/python3"
    names = bed.known_hosts.read_text().replace(",", " ").split()
    assert all(name in names for node in bed.nodes for name in (node.address, node.hostname))


def test_a_host_with_another_key_is_refused(bed: Bed) -> None:
    known = bed.known_hosts.read_text()
    try:
        bed.known_hosts.write_text(f"{bed.nodes[0].address} {known.splitlines()[1].split(' ', 1)[1]}\n")
        with pytest.raises(Failed, match="verification failed"):
            ssh(bed, bed.nodes[0], "true")
    finally:
        bed.known_hosts.write_text(known)


def test_each_has_its_own_libvirt(bed: Bed) -> None:
    first, second = bed.nodes
    domain = ("<domain type='qemu'><name>mine</name><memory>1024</memory><os><type>hvm</type></os></domain>")
    first.path("/tmp/mine.xml").write_text(domain)
    first.run("virsh", "-q", "-c", "qemu:///system", "define", "/tmp/mine.xml")
    assert ssh(bed, first, "virsh -q -c qemu:///system list --all --name") == "mine"
    assert ssh(bed, second, "virsh -q -c qemu:///system list --all --name") == ""
    assert "16509" not in first.run("ss", "-lnt"), "libvirtd listens for TCP"
    assert len({node.run("virsh", "-c", "qemu:///system", "capabilities").split("<uuid>")[1][:36]
                for node in bed.nodes}) == 2
    first.run("virsh", "-q", "-c", "qemu:///system", "undefine", "mine")


def test_each_has_its_own_disk_and_the_memory_it_was_told(bed: Bed) -> None:
    local = f"{bed.datastores}/100"
    for node in bed.nodes:
        node.run("mkdir", local)
        size = int(node.run("df", "-m", "--output=size", local).split()[-1])
        assert 800 < size <= 1024
        assert "2097152 kB" in node.run("grep", "MemTotal", "/proc/meminfo")
        assert "2097152 KiB" in node.run("virsh", "-c", "qemu:///system", "nodeinfo")
    before = [int(node.run("df", "-m", "--output=used", "/").split()[-1]) for node in bed.nodes]
    bed.nodes[0].run("fallocate", "-l", "100M", f"{local}/big")
    after = [int(node.run("df", "-m", "--output=used", "/").split()[-1]) for node in bed.nodes]
    assert [b - a for a, b in zip(before, after, strict=True)] == [100, 0]
    for node in bed.nodes:
        node.run("rm", "-r", local)


@pytest.mark.parametrize("number", ["0", "1", "2"])
def test_three_datastores_are_shared(bed: Bed, number: str) -> None:
    path = bed.datastores / number / "note"
    bed.nodes[0].run("sh", "-c", f"echo hello > {path}")
    assert path.read_text() == bed.nodes[1].path(path).read_text() == "hello\n"
    path.unlink()
    assert str(path) not in bed.nodes[1].files(bed.datastores)


def test_everything_else_is_private(bed: Bed) -> None:
    first, second = bed.nodes
    (bed.home / "oned.log").touch()
    for place in (bed.home, bed.datastores / "100", "/tmp", "/var/tmp", "/root", "/etc", "/var/lib/one"):
        first.run("mkdir", "-p", str(place))
        first.run("touch", f"{place}/of-one")
        assert f"{place}/of-one" in first.files(place)
        assert f"{place}/of-one" not in second.files(place)
        assert not Path(place, "of-one").exists()
        first.run("rm", f"{place}/of-one")
    first.run("rmdir", str(bed.datastores / "100"))
    assert first.files(bed.home) == [str(bed.datastores), *(str(bed.datastores / name) for name in "012")]
    assert first.files("/nowhere") == []


def test_a_crash_ends_everything_and_the_host_comes_back_with_its_files(bed: Bed) -> None:
    node = bed.nodes[0]
    node.run("touch", "/var/lib/one/kept")
    node.run("sh", "-c", "sleep 1000 > /dev/null 2>&1 & setsid sleep 1000 > /dev/null 2>&1 &")
    pids = node.pids()
    assert len(pids) > 4
    space = namespace(node.pid)
    node.crash()
    assert node.pid == 0 and not bed.ping(node.address, 0.2)
    assert [pid for pid in pids if namespace(pid) == space] == []  # others may have their numbers
    with pytest.raises(Failed, match="not running"):
        node.run("true")
    assert bed.nodes[1].pid, "the other one lives"
    bed.start(node)
    assert_reached(bed, node)  # with the host key it had
    assert "/var/lib/one/kept" in node.files("/var/lib/one")
    until(lambda: len(node.pids("sleep")) == 1, 60, "nothing but what its first process waits for")


def test_a_first_process_killed_by_hand_is_a_crash(bed: Bed) -> None:
    node = bed.nodes[0]
    os.kill(node.pid, signal.SIGKILL)
    until(lambda: not node.alive, 60, "its end")
    bed.start(node)
    deadline = time.monotonic() + 180
    while not reachable(bed, node):
        assert time.monotonic() < deadline
        bed.start(node)


@pytest.mark.parametrize("name", ["sshd", "libvirtd"])
def test_daemons_die_hang_and_start_again(bed: Bed, name: str) -> None:
    def answers() -> bool:
        try:
            ssh(bed, node, "virsh -q -c qemu:///system uri") if name == "sshd" else \
                node.run("virsh", "-q", "-c", "qemu:///system", "uri", timeout=8)
        except Failed:
            return False
        return True

    node = bed.nodes[1]
    node.stop(name)
    assert not answers()
    node.cont(name)
    until(answers, 60, f"an answer of {name}")
    node.kill(name)
    assert node.pids(name) == [] and not answers()
    node.start(name)
    until(answers, 60, f"an answer of {name}")


def test_killing_sshd_ends_its_sessions(bed: Bed) -> None:
    node = bed.nodes[0]
    session = subprocess.Popen(["/usr/bin/ssh", "-F", "none", "-i", str(bed.key), "-oBatchMode=yes",
                                f"-oUserKnownHostsFile={bed.known_hosts}", f"root@{node.name}", "echo in; sleep 100"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert session.stdout and session.stdout.readline() == b"in\n"
    node.kill("sshd")
    assert session.wait(60) == 255
    session.stdout.close()
    node.start("sshd")


def test_a_cable_is_cut_and_mended(bed: Bed) -> None:
    node = bed.nodes[0]
    node.cut()
    assert not bed.ping(node.address, 0.5)
    assert bed.ping(node.guest_address, 20), "only the management network is cut"
    assert bed.ping(bed.nodes[1].address, 20)
    assert node.run("hostname") == "node1"
    node.mend()
    assert bed.ping(node.address, 60)
    assert_reached(bed, node)


def test_a_hung_sshd_takes_connections_and_never_answers(bed: Bed) -> None:
    node = bed.nodes[0]
    with node.hung_sshd():
        for _ in range(3):
            with socket.create_connection((node.address, 22), 20) as connection, pytest.raises(TimeoutError):
                connection.settimeout(0.3)
                connection.recv(1)
        assert not reachable(bed, node)
    assert_reached(bed, node)


def test_a_command_that_takes_too_long_is_ended(bed: Bed) -> None:
    with pytest.raises(Failed, match="not done within"):
        bed.nodes[0].run("tail", "-f", "/dev/null", timeout=0.3)
    deadline = time.monotonic() + 60
    while bed.nodes[0].pids("tail"):
        assert time.monotonic() < deadline


def told(bed: Bed, address: str) -> str:
    """The name that the guest gives itself; nothing before it can be asked."""
    try:
        return bed.http(address).get("hostname", "")
    except (OSError, HTTPException):
        return ""


def test_a_tiny_guest_boots_and_dies_with_its_host(bed: Bed) -> None:
    node, address = bed.nodes[0], f"{bed.plan.guests}.101"
    testbed_guest.boot(bed, node, "tiny", address)
    assert [guest.name for guest in node.guests()] == ["tiny"] and bed.nodes[1].guests() == []
    assert node.taps() == ["tiny-0"] and bed.nodes[1].taps() == []
    assert bed.ping(address, 360)
    deadline = time.monotonic() + 180
    while told(bed, address) != "tiny":
        assert time.monotonic() < deadline
    pid, space = node.guests()[0].pid, namespace(node.pid)
    node.kill("libvirtd")
    assert node.guests()[0].pid == pid
    node.crash()
    assert namespace(pid) != space and not bed.ping(address, 0.2)
    bed.start(node)
    assert node.guests() == [] and node.taps() == []
    shutil.rmtree(bed.datastores / "0" / "tiny")


def places() -> set[str]:
    """What of a machine a bed could forget, besides its mounts."""
    return set(os.listdir("/etc/ssh")) | {Path("/etc/hosts").read_text(), Path("/etc/passwd").read_text()}


def mounts(bed: Bed) -> list[str]:
    """What is mounted for a bed."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if re.search(rf"{re.escape(bed.directory.name)}\b", line)]


def assert_gone(plan: Plan) -> None:
    """Nothing is left of a bed, not even its lock, unless somebody has its number for a bed of his own by now."""
    locked = plan.lock.exists()
    with bed_remains.held(plan.number) as free:
        assert not free or not locked and bed_remains.left(plan) == []


def test_two_at_once_and_nothing_is_left(bed: Bed) -> None:
    before = places()
    with Bed(nodes=1) as other:
        assert other.number != bed.number
        assert_reached(other, other.nodes[0])
        assert_reached(bed, bed.nodes[0])
        assert bed_remains.left(other.plan) != []
        kept = os.open(f"/proc/{other.nodes[0].pid}/ns/pid", os.O_RDONLY)  # open, its number is nobody else's later
        space = os.readlink(f"/proc/self/fd/{kept}")
    assert_gone(other.plan)
    assert places() == before and mounts(other) == []
    assert [link for link in Path("/proc").glob("[0-9]*/ns/pid") if _target(link) == space] == []
    os.close(kept)
    assert_reached(bed, bed.nodes[0])


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def test_a_fork_of_a_first_process_is_none(bed: Bed) -> None:
    before = bed_remains.roots(bed.plan)
    assert len(before) == 2 * len(bed.nodes)
    become = 'exec /bin/sh -c "echo begun; read -r line" /x/node-init.sh "$0"'
    with subprocess.Popen(["nsenter", "--target", str(bed.nodes[0].pid), "--pid", "--", "/bin/sh", "-c", become,
                           str(bed.directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as fork:
        assert fork.stdin and fork.stdout and fork.stdout.readline() == b"begun\n"
        assert bed_remains.roots(bed.plan) == before


def test_what_a_killed_process_leaves_is_removed_by_the_next(bed: Bed) -> None:
    code = "import time; from bed import Bed; bed = Bed(1); bed.up(); print(bed.number, flush=True); time.sleep(60)"
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": str(PROGRAM.parent)})
    assert owner.stdout
    plan = Plan(int(owner.stdout.readline()))
    roots, taken = bed_remains.roots(plan), []
    assert len(roots) == 2
    owner.kill()
    owner.wait()
    owner.stdout.close()
    while set(roots) & set(bed_remains.roots(plan)):  # another test may be the next, and takes a while
        taken.append(bed_remains.take())
        time.sleep(0.5)
    for number, lock in taken:
        assert bed_remains.left(Plan(number)) == []
        bed_remains.release(number, lock)


def test_the_command_line_keeps_a_bed_until_it_is_told(bed: Bed) -> None:
    def program(*words: str) -> str:
        return subprocess.run([sys.executable, PROGRAM, *words], check=True, capture_output=True, text=True).stdout

    said = program("up", "--nodes", "1", "--disk", "512")
    number = said.split()[1]
    try:
        assert f"bed {number} (kept), 1 nodes running" in program("list")
        assert f"bed {bed.number} (a process), 2 nodes running" in program("list")
        command = said.strip().splitlines()[-1].split()
        assert subprocess.run([*command, "-oBatchMode=yes", "hostname"], capture_output=True).stdout == b"node1\n"
        assert "stays" in program("down", str(bed.number))
    finally:
        assert "is gone" in program("down", number)
    assert_gone(Plan(int(number)))
