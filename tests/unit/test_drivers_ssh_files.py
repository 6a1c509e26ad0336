"""Copies to and from a host: sparse, compared, cancelled, and what goes wrong with them; the same on this machine."""
from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from ssh_ground import Sshd, error_of, executor, missing, soon

from drivers.base import Cancelled, DriverError, Executor, Permanent, Temporary
from drivers.hand import copy
from drivers.local import LocalExecutor
from drivers.ssh import transfer
from drivers.ssh.hosts import Hosts
from drivers.token import Token

MB = 1 << 20
BLOCK = copy.BLOCK


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    if missing():
        pytest.skip(missing())
    server = Sshd(tmp_path_factory.mktemp("ssh"))
    made = server.hosts()
    yield made
    made.close()
    server.stop()


@pytest.fixture(params=["local", "ssh"])
def ours(request: pytest.FixtureRequest) -> Executor:
    """Either executor."""
    return LocalExecutor() if request.param == "local" else executor(request.getfixturevalue("hosts"), default=60.0)


def sparse(path: Path, size: int = 64 * MB) -> Path:
    """A file with data at the beginning, across a block's border, and somewhere; the rest is hole or zeros."""
    some = random.Random(7)
    with path.open("wb") as file:
        for at, length in ((0, 3 * MB + 5), (16 * MB - 3, 7), (40 * MB, MB)):
            file.seek(at)
            file.write(some.randbytes(length))
        file.seek(20 * MB)
        file.write(bytes(2 * MB))
        file.truncate(size)
    return path


def same(one: Path, other: Path) -> bool:
    return hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("way", ["put", "get"])
def test_a_sparse_file_arrives_whole_and_sparse(ours: Executor, tmp_path: Path, way: str) -> None:
    source, target = sparse(tmp_path / "source"), tmp_path / "target"
    target.write_bytes(b"old" * (22 * MB))
    told: list[tuple[int, int]] = []
    began = time.monotonic()
    getattr(ours, way)(str(source), str(target), lambda done, total: told.append((done, total)))
    print(f"{5 / (time.monotonic() - began):.0f} MB/s")
    assert same(source, target) and on_disk(target) <= 6 * MB
    assert told[-1] == (64 * MB, 64 * MB) and told == sorted(told)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK])
@pytest.mark.parametrize("zeros", [True, False])
def test_sizes_around_blocks(ours: Executor, tmp_path: Path, size: int, zeros: bool) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(size) if zeros else os.urandom(size))
    ours.put(str(source), str(target), lambda done, total: None)
    assert same(source, target)
    ours.get(str(source), str(target), lambda done, total: None)
    assert same(source, target)


def test_a_digest_knows_content_and_place_but_not_holes(tmp_path: Path) -> None:
    hole, full = sparse(tmp_path / "hole"), tmp_path / "full"
    full.write_bytes(hole.read_bytes())
    assert on_disk(full) > 2 * on_disk(hole)
    assert copy.measure(str(hole), len_of) == copy.measure(str(full), len_of)
    seen = {copy.measure(str(full), len_of)}
    for at in (0, 17 * MB, 64 * MB - 1):
        with full.open("r+b") as file:
            file.seek(at)
            file.write(b"\x01")
        seen.add(copy.measure(str(full), len_of))
    os.truncate(full, 65 * MB)
    assert len(seen | {copy.measure(str(full), len_of)}) == 5


def len_of(at: int) -> None:
    """Nobody is told."""


@pytest.fixture
def zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight blocks of zeros on a file system that knows of no holes; nothing is held back that may be told."""
    monkeypatch.setattr(copy, "_next_data", lambda fd, at, size: at)
    monkeypatch.setattr(copy, "_TELL", 0.0)
    (tmp_path / "zeros").write_bytes(bytes(8 * BLOCK))
    return tmp_path / "zeros"


EACH = set(range(0, 8 * BLOCK, BLOCK))


class End:
    """The other end of a copy: what it hears."""

    def __init__(self) -> None:
        self.beats = 0
        self.frames: list[dict[str, int]] = []

    def beat(self) -> None:
        self.beats += 1

    def send(self, document: dict[str, int], data: bytes = b"") -> None:
        assert not data
        self.frames.append(document)

    def receive(self) -> tuple[dict[str, str], bytes]:
        return {"digest": copy.Digest().end(8 * BLOCK)}, b""


def test_zeros_that_must_be_read_are_told_of(ours: Executor, zeros: Path, tmp_path: Path) -> None:
    told = set[int]()
    ours.put(str(zeros), str(tmp_path / "target"), lambda done, total: told.add(done))
    assert told >= EACH and same(zeros, tmp_path / "target")


def test_a_cancel_is_heard_while_zeros_are_read(zeros: Path, tmp_path: Path) -> None:
    token = Token()
    told: list[int] = []
    with pytest.raises(Cancelled):
        LocalExecutor(token).put(str(zeros), str(tmp_path / "target"),
                                 lambda done, total: (told.append(done), token.cancel()))
    assert told == [0]


def test_the_other_end_hears_something_while_zeros_are_read(zeros: Path) -> None:
    """It gives up when it hears nothing for long."""
    host, front = End(), End()
    transfer.put(cast(Any, host), str(zeros), "target", lambda done, total: None)
    assert host.beats == 8 and host.frames == [{"size": 8 * BLOCK}]
    copy._send({"path": str(zeros)}, cast(Any, front))
    assert {frame["at"] for frame in front.frames[1:]} == EACH


@pytest.mark.parametrize("way", ["put", "get"])
def test_what_is_missing_is_named(ours: Executor, tmp_path: Path, way: str) -> None:
    with pytest.raises(Permanent, match="/no/source: No such file"):
        getattr(ours, way)("/no/source", str(tmp_path / "target"), lambda done, total: None)
    source = sparse(tmp_path / "source")
    with pytest.raises(Permanent, match="/no/target: No such file"):
        getattr(ours, way)(str(source), "/no/target", lambda done, total: None)


@pytest.mark.parametrize("way", ["put", "get"])
def test_a_full_disk_is_temporary(ours: Executor, tmp_path: Path, way: str) -> None:
    source = sparse(tmp_path / "source")
    with pytest.raises(Temporary, match="/dev/full: No space left"):
        getattr(ours, way)(str(source), "/dev/full", lambda done, total: None)


@pytest.mark.parametrize("way", ["put", "get"])
def test_a_cancel_leaves_nothing_at_work(hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         way: str) -> None:
    source, token = tmp_path / "source", Token()
    source.write_bytes(bytes(range(1, 256)) * 100_000)
    monkeypatch.setattr(copy, "_TELL", 0.0)  # the first block is told of, and cancels
    errors: list[DriverError | None] = []
    ours = executor(hosts, token=token, default=60.0)
    thread = threading.Thread(target=lambda: errors.append(error_of(
        lambda: getattr(ours, way)(str(source), str(tmp_path / "target"), lambda done, total: token.cancel()))[0]))
    thread.start()
    thread.join(60)
    assert isinstance(errors[0], Cancelled)
    soon(lambda: not at_work(str(tmp_path)))


def at_work(name: str) -> list[str]:
    """The processes that have a file open whose path has NAME in it, but for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found += [entry.name for fd in (entry / "fd").iterdir() if name in os.readlink(fd)]
            except OSError:
                continue
    return found


def test_a_copy_that_differs_is_no_copy(hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sparse(tmp_path / "source")
    monkeypatch.setattr(copy.Digest, "end", lambda self, size: "another")
    with pytest.raises(Temporary, match="the copy differs from its source"):
        executor(hosts).put(str(source), str(tmp_path / "target"), lambda done, total: None)


def test_the_time_ends_a_copy(hosts: Hosts, tmp_path: Path) -> None:
    source = sparse(tmp_path / "source")
    left = iter([9.0] * 15)
    with pytest.raises(Temporary, match="time is up"):
        executor(hosts, left=lambda: next(left, 0.0)).put(
            str(source), str(tmp_path / "target"), lambda done, total: None)


@pytest.fixture(params=["local", "ssh"])
def far(request: pytest.FixtureRequest) -> Executor:
    """Where files are passed on to."""
    return LocalExecutor() if request.param == "local" else executor(request.getfixturevalue("hosts"), default=60.0)


def test_a_file_is_passed_on_whole_and_sparse(ours: Executor, far: Executor, tmp_path: Path) -> None:
    source, target, told = sparse(tmp_path / "source"), tmp_path / "target", []
    target.write_bytes(b"old" * MB)
    ours.pass_on(str(source), str(target), far, lambda done, total: told.append((done, total)))
    assert same(source, target) and on_disk(target) <= 5 * MB and told[-1] == (64 * MB, 64 * MB)


def test_what_cannot_be_passed_on_is_named(ours: Executor, far: Executor, tmp_path: Path) -> None:
    source = sparse(tmp_path / "source")
    for one, other, error, said in (("/no/source", str(tmp_path / "target"), Permanent, "/no/source: No such file"),
                                    (str(source), "/no/target", Permanent, "/no/target: No such file"),
                                    (str(source), "/dev/full", Temporary, "/dev/full: No space left")):
        with pytest.raises(error, match=said):
            ours.pass_on(one, other, far, lambda done, total: None)


def test_a_cancel_ends_both_ends_of_what_is_passed_on(hosts: Hosts, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    source, token = tmp_path / "source", Token()
    source.write_bytes(bytes(range(1, 256)) * 100_000)
    monkeypatch.setattr(copy, "_TELL", 0.0)  # the first block is told of, and cancels
    ours, far = (executor(hosts, token=token, default=60.0) for _ in range(2))
    errors: list[DriverError | None] = []
    thread = threading.Thread(target=lambda: errors.append(error_of(lambda: ours.pass_on(
        str(source), str(tmp_path / "target"), far, lambda done, total: token.cancel()))[0]))
    thread.start()
    thread.join(60)
    assert isinstance(errors[0], Cancelled)
    soon(lambda: not at_work(str(tmp_path)))
