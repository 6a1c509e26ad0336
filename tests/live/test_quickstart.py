"""quickstart.sh from beginning to end: with a real guest (root, libvirt, QEMU), and on simulated hosts without either.

It works in the checkout that holds this file, whose .venv has to be there already.
"""
from __future__ import annotations

import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
BIN = CHECKOUT / ".venv/bin"
BRIDGE = Path("/sys/class/net/onebr0")

pytestmark = [pytest.mark.timeout(400),
              pytest.mark.skipif(not (BIN / "onecore").exists(), reason="the checkout has no .venv")]


class Quickstart:
    """Runs the script with a home and a port of the test's own."""

    def __init__(self, home: Path, dummy: bool) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.options = ["--home", str(home), "--port", str(port), *(["--dummy"] if dummy else [])]
        self.environment = {**os.environ, "ONE_AUTH": str(home / "one_auth"), "ONE_XMLRPC": f"http://127.0.0.1:{port}/RPC2"}
        self.home = home

    def run(self, *more: str) -> str:
        """Run it; what it says at its end."""
        argv = [str(CHECKOUT / "quickstart.sh"), *more, *self.options]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=380, env=self.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def one(self, command: str, *words: str) -> str:
        """One of the checkout's commands against it."""
        argv = [str(BIN / command), *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, env=self.environment, check=True).stdout

    def daemons(self) -> list[str]:
        """The processes that carry its home in their arguments."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if str(self.home) in words and "quickstart" not in words[0]:
                found.append(" ".join(words))
        return found


@pytest.fixture
def started(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Quickstart]:
    """A quickstart, taken down afterwards whatever happened."""
    made = Quickstart(tmp_path / "home", dummy="dummy" in request.node.name)
    try:
        yield made
    finally:
        subprocess.run([str(CHECKOUT / "quickstart.sh"), "--down", *made.options], capture_output=True, timeout=120,
                       env=made.environment)


def test_dummy(started: Quickstart) -> None:
    assert "RUNNING" in started.run()
    began = time.monotonic()
    assert "RUNNING" in started.run()
    assert time.monotonic() - began < 30
    assert started.one("onevm", "list", "--no-header", "-l", "NAME,STAT").split() == ["quickstart", "runn"]
    started.run("--down")
    assert started.daemons() == []


@pytest.mark.live
def test_a_real_guest_answers_with_the_address_and_name_of_its_context(started: Quickstart) -> None:
    if BRIDGE.exists():
        pytest.skip("onebr0 is there already: a quickstart is up on this machine")
    said = started.run()
    found = re.search(r"RUNNING, ([0-9.]+), answers ping", said)
    assert found, said
    with urllib.request.urlopen(f"http://{found[1]}/", timeout=20) as answer:
        facts = dict(line.split("=", 1) for line in answer.read().decode().splitlines())
    assert facts["hostname"] == "quickstart" and f"eth0:{found[1]}/24" in facts["addresses"]
    began = time.monotonic()
    assert found[0] in started.run()
    assert time.monotonic() - began < 30
    domain = f"one-{re.search(r'VM ([0-9]+)', said)[1]}"  # type: ignore[index]
    started.run("--down")
    assert started.daemons() == [] and not BRIDGE.exists()
    assert domain not in subprocess.run(["virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name"],
                                        capture_output=True, text=True).stdout.split()
    assert [path for path in (started.home / "datastores/0").glob("*") if path.is_dir()] == []
