"""Datastores: columns and commands of `onedatastore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import sections, source
from cli.cells import counted, leaf, listed, megabytes, named, number, size, value
from cli.command import command
from cli.ids import id_of
from cli.kind import Column, Kind, View, enabling, shared
from cli.kinds import kind as kind_of
from cli.session import Session
from onecore.wire.states import DATASTORE_TYPE_SHORT, DatastoreType

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def _type(body: Body, view: View) -> str:
    return DATASTORE_TYPE_SHORT.get(DatastoreType(int(number(body, "TYPE"))), "???")


def _state(body: Body, view: View) -> str:
    return "off" if value(body, "STATE") == "1" else "on"


def _available(body: Body, view: View) -> str:
    total = number(body, "TOTAL_MB")
    return f"{100 * number(body, 'FREE_MB') / total:.0f}%" if total else "-"


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, file: str | None, cluster: str | None) -> None:
        """Create a datastore from a template FILE or standard input."""
        text = source.checked(source.required(file))
        cid = -1 if cluster is None else id_of(session, kind_of("cluster"), cluster)
        session.made(session.number("one.datastore.allocate", text, cid))

    return command(
        kind,
        "create",
        run,
        click.Argument(["file"], required=False),
        click.Option(["-c", "--cluster"], metavar="CLUSTER", help="Id or name of its cluster."),
        examples=["create local.ds", "create local.ds --cluster fast"],
    )


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    capacity = [(name, size(number(body, f"{name}_MB") * 1024, View())) for name in ("TOTAL", "USED", "FREE")]
    return [
        sections.title(f"DATASTORE {value(body, 'ID')} INFORMATION"),
        *sections.fields(
            [
                ("ID", value(body, "ID")),
                ("NAME", value(body, "NAME")),
                ("USER", value(body, "UNAME")),
                ("GROUP", value(body, "GNAME")),
                ("CLUSTERS", listed("CLUSTERS/ID")(body, View())),
                ("TYPE", DatastoreType(int(number(body, "TYPE"))).name),
                ("DS_MAD", value(body, "DS_MAD", "-")),
                ("TM_MAD", value(body, "TM_MAD", "-")),
                ("BASE PATH", value(body, "BASE_PATH", "-")),
                ("STATE", "DISABLED" if value(body, "STATE") == "1" else "READY"),
            ]
        ),
        *sections.section("DATASTORE CAPACITY", sections.fields(capacity)),
        *sections.permissions(body),
        *sections.template("DATASTORE TEMPLATE", body),
        *sections.section("IMAGES", sections.ids(body, "IMAGES/ID")),
    ]


KIND = Kind(
    program="onedatastore",
    title="datastores",
    tag="DATASTORE",
    method="datastore",
    pool="datastorepool",
    show=_show,
    decrypt=(True,),
    columns=(
        Column("ID", "Id of the datastore", 4, leaf("ID")),
        Column("USER", "Its owner", 8, named("UNAME", "UID"), left=True),
        Column("GROUP", "Its group", 8, named("GNAME", "GID"), left=True),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("SIZE", "Its size", 7, megabytes("TOTAL_MB")),
        Column("AVA", "What is free", 4, _available),
        Column("CLUSTERS", "Ids of its clusters", 8, listed("CLUSTERS/ID"), left=True),
        Column("IMAGES", "Images in it", 6, counted("IMAGES/ID")),
        Column("TYPE", "img, sys, fil or bck", 4, _type, left=True),
        Column("DS", "Its datastore driver", 7, leaf("DS_MAD"), left=True),
        Column("TM", "Its transfer driver", 7, leaf("TM_MAD"), left=True),
        Column("STAT", "Its state", 4, _state, left=True, state=True),
    ),
    default=("ID", "NAME", "SIZE", "AVA", "CLUSTERS", "IMAGES", "TYPE", "DS", "TM", "STAT"),
    commands={
        **shared("list", "show", "top", "delete", "rename", "update", "chown", "chgrp", "chmod"),
        **enabling("Let VMs be placed in system datastores again.", "Have no more VMs placed in system datastores."),
        "create": _create,
    },
)
