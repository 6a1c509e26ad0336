"""Clusters: columns and commands of `onecluster`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import sections
from cli.cells import counted, leaf, value
from cli.command import command, ids_argument, object_argument
from cli.ids import each, id_of
from cli.kind import Column, Factory, Kind, shared
from cli.kinds import kind as kind_of
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, name: str) -> None:
        """Create a cluster."""
        session.made(session.number("one.cluster.allocate", name))

    return command(kind, "create", run, click.Argument(["name"]))


def _hosts(verb: str, help: str) -> Factory:
    def make(kind: Kind) -> click.Command:
        def run(session: Session, kind: Kind, oid: str, hosts: str) -> int:
            cluster = id_of(session, kind, oid)
            return each(
                session, kind_of("host"), hosts, lambda host: session.call(kind.call(verb), cluster, host), verb
            )

        return command(kind, verb, run, object_argument(kind, "oid"), ids_argument(kind_of("host"), "hosts"), help=help)

    return make


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    return [
        sections.title(f"CLUSTER {value(body, 'ID')} INFORMATION"),
        *sections.fields([("ID", value(body, "ID")), ("NAME", value(body, "NAME"))]),
        *sections.template("CLUSTER TEMPLATE", body),
        *(
            line
            for name in ("HOSTS", "VNETS", "DATASTORES")
            for line in sections.section(name, sections.ids(body, f"{name}/ID"))
        ),
    ]


KIND = Kind(
    program="onecluster",
    title="clusters",
    tag="CLUSTER",
    method="cluster",
    pool="clusterpool",
    show=_show,
    decrypt=(True,),
    columns=(
        Column("ID", "Id of the cluster", 4, leaf("ID")),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("HOSTS", "Its hosts", 5, counted("HOSTS/ID")),
        Column("VNETS", "Its virtual networks", 5, counted("VNETS/ID")),
        Column("DATASTORES", "Its datastores", 10, counted("DATASTORES/ID")),
    ),
    default=("ID", "NAME", "HOSTS", "VNETS", "DATASTORES"),
    commands={
        **shared("list", "show", "top", "delete", "rename", "update"),
        "create": _create,
        "addhost": _hosts("addhost", "Move hosts into a cluster."),
        "delhost": _hosts("delhost", "Take hosts out of a cluster."),
    },
)
