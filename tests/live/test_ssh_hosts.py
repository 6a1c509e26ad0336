"""The SSH executor on hosts of the test-bed: what real sshds, cut cables and crashes make of it."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bed import Bed, Node, missing

from drivers.base import DriverError, Permanent, Temporary
from drivers.ssh.executor import SshExecutor
from drivers.ssh.hosts import Hosts

pytestmark = [pytest.mark.live, pytest.mark.skipif(bool(missing()), reason=missing())]
PATIENCE = 10.0
SLACK = 40.0
"""A busy machine."""


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with Bed(nodes=2) as made:
        yield made


@pytest.fixture
def hosts(bed: Bed) -> Iterator[Hosts]:
    section: dict[str, Any] = {"key": str(bed.key), "known_hosts": str(bed.known_hosts), "connect_timeout": PATIENCE}
    made = Hosts(bed.home, section, time.monotonic, lambda level, text: print(level, text))
    yield made
    made.close()


def on(hosts: Hosts, node: Node, user: str = "root") -> SshExecutor:
    return SshExecutor(hosts, {"name": node.name, "attrs": {"SSH_USER": user}}, default=90.0)


def error_of(call: Callable[[], object]) -> tuple[DriverError | None, float]:
    began = time.monotonic()
    try:
        call()
    except DriverError as error:
        return error, time.monotonic() - began
    return None, time.monotonic() - began


def back(hosts: Hosts, node: Node, seconds: float = 90) -> None:
    """Wait until the host can be used again."""
    end = time.monotonic() + seconds
    while (error := error_of(lambda: on(hosts, node).exists("/"))[0]) is not None:
        assert time.monotonic() < end, error
        time.sleep(0.3)


def sleeping(node: Node, seconds: str) -> bool:
    """Whether `sleep SECONDS` runs in the node."""
    return bool(node.run("pgrep", "-f", f"^sleep {seconds}$", check=False))


def test_commands_of_both_users_run_on_their_host(bed: Bed, hosts: Hosts) -> None:
    for node in bed.nodes:
        assert on(hosts, node).run(["hostname"]) == f"{node.hostname}\n"
        assert on(hosts, node, "oneadmin").run(["whoami"]) == "oneadmin\n"
    with pytest.raises(Permanent, match="takes none of our keys for nobody"):
        on(hosts, bed.nodes[0], "nobody").exists("/")


def test_nothing_is_left_on_the_hosts_disk(bed: Bed, hosts: Hosts) -> None:
    node = bed.nodes[1]
    node.run("touch", "/run/before")
    on(hosts, node).run(["true"])
    hosts.close()
    assert node.written("/run/before") == []


def test_a_cut_cable_is_felt_and_mended(bed: Bed, hosts: Hosts) -> None:
    one, two = bed.nodes
    on(hosts, one).exists("/")
    on(hosts, two).exists("/")
    results: list[tuple[DriverError | None, float]] = []
    thread = threading.Thread(target=lambda: results.append(error_of(lambda: on(hosts, one).run(["sleep", "277"]))))
    thread.start()
    time.sleep(0.5)
    one.cut()
    try:
        asked = [error_of(lambda: on(hosts, two).run(["true"]))[0] for _ in range(100)]
        thread.join(PATIENCE + SLACK)
        error, seconds = results[0]
        assert isinstance(error, Temporary) and "nothing was heard" in str(error) and seconds < 0.5 + PATIENCE + SLACK
        assert asked == [None] * 100
        assert error_of(lambda: on(hosts, one).exists("/"))[1] < PATIENCE + SLACK
    finally:
        one.mend()
    back(hosts, one)


def test_a_server_that_never_answers(bed: Bed, hosts: Hosts) -> None:
    one = bed.nodes[0]
    with one.hung_sshd():
        assert "no answer from its SSH server within 10 s" in str(error_of(lambda: on(hosts, one).exists("/"))[0])
    back(hosts, one)


def test_a_killed_server_takes_what_it_ran_with_it(bed: Bed, hosts: Hosts) -> None:
    one = bed.nodes[0]
    results: list[tuple[DriverError | None, float]] = []
    thread = threading.Thread(target=lambda: results.append(error_of(lambda: on(hosts, one).run(["sleep", "78"]))))
    thread.start()
    while thread.is_alive() and not sleeping(one, "78"):
        time.sleep(0.1)
    one.kill("sshd")
    thread.join(PATIENCE + SLACK)
    assert isinstance(results[0][0], Temporary)
    end = time.monotonic() + SLACK
    while sleeping(one, "78"):
        assert time.monotonic() < end
        time.sleep(0.1)
    one.start("sshd")
    back(hosts, one)


def test_a_crashed_host_comes_back(bed: Bed, hosts: Hosts) -> None:
    one = bed.nodes[0]
    on(hosts, one).exists("/")
    one.crash()
    error, seconds = error_of(lambda: on(hosts, one).exists("/"))
    assert isinstance(error, Temporary) and seconds < PATIENCE + SLACK
    bed.start(one)
    back(hosts, one)


def test_a_disk_goes_there_and_back(bed: Bed, hosts: Hosts, tmp_path: Path) -> None:
    source, again = tmp_path / "source", tmp_path / "again"
    with source.open("wb") as file:
        file.write(bytes(range(256)) * 8192)
        file.truncate(64 << 20)
    ours = on(hosts, bed.nodes[1])
    ours.put(str(source), "/var/tmp/disk", lambda done, total: None)
    assert int(ours.run(["stat", "--format=%b", "/var/tmp/disk"])) * 512 < 4 << 20
    ours.get("/var/tmp/disk", str(again), lambda done, total: None)
    ours.run(["rm", "/var/tmp/disk"])
    assert source.read_bytes() == again.read_bytes()
