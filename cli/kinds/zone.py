"""Zones: columns and commands of `onezone`.  There is one zone, this cloud."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import sections, source
from cli.cells import leaf, number, value
from cli.command import command, object_argument
from cli.errors import CliError
from cli.ids import id_of, read_info
from cli.kind import Column, Kind, View, enabling, shared
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_STATES = {0: "ENABLED", 1: "DISABLED"}


def _state(body: Body, view: View) -> str:
    return _STATES.get(int(number(body, "STATE")), "-")


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, file: str | None) -> None:
        """Ask for one more zone from a template FILE; a server that is alone refuses."""
        session.made(session.number("one.zone.allocate", source.checked(source.required(file))))

    return command(kind, "create", run, click.Argument(["file"], required=False))


def _set(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, oid: str) -> None:
        """Have all commands talk to a zone from now on: write its endpoint to ~/.one/one_endpoint."""
        endpoint = value(read_info(session, kind, id_of(session, kind, oid)), "TEMPLATE/ENDPOINT")
        if not endpoint:
            raise CliError(f"zone {oid} has no ENDPOINT")
        session.writes(Path.home() / ".one/one_endpoint", endpoint + "\n", endpoint)
        if not session.dry and os.environ.get("ONE_XMLRPC"):
            session.fail("ONE_XMLRPC is set and comes before that file")

    return command(kind, "set", run, object_argument(kind, "oid"), examples=["set 0"])


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    return [
        sections.title(f"ZONE {value(body, 'ID')} INFORMATION"),
        *sections.fields([("ID", value(body, "ID")), ("NAME", value(body, "NAME")), ("STATE", _state(body, View()))]),
        *sections.template("ZONE TEMPLATE", body),
    ]


KIND = Kind(
    program="onezone",
    title="zones",
    tag="ZONE",
    method="zone",
    pool="zonepool",
    show=_show,
    columns=(
        Column("ID", "Id of the zone", 5, leaf("ID")),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("STATE", "ENABLED, or DISABLED: for administrators alone", 8, _state, left=True, state=True),
        Column("ENDPOINT", "Its address", 35, leaf("TEMPLATE/ENDPOINT"), left=True),
    ),
    default=("ID", "NAME", "STATE", "ENDPOINT"),
    commands={
        **shared("list", "top", "show", "rename", "update", "delete"),
        "create": _create,
        **enabling("Let everybody change things again.", "Let administrators alone change things."),
        "set": _set,
    },
)
