"""Groups: columns and commands of `onegroup`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import quota, sections
from cli.cells import counted, leaf, value
from cli.command import command
from cli.kind import Column, Kind, shared
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, name: str) -> None:
        """Create a group."""
        session.say(f"ID: {session.number('one.group.allocate', name)}")

    return command(kind, "create", run, click.Argument(["name"]))


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    return [
        sections.title(f"GROUP {value(body, 'ID')} INFORMATION"),
        *sections.fields([("ID", value(body, "ID")), ("NAME", value(body, "NAME"))]),
        *sections.template("GROUP TEMPLATE", body),
        *sections.section("USERS", sections.ids(body, "USERS/ID")),
        *sections.section("ADMINS", sections.ids(body, "ADMINS/ID")),
    ]


KIND = Kind(
    program="onegroup",
    title="groups",
    tag="GROUP",
    method="group",
    pool="grouppool",
    show=_show,
    columns=(
        Column("ID", "Id of the group", 4, leaf("ID")),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("USERS", "Its members", 5, counted("USERS/ID")),
        Column("VMS", "VMs and their limit", 9, quota.cell("VMS")),
        Column("MEMORY", "Memory and its limit", 17, quota.cell("MEMORY", 1024.0)),
        Column("CPU", "CPU and its limit", 11, quota.cell("CPU")),
    ),
    default=("ID", "NAME", "USERS", "VMS", "MEMORY", "CPU"),
    commands={**shared("list", "show", "top"), "create": _create},
)
