"""Virtual networks: columns and commands of `onevnet`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import ranges, sections, source
from cli.cells import counted, leaf, listed, named, number, value
from cli.command import command
from cli.ids import id_of
from cli.kind import Column, Kind, View, later, shared
from cli.kinds import kind as kind_of
from cli.session import Session
from onecore.wire.states import VNET_SHORT, VnetState

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def _state(body: Body, view: View) -> str:
    return VNET_SHORT.get(VnetState(int(number(body, "STATE"))), "????")


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, file: str | None, cluster: str | None) -> None:
        """Create a network from a template FILE or standard input."""
        text = source.checked(source.required(file))
        cid = -1 if cluster is None else id_of(session, kind_of("cluster"), cluster)
        session.made(session.number("one.vn.allocate", text, cid))

    return command(
        kind,
        "create",
        run,
        click.Argument(["file"], required=False),
        click.Option(["-c", "--cluster"], metavar="CLUSTER", help="Id or name of its cluster."),
        examples=["create private.net", "create private.net --cluster fast"],
    )


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    return [
        sections.title(f"VIRTUAL NETWORK {value(body, 'ID')} INFORMATION"),
        *sections.fields(
            [
                ("ID", value(body, "ID")),
                ("NAME", value(body, "NAME")),
                ("USER", value(body, "UNAME")),
                ("GROUP", value(body, "GNAME")),
                ("LOCK", sections.lock(body)),
                ("CLUSTERS", listed("CLUSTERS/ID")(body, View())),
                ("BRIDGE", value(body, "BRIDGE", "-")),
                ("STATE", VnetState(int(number(body, "STATE"))).name),
                ("VN_MAD", value(body, "VN_MAD", "-")),
                *((name, value(body, name)) for name in ("PHYDEV", "VLAN_ID", "OUTER_VLAN_ID") if value(body, name)),
                ("USED LEASES", value(body, "USED_LEASES", "0")),
            ]
        ),
        *sections.permissions(body),
        *sections.template("VIRTUAL NETWORK TEMPLATE", body),
        *(line for part in body.findall("AR_POOL/AR") for line in ranges.range_section(part)),
        *sections.section("LEASES", ranges.leases(body)),
    ]


KIND = Kind(
    program="onevnet",
    title="virtual networks",
    tag="VNET",
    method="vn",
    pool="vnpool",
    filtered=True,
    show=_show,
    decrypt=(True,),
    columns=(
        Column("ID", "Id of the network", 4, leaf("ID")),
        Column("USER", "Its owner", 8, named("UNAME", "UID"), left=True),
        Column("GROUP", "Its group", 8, named("GNAME", "GID"), left=True),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("CLUSTERS", "Ids of its clusters", 8, listed("CLUSTERS/ID"), left=True),
        Column("BRIDGE", "Bridge on the hosts", 10, leaf("BRIDGE"), left=True),
        Column("STATE", "Its state", 5, _state, left=True, state=True),
        Column("LEASES", "Addresses in use", 6, leaf("USED_LEASES", "0")),
        Column("OUTDATED", "VMs that have yet to be updated", 8, counted("OUTDATED_VMS/ID")),
        Column("ERROR", "VMs whose update failed", 5, counted("ERROR_VMS/ID")),
        Column("UPDATED", "VMs that are up to date", 7, counted("UPDATED_VMS/ID")),
    ),
    default=("ID", "USER", "GROUP", "NAME", "CLUSTERS", "BRIDGE", "STATE", "LEASES", "OUTDATED", "ERROR"),
    commands={
        **shared("list", "show", "top", "delete", "rename", "update", "chown", "chgrp", "chmod", "lock", "unlock"),
        "create": _create,
        **{name: later(f"cli.ranges:{name}") for name in ("addar", "rmar", "updatear", "free")},
        **{name: later("cli.ranges:lease", name) for name in ("hold", "release")},
        **{name: later(f"cli.reserving:{name}") for name in ("reserve", "recover")},
    },
)
