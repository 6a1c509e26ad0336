"""`monitoring`: the stored samples of a VM or host as a table, or in another form."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cli import formats, sections
from cli.cells import clock, number, size, value
from cli.command import command, object_argument
from cli.ids import id_of
from cli.kind import Kind, View
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

Fields = tuple[tuple[str, str, float], ...]
"""(heading, path, factor to KB; 0: a plain number)."""
_VM: Fields = (
    ("CPU", "CPU", 0.0),
    ("MEM", "MEMORY", 1.0),
    ("NETRX", "NETRX", 1 / 1024),
    ("NETTX", "NETTX", 1 / 1024),
    ("DISKRD", "DISKRDBYTES", 1 / 1024),
    ("DISKWR", "DISKWRBYTES", 1 / 1024),
)
_HOST: Fields = (
    ("FCPU", "CAPACITY/FREE_CPU", 0.0),
    ("UCPU", "CAPACITY/USED_CPU", 0.0),
    ("FMEM", "CAPACITY/FREE_MEMORY", 1.0),
    ("UMEM", "CAPACITY/USED_MEMORY", 1.0),
    ("NETRX", "SYSTEM/NETRX", 1 / 1024),
    ("NETTX", "SYSTEM/NETTX", 1 / 1024),
)
FIELDS = {"vm": _VM, "host": _HOST}


def monitoring(which: str, kind: Kind) -> click.Command:
    """The command `monitoring` that shows the fields of WHICH: vm or host."""
    return command(
        kind,
        "monitoring",
        partial(run, FIELDS[which]),
        object_argument(kind, "oid"),
        *formats.options(),
        click.Option(["--csv"], is_flag=True, help="Comma separated values."),
        click.Option(["-k", "--kilobytes"], is_flag=True, help="Sizes in kilobytes."),
        help="Show the samples that were taken, oldest first.",
        examples=["monitoring 7", "monitoring 7 --csv"],
    )


def run(fields: Fields, session: Session, kind: Kind, oid: str, kilobytes: bool, **form: Any) -> None:
    """Show the stored samples of one object."""
    from onecore.wire import xmlbody

    body = xmlbody.read(session.text(kind.call("monitoring"), id_of(session, kind, oid)))
    for line in _lines(body, formats.chosen(**form), fields, View(kilobytes=kilobytes)):
        session.say(line)


def _lines(body: Body, form: str, fields: Fields, view: View) -> list[str]:
    if form in ("xml", "json", "yaml"):
        return [formats.document(body, form)]
    names = ["TIME", *(name for name, _, _ in fields)]
    rows = [
        [
            value(s, "TIMESTAMP") if form == "csv" else clock(number(s, "TIMESTAMP")),
            *(_cell(s, f, view) for f in fields),
        ]
        for s in body.iter("MONITORING")
    ]
    if form == "csv":
        return formats.separated([names, *rows], ",")
    return sections.grid([(name, 14 if name == "TIME" else 8, False) for name in names], rows)


def _cell(sample: Body, field: tuple[str, str, float], view: View) -> str:
    _, path, factor = field
    if not factor:
        return value(sample, path, "-")
    return size(number(sample, path) * factor, view) if value(sample, path) else "-"
