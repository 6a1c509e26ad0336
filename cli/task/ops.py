"""The methods onecore.op.*: operations of VMs and images as the server tells of them, and their progress in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cli.cells import size
from cli.errors import FAILED, UNKNOWN_METHOD, CliError
from cli.kind import View
from cli.session import Caller, Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

Operation = dict[str, Any]
LONGEST = 30
"""Seconds that one question waits at most."""


def listed(caller: Caller, filter_flag: int = -2, timeout: float | None = None) -> list[Operation]:
    """The operations under way."""
    found: list[Operation] = json.loads(str(caller.call("onecore.op.list", filter_flag, timeout=timeout)))
    return found


def info(caller: Caller, op: int) -> Operation:
    """One operation, with its log; one that ended not long ago too."""
    found: Operation = json.loads(str(caller.call("onecore.op.info", op)))
    return found


def wait(session: Session, op: int, seconds: int) -> Operation:
    """As info, when it has ended or SECONDS have passed."""
    found: Operation = json.loads(session.text("onecore.op.wait", op, seconds, timeout=seconds + 30.0))
    return found


def of_vm(session: Session, oid: int) -> Operation | None:
    """The operation under way of VM OID; None also where the server knows no operations."""
    try:
        return next((op for op in listed(session) if op.get("kind") == "vm" and op.get("oid") == oid), None)
    except CliError as error:
        if error.code != UNKNOWN_METHOD:
            raise
        return None


def by_vm(caller: Caller) -> Mapping[str, str]:
    """What is under way, by the VM's id: a column of `onevm list`."""
    return {str(op["oid"]): f"{op['what']} {portion(op)}".strip() for op in listed(caller) if op.get("kind") == "vm"}


def portion(op: Operation) -> str:
    """How much of the step's bytes is done: 40%, or 1.2G where the whole is not known; empty when nothing is told."""
    done, total = op.get("done") or 0, op.get("total") or 0
    if total:
        return f"{100 * min(done, total) // total:.0f}%"
    return size(done / 1024, View()) if done else ""


def volume(op: Operation) -> str:
    """` (1.2G of 3G)`; empty when the whole is not known."""
    done, total = op.get("done") or 0, op.get("total") or 0
    return f" ({size(done / 1024, View())} of {size(total / 1024, View())})" if total else ""


def progress(op: Operation) -> str:
    """The step under way and its bytes: `copying memory 40% (1.2G of 3G)`."""
    return f"{op.get('step') or op.get('command') or op.get('state', '')} {portion(op)}{volume(op)}".strip()


def title(op: Operation) -> str:
    """`migrate of vm 3 web`."""
    return f"{op['what']} of {op['kind']} {op['oid']} {op.get('name') or ''}".strip()


def result(session: Session, op: Operation) -> int:
    """Tell how an operation ended: the exit code."""
    if op.get("ok"):
        session.told(f"operation {op['id']}, {title(op)}: done")
        return 0
    session.fail(f"operation {op['id']}, {title(op)}: {op.get('error') or 'failed'}")
    return FAILED


def ended(op: Operation) -> bool:
    """Whether it is over."""
    return op.get("state") == "ended"


def pool(caller: Caller, filter_flag: int, timeout: float | None) -> Body:
    """The operations under way in the form of the other kinds' pools."""
    from onecore.wire import xmlbody

    bodies = "".join(_xml(op) for op in listed(caller, filter_flag, timeout))
    return xmlbody.read(f"<OPERATION_POOL>{bodies}</OPERATION_POOL>")


def body(caller: Caller, op: int) -> Body:
    """One operation in the form of the other kinds' bodies."""
    from onecore.wire import xmlbody

    return xmlbody.read(_xml(info(caller, op)))


def _xml(op: Operation) -> str:
    return "<OPERATION>" + "".join(_leaf(name, value) for name, value in op.items()) + "</OPERATION>"


def _leaf(name: str, value: object) -> str:
    from onecore.wire import xmlbody

    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return f"<{name.upper()}>" + "".join(_leaf("line", line) for line in value) + f"</{name.upper()}>"
    word = "" if value is None else ("YES" if value else "NO") if isinstance(value, bool) else str(value)
    return xmlbody.text(name.upper(), word)
