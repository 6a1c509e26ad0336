"""fence/script: which program is called, with what, and what its end means."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from fencing_ground import fence, host


def _script(directory: Path, body: str) -> str:
    path = directory / "fence.sh"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_it_gets_the_host_and_its_vms(tmp_path: Path) -> None:
    """The name as its argument, everything as JSON on standard input; 0 is off."""
    path = _script(tmp_path, f'echo "$@" > {tmp_path}/name; cat > {tmp_path}/told')
    result = fence(tmp_path, "script", host(RACK="4"), [{"id": 12}], path=path)
    assert result.ok and result.data == {"off": True}
    assert (tmp_path / "name").read_text() == "node1\n"
    told = json.loads((tmp_path / "told").read_text())
    assert told == {"host": host(RACK="4"), "vms": [{"id": 12}]}


def test_another_end_than_0_is_no_fence(tmp_path: Path) -> None:
    """What it said is told."""
    result = fence(tmp_path, "script", host(), path=_script(tmp_path, "echo 'outlet 4 is stuck' >&2; exit 3"))
    assert not result.ok and "ended with 3: outlet 4 is stuck" in result.error


def test_it_has_a_limited_time(tmp_path: Path) -> None:
    """Then it is killed, and the host is not fenced."""
    result = fence(tmp_path, "script", host(), timeout=0.3, path=_script(tmp_path, f"sleep 5; touch {tmp_path}/late"))
    assert not result.ok and result.temporary and not (tmp_path / "late").exists()


@pytest.mark.parametrize("path", ["", "fence.sh"])
def test_only_the_configuration_names_it(tmp_path: Path, path: str) -> None:
    """By an absolute path; what a host's attributes say is only told to it."""
    _script(tmp_path, f"touch {tmp_path}/ran")
    attrs = {"FENCE_SCRIPT": str(tmp_path / "fence.sh"), "PATH": str(tmp_path / "fence.sh")}
    result = fence(tmp_path, "script", host(**attrs), path=path)
    assert "path in [drivers.script] must be its absolute path" in result.error and not (tmp_path / "ran").exists()


def test_one_that_is_not_there(tmp_path: Path) -> None:
    """Is named."""
    assert "/nowhere/fence: No such file" in fence(tmp_path, "script", host(), path="/nowhere/fence").error
