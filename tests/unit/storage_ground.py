"""What the storage tests stand on: a context as the driver process gives it, documents as in docs/drivers.md."""
from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.base import DriverError, Executor, Tell, Temporary
from drivers.context import Running, Surroundings
from drivers.journal import Journal
from drivers.local import LocalExecutor
from drivers.token import Token
from onecore.wire.messages import Command, Doc, Message

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img (qemu-utils) is not installed")


class Killed(BaseException):
    """The driver's process is killed here."""


_LOOKS = (("df",), ("stat",), ("cmp",), ("test",), ("sync",), ("qemu-img", "info"), ("qemu-img", "compare"))


def changes(argv: Sequence[str]) -> bool:
    """Whether a command may leave something that the next one sees: a kill before one that only looks is a kill before
    the next one that does not."""
    return not any(tuple(argv[:len(look)]) == look for look in _LOOKS) and (argv[0] != "find" or "-delete" in argv)


class Front(LocalExecutor):
    """The front-end; BEFORE is called before each copy and each command that changes something.

    Nothing is put on stable storage if it is there: processes are killed here, no machines.
    """

    def __init__(self, before: Callable[[], None], *bounds: Any) -> None:
        super().__init__(*bounds)
        self._before = before

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> str:
        try:
            if changes(argv):
                self._before()
        except Killed:
            if argv[0] == "find":  # in its middle: the disks that are left look like all that there was
                for path in super().run([*argv[:-1], "!", "-path", "*/disk.*", "-type", "f"]).splitlines():
                    Path(path).unlink()
            raise
        if argv[0] == "sync" and all(map(os.path.exists, argv[argv.index("--") + 1:])):
            self._check()
            return ""
        return super().run(argv, stdin=stdin, timeout=timeout)

    def bound(self, token: Token, left: Callable[[], float]) -> Front:
        other = Front(self._before, token, left)
        other._fences = self._fences
        return other

    def put(self, source: str, target: str, tell: Tell) -> None:
        self._copy_unless_killed(source, target, tell)

    def _copy_unless_killed(self, source: str, target: str, tell: Tell) -> None:
        try:
            self._before()
        except Killed:
            data = Path(source).read_bytes()
            Path(target).write_bytes(data[:len(data) // 2])
            raise
        super().put(source, target, tell)


class FakeRemote(Front):
    """A host that is all there but for the wire: what it has below HOME lies below ROOT on this machine."""

    def __init__(self, home: Path, root: Path, before: Callable[[], None], *bounds: Any) -> None:
        super().__init__(before, *bounds)
        self._home, self._root = str(home), str(root)

    @property
    def is_local(self) -> bool:
        return False

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> str:
        with self._as_told():
            out = super().run([self._there(word) for word in argv], stdin=stdin, timeout=timeout)
        return out.replace(self._root, self._home)

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        super().write(self._there(path), data, mode)

    def exists(self, path: str) -> bool:
        return super().exists(self._there(path))

    def put(self, source: str, target: str, tell: Tell) -> None:
        with self._as_told():
            self._copy_unless_killed(source, self._there(target), tell)

    def get(self, source: str, target: str, tell: Tell) -> None:
        with self._as_told():
            self._copy_unless_killed(self._there(source), target, tell)

    def pass_on(self, source: str, target: str, other: Executor, tell: Tell) -> None:
        there = other._there(target) if isinstance(other, FakeRemote) else target
        with self._as_told():
            self._copy_unless_killed(self._there(source), there, tell)

    @contextmanager
    def fence(self, vm_dir: str, order: tuple[int, int, int], wait: Callable[[float], None]) -> Iterator[None]:
        with super().fence(self._there(vm_dir), order, wait):
            yield

    def bound(self, token: Token, left: Callable[[], float]) -> FakeRemote:
        other = FakeRemote(Path(self._home), Path(self._root), self._before, token, left)
        other._fences = self._fences
        return other

    def _there(self, word: str) -> str:
        return word.replace(self._home, self._root)

    @contextmanager
    def _as_told(self) -> Iterator[None]:
        try:
            yield
        except DriverError as error:
            raise type(error)(str(error).replace(self._root, self._home)) from error


class _Reaching(Running):
    """A context that reaches the ground's hosts."""

    def __init__(self, ground: Ground, *given: Any) -> None:
        super().__init__(*given)
        self._ground = ground

    def _reach(self, host: Doc, token: Token, left: Callable[[], float] | None, default: float | None) -> Executor:
        name = host.get("name", "")
        if not name.startswith("node"):
            return Front(self._ground.count, token, left, default)
        if name in self._ground.lost:
            raise Temporary(f"{name}: no answer from its SSH server within 10 s")
        return FakeRemote(self._ground.home, self._ground.root(name), self._ground.count, token, left, default)


class Ground:
    """One home with a context for one command after the other; `messages` is what they emitted."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.images = self.home / "datastores/1"
        self.outside = directory / "outside"
        for path in (self.images, self.outside):
            path.mkdir(parents=True)
        self.messages: list[Message] = []
        self.token = Token()
        self.op = 0
        self.host = "localhost"
        """Where vm_args() sends VMs: names that begin with `node` are FakeRemotes."""
        self.shares = False
        """Whether all hosts see the home's files, under the same path."""
        self.apart: set[str] = set()
        """Hosts that do not see them, then."""
        self.lost: set[str] = set()
        """Hosts that do not answer."""
        self.calls = 0
        self.kill_at = 0
        """Which command or copy from now on (count() counts them) is the driver's last; 0: none."""

    def root(self, host: str) -> Path:
        """What on a host is the home."""
        if host == "localhost" or (self.shares and host not in self.apart):
            return self.home
        path = self.home.parent / host
        path.mkdir(exist_ok=True)
        return path

    def on(self, host: str, path: object) -> Path:
        """Where this machine has what HOST calls PATH."""
        return self.root(host) / Path(str(path)).relative_to(self.home)

    def count(self) -> None:
        """One more command or copy."""
        self.calls += 1
        if self.calls == self.kill_at:
            raise Killed

    def context(self, timeout: float = 30.0) -> Running:
        """A context for one more command."""
        around = Surroundings(self.home, {}, time.monotonic, Token.wait, self.messages.append, Journal())
        return _Reaching(self, around, Command(self.op, 1, 1, 1, "lane", "x", "x", ("vm", 7), timeout), self.token)

    def run(self, op: int = 0) -> dict[str, Any]:
        """What the runner puts under `_`: the next operation, or OP again."""
        self.op = op or self.op + 1
        return {"op": self.op, "attempt": 1, "epoch": 1, "generation": 1, "timeout": 30.0}

    def vm(self, *disks: dict[str, str], **more: Any) -> dict[str, Any]:
        """VM 7 with DISKS."""
        return {"id": 7, "generation": 1, "dir": str(self.home / "datastores/0/7"), "disks": list(disks), **more}

    def vm_args(self, vm: dict[str, Any], op: int = 0) -> dict[str, Any]:
        """Arguments of a tm action."""
        return {"host": {"id": 0, "name": self.host}, "vm": vm, "datastore": {"id": 0}, "_": self.run(op)}

    def datastore(self, **attrs: str) -> dict[str, Any]:
        """Datastore 1."""
        return {"id": 1, "name": "default", "type": 0, "base_path": str(self.images), "attrs": attrs}

    def image(self, path: object = "", **more: Any) -> dict[str, Any]:
        """Image 4."""
        attrs = more.pop("attrs", {})
        return {"id": 4, "name": "tiny", "type": 0, "format": "", "fs": "", "size_mb": 0, "source": "",
                "path": str(path), "attrs": attrs, **more}

    def image_args(self, image: dict[str, Any], op: int = 0, **attrs: str) -> dict[str, Any]:
        """Arguments of a ds action."""
        return {"datastore": self.datastore(**attrs), "image": image, "_": self.run(op)}

    def left(self) -> list[str]:
        """The names of the files in the image datastore."""
        return sorted(path.name for path in self.images.iterdir())


def qemu_img(*words: object) -> str:
    """Run qemu-img."""
    return subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True, text=True).stdout
