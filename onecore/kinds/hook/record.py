"""The records of hooks and of what they ran, and their bodies."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from onecore.kinds.kind import KINDS, Kind, lock_xml
from onecore.lifecycle.core import Core
from onecore.pool.record import Object, Record
from onecore.wire import xmlbody
from onecore.wire.xmlrpc import escape_bytes


@dataclass(frozen=True, slots=True)
class Hook(Record):
    """`type` is api or state.  All of the change log up to `cursor` was seen to; `runs` were numbered so far."""

    TABLE: ClassVar[str] = "hook_pool"
    KIND: ClassVar[str] = "hook"
    oid: int
    name: str
    lock: str
    type: str
    template: bytes
    cursor: int
    runs: int


@dataclass(frozen=True, slots=True)
class HookRun(Record):
    """One run of a hook, in SQL only: when (Unix seconds), what, on which host ("": here), how it ended.

    `retry`: 1 for one that was asked for.  `event` is the change log's number of what it was about.
    """

    TABLE: ClassVar[str] = "hook_run"
    KEY: ClassVar[tuple[str, ...]] = ("hook", "number")
    hook: int
    number: int
    time: int
    command: str
    arguments: str
    stdin: int
    host: str
    code: int
    stdout: str
    stderr: str
    retry: int
    event: int

    def touches(self) -> tuple[Object, ...]:
        """The hook."""
        return (("hook", self.hook),)

    @classmethod
    def live(cls, row: Record) -> bool:
        """It is read from SQL."""
        return False


def run_xml(run: HookRun) -> str:
    """<HOOK_EXECUTION_RECORD>."""
    remote = xmlbody.text("REMOTE_HOST", run.host) if run.host else ""
    return (f"<HOOK_EXECUTION_RECORD><HOOK_ID>{run.hook}</HOOK_ID><EXECUTION_ID>{run.number}</EXECUTION_ID>"
            f"<TIMESTAMP>{run.time}</TIMESTAMP>{xmlbody.text('ARGUMENTS', run.arguments)}<EXECUTION_RESULT>"
            f"{xmlbody.text('COMMAND', run.command)}{xmlbody.text('STDOUT', run.stdout)}"
            f"{xmlbody.text('STDERR', run.stderr)}<CODE>{run.code}</CODE></EXECUTION_RESULT>{remote}"
            f"{xmlbody.text('RETRY', 'yes') if run.retry else ''}</HOOK_EXECUTION_RECORD>")


def body(core: Core, hook: Hook, log: Iterable[HookRun] | None = None) -> list[bytes]:
    """<HOOK>, with its latest runs if they are given."""
    told = "" if log is None else f"<HOOKLOG>{''.join(map(run_xml, log))}</HOOKLOG>"
    return [escape_bytes(f"<HOOK><ID>{hook.oid}</ID>{xmlbody.text('NAME', hook.name)}{xmlbody.text('TYPE', hook.type)}"
                         f"{lock_xml(hook)}<TEMPLATE>"), hook.template, escape_bytes(f"</TEMPLATE>{told}</HOOK>")]


HOOK = Kind("hook", "HOOK", Hook, "one.hook", "one.hookpool", body, owned=False, lockable=True, unique="all",
            classes=(HookRun,))
KINDS["hook"] = HOOK
