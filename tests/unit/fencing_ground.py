"""What the tests of fence drivers stand on: a program of their own on PATH, and one command of the `im` process."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from drivers.context import Surroundings
from drivers.execute import execute
from drivers.journal import Journal
from drivers.token import Token
from onecore.wire.messages import Command, Doc, Result

IPMITOOL = """#!/bin/sh
echo "$IPMI_PASSWORD|$*" >> {directory}/calls
[ -e {directory}/fail ] && {{ echo "Error: Unable to establish IPMI v2 / RMCP+ session" >&2; exit 1; }}
for word; do last=$word; done
case $last in
  off) echo "Chassis Power Control: Down/Off"; echo {polls} > {directory}/left;;
  status) left=$(cat {directory}/left 2>/dev/null || echo never)
    case $left in
      never) echo "Chassis Power is on";;
      0) echo "Chassis Power is off";;
      *) echo $((left - 1)) > {directory}/left; echo "Chassis Power is on";;
    esac;;
esac
"""
"""Says that the power is on for some more looks after it was told to take it away."""


def fake_ipmitool(directory: Path, monkeypatch: pytest.MonkeyPatch, polls: object = 2) -> Path:
    """Put the program on PATH; DIRECTORY gets `calls`, one `PASSWORD|ARGUMENTS` a line, and may hold `fail`."""
    directory.mkdir(exist_ok=True)
    path = directory / "ipmitool"
    path.write_text(IPMITOOL.format(directory=directory, polls=polls))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    return directory


def calls(directory: Path) -> list[tuple[str, str]]:
    """(password, arguments) of each call of the program."""
    lines = (directory / "calls").read_text().splitlines() if (directory / "calls").exists() else []
    return [(password, rest) for password, _, rest in (line.partition("|") for line in lines)]


def host(**attrs: str) -> Doc:
    """A host with attributes."""
    return {"id": 3, "name": "node1", "im_mad": "kvm", "vm_mad": "kvm", "attrs": attrs}


def fence(home: Path, driver: str, host: Doc, vms: list[Doc] | None = None, timeout: float = 60.0,
          **settings: Any) -> Result:
    """Fence HOST with DRIVER, whose settings are given."""
    around = Surroundings(home, {driver: settings}, time.monotonic, Token.wait, lambda message: None, Journal())
    command = Command(1, 1, 1, 0, "fence:node1", driver, "fence", ("host", 3), timeout, "test",
                      {"host": host, "vms": vms or []})
    try:
        return execute(around, "im", command, Token())
    finally:
        around.kept.close()
