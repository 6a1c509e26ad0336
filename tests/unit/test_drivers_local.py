"""The local executor: children end when they should, files are whole, errors say why."""
from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

import pytest
from ssh_ground import ends, soon

from drivers.base import Cancelled, Permanent, Temporary
from drivers.local import LocalExecutor, os_errors
from drivers.token import Token


def is_written(pid_file: Path) -> bool:
    """Whether a child has left its number there."""
    return pid_file.exists() and pid_file.read_text().endswith("\n")


def assert_gone_soon(pid_file: Path) -> None:
    soon(lambda: ends(int(pid_file.read_text())))


def test_output_and_input() -> None:
    assert LocalExecutor().run(["cat"], stdin=b"a\nb") == "a\nb"


def test_failure_carries_status_and_standard_error() -> None:
    with pytest.raises(Permanent, match="ended with 3: went wrong"):
        LocalExecutor().run(["sh", "-c", "echo went wrong >&2; exit 3"])


def test_a_long_standard_error_is_cut_at_its_beginning() -> None:
    with pytest.raises(Permanent) as error:
        LocalExecutor().run(["sh", "-c", "yes x | head -n 9999 >&2; echo last >&2; exit 1"])
    assert str(error.value).endswith("last") and len(str(error.value)) < 2200


def test_no_such_program() -> None:
    with pytest.raises(Permanent, match="no-such-program: No such file"):
        LocalExecutor().run(["no-such-program"])


def test_a_timeout_ends_grandchildren_too(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(Temporary, match="no end after 0.3 s"):
        LocalExecutor(left=lambda: 0.0 if is_written(pid) else 0.3).run(
            ["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"])
    assert_gone_soon(pid)


def test_a_cancel_from_another_thread_ends_grandchildren_too(tmp_path: Path) -> None:
    token, pid = Token(), tmp_path / "pid"
    threading.Thread(target=lambda: (soon(lambda: is_written(pid)), token.cancel())).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        LocalExecutor(token).run(["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"])
    assert time.monotonic() - began < 40
    assert_gone_soon(pid)


def test_nothing_starts_after_a_cancel(tmp_path: Path) -> None:
    token = Token()
    token.cancel()
    with pytest.raises(Cancelled):
        LocalExecutor(token).run(["touch", str(tmp_path / "x")])
    assert not (tmp_path / "x").exists()


def test_the_commands_time_bounds_every_child() -> None:
    with pytest.raises(Temporary, match="0.2 s"):
        LocalExecutor(left=lambda: 0.2).run(["sleep", "9"], timeout=5)
    with pytest.raises(Temporary, match="time is up"):
        LocalExecutor(left=lambda: 0.0).run(["true"])


def test_write_is_whole_and_has_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old and longer")
    LocalExecutor().write(str(path), b"new", 0o600)
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    with pytest.raises(Permanent, match="dir"):
        LocalExecutor().write(str(tmp_path / "dir"), b"x")
    assert os.listdir(tmp_path) == ["dir"]


def test_a_full_disk_is_temporary() -> None:
    with pytest.raises(Permanent, match="No such file"):
        LocalExecutor().read("/no/such/file")
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(Temporary, match="No space"), os_errors("full"):
        full.write(b"x")
