"""A server that exists only in this process, with a record of its calls, and a runner for programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import cli.session
from cli.main import program
from cli.program import run
from onecore.wire.client import ClientError

NOW = 1_790_000_000.0


@dataclass
class Cloud:
    """Answers calls from a table: a value, or a function of the arguments; records all of them."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    accounts: list[Any] = field(default_factory=list)

    def call(self, method: str, *arguments: object, timeout: float | None = None) -> object:
        """The answer of METHOD; NO_EXISTS as a fault for an unknown one."""
        self.calls.append((method, *arguments))
        if method not in self.answers:
            raise ClientError(f"unknown method {method}", 0x1000)
        answer = self.answers[method]
        value = answer(*arguments) if callable(answer) else answer
        if isinstance(value, Exception):
            raise value
        return value

    def made(self, method: str) -> list[tuple[Any, ...]]:
        """The arguments of the calls of METHOD."""
        return [call[1:] for call in self.calls if call[0] == method]

    @staticmethod
    def vm(
        oid: int,
        name: str,
        state: int = 3,
        lcm: int = 3,
        user: str = "",
        extra: str = "",
        resched: int = 0,
    ) -> str:
        """The body of a VM as a pool has it, complete enough for lists."""
        host = (
            f"<HISTORY><OID>{oid}</OID><SEQ>0</SEQ><HOSTNAME>node{oid}</HOSTNAME><HID>{oid}</HID><CID>0</CID></HISTORY>"
        )
        return (
            f"<VM><ID>{oid}</ID><UID>0</UID><GID>0</GID><UNAME>oneadmin</UNAME><GNAME>oneadmin</GNAME>"
            f"<NAME>{name}</NAME><STATE>{state}</STATE><LCM_STATE>{lcm}</LCM_STATE><RESCHED>{resched}</RESCHED>"
            f"<STIME>{NOW - 3700:.0f}</STIME><ETIME>0</ETIME><DEPLOY_ID/>"
            f"<TEMPLATE><CPU>0.5</CPU><MEMORY>{128 * (oid + 1)}</MEMORY>"
            f"<NIC><IP>10.0.0.{oid}</IP></NIC>{extra}</TEMPLATE><USER_TEMPLATE>{user}</USER_TEMPLATE>"
            f"<HISTORY_RECORDS>{host if state not in (1, 2) else ''}</HISTORY_RECORDS></VM>"
        )

    def vms(self, *bodies: str) -> None:
        """Fill the VM pool."""
        self.answers["one.vmpool.info"] = f"<VM_POOL>{''.join(bodies)}</VM_POOL>"


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str


Runner = Callable[..., Outcome]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """An empty fake server that every session connects to."""
    fake = Cloud()

    def connect(account: Any) -> Cloud:
        fake.accounts.append(account)
        return fake

    monkeypatch.setattr(cli.session, "connect", connect)
    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setenv("TZ", "UTC")
    for name in ("ONE_AUTH", "ONE_XMLRPC", "ONE_PAGER", "NO_COLOR", "EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    return fake


@pytest.fixture
def one(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> Runner:
    """Runs `one("vm", "list", "-x")` and gives its outcome."""

    def go(kind: str, *arguments: str) -> Outcome:
        code = run(program(kind), list(arguments))
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return go
