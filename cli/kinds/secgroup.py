"""Security groups: columns and commands of `onesecgroup`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import sections, source
from cli.cells import counted, leaf, named, value
from cli.command import command, ids_argument, object_argument
from cli.ids import each, id_of
from cli.kind import Column, Kind, shared
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_MEMBERS = "UPDATED_VMS/ID"


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, file: str | None) -> None:
        """Create a security group from a template FILE (- or nothing: standard input) with its NAME and RULEs."""
        session.made(session.number("one.secgroup.allocate", source.checked(source.required(file))))

    return command(kind, "create", run, click.Argument(["file"], required=False), examples=["create web.txt"])


def _clone(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, oid: str, name: str) -> None:
        """Copy a security group under a new NAME."""
        session.made(session.number("one.secgroup.clone", id_of(session, kind, oid), name))

    return command(kind, "clone", run, object_argument(kind, "oid"), click.Argument(["name"]))


def _commit(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, ids: str, recover: bool) -> int:
        """Have changed rules apply to the VMs; they do already, so there is nothing to wait for."""
        return each(session, kind, ids, lambda oid: session.call("one.secgroup.commit", oid, recover), "committed")

    recover = click.Option(["-r", "--recover"], is_flag=True, help="Only to VMs that do not have them yet.")
    return command(kind, "commit", run, ids_argument(kind), recover)


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    return [
        sections.title(f"SECURITY GROUP {value(body, 'ID')} INFORMATION"),
        *sections.fields((name, value(body, tag)) for name, tag in _IDENTITY),
        *sections.permissions(body),
        *sections.section("RULES", _rules(body)),
        *sections.section("VIRTUAL MACHINES", sections.ids(body, _MEMBERS)),
        *sections.template("TEMPLATE CONTENTS", body, hide=("RULE",)),
    ]


_IDENTITY = (("ID", "ID"), ("NAME", "NAME"), ("USER", "UNAME"), ("GROUP", "GNAME"))


def _rules(body: Body) -> list[str]:
    rows = [
        [
            value(rule, "RULE_TYPE", "-"),
            value(rule, "PROTOCOL", "-") + (f"-{value(rule, 'ICMP_TYPE')}" if value(rule, "ICMP_TYPE") else ""),
            value(rule, "RANGE", "-"),
            value(rule, "NETWORK_ID", "-"),
            value(rule, "IP") or value(rule, "MAC", "-"),
            value(rule, "SIZE", "-"),
        ]
        for rule in body.findall("TEMPLATE/RULE")
    ]
    heads = [("TYPE", 8, True), ("PROTOCOL", 8, True), ("RANGE", 15, True), ("NET", 4, False), ("START", 17, True)]
    return sections.grid([*heads, ("SIZE", 6, False)], rows)


KIND = Kind(
    program="onesecgroup",
    title="security groups",
    tag="SECURITY_GROUP",
    method="secgroup",
    pool="secgrouppool",
    filtered=True,
    show=_show,
    columns=(
        Column("ID", "Id of the security group", 4, leaf("ID")),
        Column("USER", "Its owner", 8, named("UNAME", "UID"), left=True),
        Column("GROUP", "Its group", 8, named("GNAME", "GID"), left=True),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("VMS", "VMs in it", 4, counted(_MEMBERS)),
        Column("RULES", "Its rules", 5, counted("TEMPLATE/RULE")),
    ),
    default=("ID", "USER", "GROUP", "NAME", "VMS"),
    commands={
        **shared("list", "show", "top", "delete", "rename", "update", "chown", "chgrp", "chmod"),
        "create": _create,
        "clone": _clone,
        "commit": _commit,
    },
)
