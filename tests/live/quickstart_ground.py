"""quickstart.sh as tests run it: with a home and a port of their own, in the checkout that holds this file."""
from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import libvirtd
import pytest
from ports import free_port

CHECKOUT = Path(__file__).parents[2]
BIN = CHECKOUT / ".venv/bin"
BRIDGE = Path("/sys/class/net/onebr0")

needs_venv = pytest.mark.skipif(not (BIN / "onecore").exists(), reason="the checkout has no .venv")


class Quickstart:
    """One cloud that quickstart.sh makes."""

    def __init__(self, home: Path, dummy: bool) -> None:
        port = free_port()
        self.home = home
        self.options = ["--home", str(home), "--port", str(port), *(["--dummy"] if dummy else [])]
        self._environment = {**os.environ, "ONE_AUTH": str(home / "one_auth"),
                             "ONE_XMLRPC": f"http://127.0.0.1:{port}/RPC2"}

    def run(self, *more: str) -> str:
        """Run the script; what it says on its way, then what it says at its end."""
        argv = [str(CHECKOUT / "quickstart.sh"), *more, *self.options]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=1000, env=self._environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr + done.stdout

    def one(self, command: str, *words: str, template: str = "") -> str:
        """One of the checkout's commands."""
        done = subprocess.run([str(BIN / command), *words], capture_output=True, text=True, timeout=120,
                              input=template, env=self._environment)
        assert done.returncode == 0, f"{command} {words}: {done.stderr}"
        return done.stdout

    def state(self, name: str) -> str:
        """The short state of a VM."""
        return self.one("onevm", "list", "--no-header", "-l", "STAT", "-f", f"NAME={name}").strip()

    def show(self, name: str) -> dict[str, Any]:
        """A VM's document."""
        found: dict[str, Any] = json.loads(self.one("onevm", "show", name, "-j"))["VM"]
        return found

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


@contextmanager
def quickstart(home: Path, dummy: bool = False) -> Iterator[Quickstart]:
    """A cloud that is taken down afterwards, whatever happened; skips where a real one cannot be."""
    if not dummy:
        libvirtd.need()
        if BRIDGE.exists():
            pytest.skip("onebr0 is there already: a quickstart is up on this machine")
    made = Quickstart(home, dummy)
    try:
        yield made
    finally:
        subprocess.run([str(CHECKOUT / "quickstart.sh"), "--down", *made.options], capture_output=True, timeout=1000)


def within(seconds: float, true: Callable[[], object], what: str) -> None:
    """Wait until something is true; fails with WHAT after SECONDS, and forty at least: machines are busy."""
    seconds = max(seconds, 40)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def page(address: str, path: str = "/") -> str:
    """A page of the guest at ADDRESS, or nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=3) as answer:
            text: str = answer.read().decode()
    except (OSError, HTTPException):
        return ""
    return text


def facts(address: str) -> dict[str, str]:
    """The guest's status page."""
    return dict(line.split("=", 1) for line in page(address).splitlines() if "=" in line)


def domains() -> list[str]:
    """libvirt's domains, running or not."""
    argv = ["virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def address_in(said: str) -> str:
    """The address of the VM that quickstart.sh reports."""
    found = re.search(r"RUNNING, ([0-9.]+), answers ping", said)
    assert found, said
    return found[1]
