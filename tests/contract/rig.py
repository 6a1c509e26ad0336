"""What a driver brings to the contract suite (see conftest.py): a Rig, and the Ground it stands on in one test."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from drivers.context import Surroundings
from drivers.execute import execute
from drivers.token import Token
from onecore.wire.messages import Command, Doc, Message, News, Result, Sample

LASTING = ExitStack()
"""What rigs keep from one test to the next; closed at the end of the session."""
PROCESS = {"ds": "tm", "fence": "im"}
"""The process that runs a family, where it has none of its own name."""


class Disks(Protocol):
    """What the tests of storage see and do without the driver; a disk holds a number, which its guest writes."""

    def write(self, host: Doc, vm: Doc, disk: int, number: int) -> None:
        """The guest of (host, vm), which is off now, wrote NUMBER."""
        ...

    def read(self, host: Doc, vm: Doc, disk: int) -> int:
        """What it would read."""
        ...

    def size_mb(self, host: Doc, vm: Doc, disk: int) -> int:
        """How large it would see the disk."""
        ...

    def image(self, source: str) -> int:
        """What an image holds, seen alone."""
        ...

    def copied(self, host: Doc, vm: Doc, disk: int, number: int) -> None:
        """There is a copy of the disk, as `vm copy_disk` makes it, that holds NUMBER."""
        ...


@dataclass
class Ground:
    """The documents that the tests of one rig hand to its driver.

    Each maker gives a fresh document as docs/drivers.md has it; what it names (files, directories) is there.
    """

    home: Path
    host: Callable[[], Doc]
    """A host that can be reached."""
    vm: Callable[[int], Doc]
    """VM number N (any N from 1 to 9), generation 1, its `dir` not made yet; small, and bootable where that matters.
    For vm rigs its disks lie in `dir` already (deploy comes after prolog)."""
    settings: Doc = field(default_factory=dict)
    datastore: Callable[[], Doc] | None = None
    """tm: a system datastore.  ds: an image datastore, empty."""
    image: Callable[[int], Doc] | None = None
    """ds: image N with `path` of an existing file of 1 MB or more, no `source`."""
    on_disk: bool = True
    """Whether prolog makes `dir` and register makes a file at `source`."""
    on_host: Callable[[str], Path] = Path
    """Where this machine has what the host calls by a path."""
    vanish: Callable[[Doc, Doc], None] | None = None
    """vm: end the guest of (host, vm) behind the driver's back."""
    other: Callable[[], Doc] | None = None
    """vm, tm: a second host that can be reached; vm: whose guests see the same files."""
    disks: Disks | None = None
    """tm: sees into disks.  The VM has a clone, disk 0, and a persistent disk, 1, of 1 MB each."""
    has: Callable[[Doc, Doc], Doc] | None = None
    """vm: what the guest of (host, vm) has, seen without the driver: `disks` and `nics` (sorted ids), `vcpu`, `dir`."""
    add_disk: Callable[[Doc, int], Doc] | None = None
    """vm: a disk DISK_ID more for a VM, its file made; it is not among the VM's disks yet."""
    more: Doc = field(default_factory=dict)
    """vm: more of a VM's document than the suite's usual one, for a guest that is to change while it runs."""
    agent: bool = True
    """vm: whether the guests have an agent."""
    begin: Callable[[Doc, Doc], None] | None = None
    """fence: have a guest of (host, vm) run."""
    runs: Callable[[Doc, Doc], bool] | None = None
    """fence: whether it does."""
    patience: float = 5.0
    """Ten times so many seconds is the timeout of a command, and how long a test waits for what must come by itself."""


@dataclass(frozen=True)
class Rig:
    """One driver of one family under the suite."""

    family: str
    """vm, tm, ds, im or fence."""
    driver: str
    open: Callable[[Path], AbstractContextManager[Ground]]
    """Gets an empty directory, gives the ground, cleans up what the driver may have left."""
    parts: tuple[str, ...] | None = None
    """The parts of the family's suite that it is under (`vm`, `vm_plug` …); None: all."""
    marks: tuple[pytest.MarkDecorator, ...] = ()
    """pytest.mark.live where it needs libvirt, QEMU or root."""

    @property
    def name(self) -> str:
        """How the suite shows it."""
        return f"{self.family}-{self.driver}"


class Bench:
    """Runs a rig's actions as the driver process does, on the real clock, and keeps what they emit."""

    def __init__(self, rig: Rig, ground: Ground, around: Surroundings, messages: list[Message]) -> None:
        self.rig = rig
        self.ground = ground
        self.messages = messages
        self._around = around
        self._op = 0

    def do(self, action: str, *, generation: int = 1, op: int = 0, epoch: int = 1, **args: Any) -> Result:
        """Carry one command out; the operation number rises by itself."""
        self._op = op or self._op + 1
        kind = "vm" if "vm" in args else "host"
        command = Command(self._op, 1, epoch, generation, "lane", self.rig.driver, action,
                          (kind, int(args.get("vm", {"id": 0})["id"])), self.ground.patience * 10, "test", args)
        return execute(self._around, PROCESS.get(self.rig.family, self.rig.family), command, Token())

    def ok(self, action: str, **args: Any) -> Doc:
        """Carry one command out that must succeed; its data."""
        result = self.do(action, **args)
        assert result.ok, result.error
        return result.data

    def refused(self, action: str, **args: Any) -> str:
        """Carry one command out that must fail for good; its error."""
        result = self.do(action, **args)
        assert not result.ok and not result.temporary and "internal error" not in result.error, result
        return result.error

    def samples(self) -> list[Sample]:
        """The samples so far."""
        return [message for message in self.messages if isinstance(message, Sample)]

    def news(self) -> list[News]:
        """The news so far."""
        return [message for message in self.messages if isinstance(message, News)]
