"""`onetask show`: one operation, under way or ended, and its log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cli import sections
from cli.cells import clock, lasted, number, size, value
from cli.kind import Kind, View
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def show(session: Session, kind: Kind, body: Body) -> list[str]:
    """The lines of `onetask show`."""
    lines = [line.text or "" for line in body.findall("LOG/LINE")]
    return [
        sections.title(f"OPERATION {value(body, 'ID')} INFORMATION"),
        *sections.fields([*_identity(body), *(_end(body) if value(body, "STATE") == "ended" else _under_way(body))]),
        *sections.section("LOG", lines),
    ]


def _identity(body: Body) -> list[tuple[str, str]]:
    return [
        ("ID", value(body, "ID")),
        ("OBJECT", f"{value(body, 'KIND')} {value(body, 'OID')}"),
        ("NAME", value(body, "NAME")),
        ("OPERATION", value(body, "WHAT")),
        ("USER", value(body, "USER", "-")),
        ("STATE", value(body, "STATE")),
        ("SINCE", clock(number(body, "SINCE"))),
        ("REQUEST", value(body, "RID", "-")),
    ]


def _under_way(body: Body) -> list[tuple[str, str]]:
    done, total = number(body, "DONE"), number(body, "TOTAL")
    bytes_ = f"{size(done / 1024, View())} of {size(total / 1024, View()) if total else '?'}" if done or total else "-"
    return [
        ("STEP", value(body, "STEP", "-")),
        ("COMMAND", value(body, "COMMAND", "-")),
        ("BYTES", bytes_),
        ("TIME", lasted(time.time() - number(body, "SINCE"), full=True).strip()),
        ("DEADLINE", f"in {number(body, 'DEADLINE'):.0f} s" if value(body, "DEADLINE") else "-"),
        ("ATTEMPT", value(body, "ATTEMPT", "-")),
    ]


def _end(body: Body) -> list[tuple[str, str]]:
    fine = value(body, "OK") == "YES"
    return [("RESULT", "done" if fine else "failed"), *([] if fine else [("ERROR", value(body, "ERROR", "-"))])]
