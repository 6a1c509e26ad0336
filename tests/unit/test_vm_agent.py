"""A command in a guest and the VM's fence: whoever wants to end the VM does not wait for the command."""
from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("libvirt")

from drivers.base import Permanent, Temporary
from drivers.context import Running, Surroundings
from drivers.fence import fenced
from drivers.journal import Journal
from drivers.token import Token
from drivers.vm import agent
from onecore.wire.messages import Command, Doc

HOST = {"id": 0, "name": "localhost"}


@pytest.fixture
def vm(tmp_path: Path) -> Doc:
    """A VM with a directory."""
    directory = tmp_path / "datastores" / "0" / "12"
    directory.mkdir(parents=True)
    return {"id": 12, "generation": 1, "dir": str(directory)}


def context(tmp_path: Path, op: int) -> tuple[Running, Doc]:
    """A context as the driver process gives it, and what its action is told of itself."""
    around = Surroundings(tmp_path, {}, time.monotonic, Token.wait, lambda message: None, Journal(io.StringIO()))
    command = Command(op, 1, 1, 1, "exec:localhost", "kvm", "exec", ("vm", 12), 20.0)
    return Running(around, command, Token()), {"op": op, "attempt": 1, "epoch": 1, "generation": 1, "timeout": 20.0}


class Guest:
    """The agent's side of the wire: the command runs for some questions, DURING is called at each."""

    def __init__(self, during: Any = None, late: int = 0) -> None:
        self.asked: list[str] = []
        self.late = late
        self._during = during or (lambda: None)

    def call(self, ctx: Any, args: Doc, guest: Any, command: str, arguments: Doc) -> Doc:
        """What it answers."""
        self.asked.append(command)
        if command == "guest-ping":
            if self.asked.count(command) <= self.late:
                raise Temporary("not connected")
            return {}
        if command == "guest-exec":
            return {"pid": 7}
        self._during()
        return {"exited": self.asked.count("guest-exec-status") > 2, "exitcode": 3, "out-data": "aGVsbG8="}


def execute(patch: pytest.MonkeyPatch, tmp_path: Path, vm: Doc, guest: Guest, op: int = 5) -> Doc:
    """The action with that guest."""
    patch.setattr(agent, "call", guest.call)
    patch.setattr(agent, "running", lambda ctx, args: guest)
    ctx, own = context(tmp_path, op)
    return agent.execute(ctx, {"host": HOST, "vm": vm, "command": "sh", "stdin": "", "_": own})


def test_the_fence_is_free_while_it_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vm: Doc) -> None:
    """A newer operation gets it at once; the command's end is told all the same."""
    entered = []

    def poweroff() -> None:
        ctx, own = context(tmp_path, 9)
        with fenced(ctx, ctx.host(HOST), {"host": HOST, "vm": vm, "_": own}):
            entered.append(True)
    guest = Guest(poweroff)
    found = execute(monkeypatch, tmp_path, vm, guest)
    assert (found["return_code"], found["stdout"], len(entered)) == (3, "hello", 3)
    with pytest.raises(Permanent, match="superseded by operation 9"):
        execute(monkeypatch, tmp_path, vm, guest)


def test_a_command_is_given_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vm: Doc) -> None:
    """By each operation, however often its end is asked for; nothing of it is left in the VM's directory."""
    guest = Guest()
    for op in (5, 6):
        assert execute(monkeypatch, tmp_path, vm, guest, op)["return_code"] == 3
    assert guest.asked.count("guest-exec") == 2 and guest.asked.count("guest-exec-status") == 4
    assert list(Path(vm["dir"]).iterdir()) == []


def test_an_agent_that_starts_with_its_guest_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                           vm: Doc) -> None:
    """By harmless questions: the command is given once, when the agent is there, or to tell that it is not."""
    monkeypatch.setattr(Running, "sleep", lambda self, seconds: None)
    for late, pings in ((3, 4), (10**6, agent.WAKES)):
        guest = Guest(late=late)
        assert execute(monkeypatch, tmp_path, vm, guest)["stdout"] == "hello"
        assert guest.asked.count("guest-ping") == pings and guest.asked.count("guest-exec") == 1
        assert guest.asked.index("guest-exec") == pings
