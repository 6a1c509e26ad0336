#!/usr/bin/env python3
"""Writes docs/vm-states.md from the state table of VMs; with `--check`, tells whether the page is current."""
from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from onecore.config import Deadlines  # noqa: E402 (the checkout's own package)
from onecore.kinds.vm.commands import deadline_key  # noqa: E402
from onecore.kinds.vm.states import USER_EVENTS, VM, S  # noqa: E402
from onecore.lifecycle.machine import Row  # noqa: E402

PAGE = ROOT / "docs" / "vm-states.md"
_HEAD = """# The states of a virtual machine

Made by `scripts/vm_states.py` from the table in `onecore/kinds/vm/states.py`; a test says when it is out of date.
The numbers are OpenNebula's.
"""
_WAY = """## The way of a VM

What users ask for, and what drivers answer (`ok`, `fail`). Recovering, and what hosts report by themselves, are in the
tables below.
"""
_RECOVER_HEAD = """## Recover

`onevm recover --…`: what each operation leads to, by the state that the VM is in (=: it stays).
"""
_RECOVER = {"recover_success": "success", "recover_failure": "failure", "recover_retry": "retry",
            "recover_delete": "delete", "recover_recreate": "recreate", "recover_deletedb": "delete-db"}


def page() -> str:
    """The whole page."""
    return "\n".join([
        _HEAD, _WAY, "```mermaid", *_diagram(), "```", "", "## States", "", *_states(), "",
        "## Actions", "", *_actions(), "", _RECOVER_HEAD, *_recover(), "", "## What hosts report", "", *_reports(), ""])


def _name(event: str) -> str:
    return event.replace("_", "-") if event in USER_EVENTS else event


def _diagram() -> Iterable[str]:
    yield "stateDiagram-v2"
    yield "    [*] --> PENDING"
    yield "    [*] --> HOLD"
    yield "    [*] --> CLONING"
    edges: dict[tuple[str, str], list[str]] = {}
    for row in VM.rows:
        if row.ignore or row.target is None or row.event.startswith(("recover_", "seen_")):
            continue
        for source in _ordered(row.sources):
            events = edges.setdefault((source.name, row.target.name), [])
            if _name(row.event) not in events:
                events.append(_name(row.event))
    for (begin, end), events in edges.items():
        yield f"    {begin} --> {end}: {', '.join(events)}"
    yield "    DONE --> [*]"


def _states() -> Iterable[str]:
    yield "| state | numbers | under way (deadline, s) | ok | fail |"
    yield "|---|---|---|---|---|"
    for state in S:
        commands = _commands(state)
        under_way = ", ".join(f"{c} ({getattr(Deadlines(), deadline_key(c.split('.')[1]))})" for c in commands)
        answers = [_answers(state, commands, kind) for kind in ("ok", "fail")]
        yield f"| {state.name} | {state.value[0]}, {state.value[1]} | {under_way} | {answers[0]} | {answers[1]} |"


def _commands(state: S) -> list[str]:
    """What may be under way in a state, in the table's order."""
    found = [row.send for row in VM.rows if row.send
             and (row.target is state or (row.target is None and state in row.sources))]
    return list(dict.fromkeys(found))


def _answers(state: S, commands: list[str], kind: str) -> str:
    ends: dict[str, None] = {}
    for command in commands:
        for row in _rows(state, f"{command.split('.')[1]}.{kind}"):
            ends[(row.target or state).name if row.target or not row.send else row.send] = None
    return ", ".join(ends)


def _rows(state: S, event: str) -> list[Row]:
    return [row for row in VM.rows if row.event == event and state in row.sources]


def _actions() -> Iterable[str]:
    yield "| action | is possible in |"
    yield "|---|---|"
    for event in ("deploy", *USER_EVENTS):
        yield f"| {_name(event)} | {', '.join(s.name for s in S if VM.knows(s, event))} |"


def _recover() -> Iterable[str]:
    yield "| state | " + " | ".join(_RECOVER.values()) + " |"
    yield "|---" * (len(_RECOVER) + 1) + "|"
    for state in S:
        cells = [" or ".join(dict.fromkeys(_end(state, row) for row in _rows(state, event))) for event in _RECOVER]
        yield f"| {state.name} | " + " | ".join(cells) + " |"


def _end(state: S, row: Row) -> str:
    return "=" if row.ignore or row.target in (None, state) else str(row.target.name)


def _reports() -> Iterable[str]:
    yield "| report | leads to |"
    yield "|---|---|"
    for event in ("seen_running", "seen_poweroff", "seen_suspended", "seen_lost"):
        ends = [f"{source.name} → {row.target.name}" for row in VM.rows if row.event == event and row.target is not None
                for source in _ordered(row.sources)]
        yield f"| {event.removeprefix('seen_')} | {', '.join(ends)}; else nothing |"


def _ordered(states: Iterable[S]) -> list[S]:
    return sorted(states, key=list(S).index)


def main() -> int:
    """Write the page, or check it."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.is_file() and PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
