"""What is on a host and should not be there: asked for, shown, and removed with `onehost reconcile`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cli import sections
from cli.cells import clock, size
from cli.command import command, object_argument
from cli.errors import FAILED, CliError
from cli.ids import id_of
from cli.kind import Kind, View
from cli.session import Session, on_terminal

SHORT, SPARE = 8, 5.0
"""Seconds that a host has to answer `show`, and that the server has on top of it."""
LONG = 1000.0
"""Seconds for a reconcile: each removal may take minutes."""
Found = Mapping[str, Any]


def ask(session: Session, oid: int) -> Found | None:
    """What the server says of host OID; None when it does not tell (no right to ask, or not onecore)."""
    try:
        return _document(session.text("onecore.host.orphans", oid, SHORT, timeout=SHORT + SPARE))
    except CliError:
        return None


def _document(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def lines(found: Found) -> list[str]:
    """The sections of `show` about what was FOUND."""
    out = [
        *_section("WILD DOMAINS", ("NAME", "STATE"), [(o, [o["name"], o["state"]]) for o in found["wild"]]),
        *_section("ZOMBIES", ("NAME", "STATE"), [(o, [o["name"], o["state"]]) for o in found["zombies"]]),
        *_section(
            "FILES WITHOUT AN OWNER",
            ("PATH", "SIZE"),
            [(o, [o["path"], size(o["size_mb"] * 1024, View())]) for o in found["files"]],
        ),
        *_section("TAPS WITHOUT AN OWNER", ("NAME",), [(o, [o["name"]]) for o in found["taps"]]),
    ]
    if not found["asked"]:
        moment = f"as of {clock(found['time'])}; " if out and found["time"] else ""
        out += ["", f"What else is on the host is not known: {moment}{' '.join(str(found['error']).split())}"]
    return out


def _section(heading: str, names: Sequence[str], rows: Sequence[tuple[Found, list[str]]]) -> list[str]:
    heads = [*((name, 8 if name == "SIZE" else 12, True) for name in names), ("WHY", 20, True)]
    return sections.section(heading, sections.grid(heads, [[*cells, _why(orphan)] for orphan, cells in rows]))


def _why(orphan: Found) -> str:
    why, keep = str(orphan["why"]), orphan.get("keep")
    return f"{why} (kept: {keep})" if keep and keep != why else why


def reconcile(kind: Kind) -> click.Command:
    """The command `reconcile`."""

    def run(session: Session, kind: Kind, oid: str, dry_run: bool, yes: bool) -> int:
        """Remove what is left on a host and of no use to any VM: zombies, files, taps.  Never what is wild."""
        host = id_of(session, kind, oid)
        plan = _call(session, host, True)
        _print(session, plan)
        count = sum(item["result"] == "would be removed" for item in plan)
        if dry_run or not count:
            session.told(f"{kind.tag} {host}: {count} to be removed")
            return 0
        if not yes and sys.stdin.isatty() and on_terminal():
            click.confirm(f"Remove {count} of these from host {host}?", abort=True)
        done = _call(session, host, False)
        _print(session, done)
        return FAILED if any(item["result"] == "failed" for item in done) else 0

    return command(
        kind,
        "reconcile",
        run,
        object_argument(kind, "oid"),
        click.Option(["--dry-run"], is_flag=True, help="Only tell what would be removed."),
        click.Option(["-y", "--yes"], is_flag=True, help="Do not ask."),
    )


def _call(session: Session, host: int, dry_run: bool) -> list[dict[str, Any]]:
    items = _document(session.text("onecore.host.reconcile", host, dry_run, timeout=LONG))["items"]
    return [item for item in items if isinstance(item, dict)]


def _print(session: Session, items: Sequence[Found]) -> None:
    rows = [[i["kind"], str(i.get("path") or i["name"]), _outcome(i), _why(i)] for i in items]
    heads = [("KIND", 6, True), ("WHAT", 12, True), ("RESULT", 16, True), ("WHY", 20, True)]
    for line in sections.grid(heads, rows) or ["Nothing is there that should not be."]:
        session.say(line)


def _outcome(item: Found) -> str:
    return f"{item['result']}: {item['error']}" if item["error"] else str(item["result"])
