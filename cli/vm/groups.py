"""The commands that put a VM into a VM group, and take it out."""

from __future__ import annotations

import click

from cli.command import command, object_argument
from cli.ids import id_of
from cli.kind import Kind
from cli.kinds import kind as kind_of
from cli.session import Session


def add(kind: Kind) -> click.Command:
    """The command `vmgroup-add`."""

    def run(session: Session, kind: Kind, oid: str, group: str, role: str) -> None:
        """Put a VM into a role of a VM group, named as the group has it."""
        found, gid = id_of(session, kind, oid), id_of(session, kind_of("vmgroup"), group)
        session.call("one.vm.vmgroupadd", found, gid, role)
        session.told(f"{kind.tag} {found}: in VM group {gid}, role {role}")

    return command(
        kind,
        "vmgroup-add",
        run,
        object_argument(kind, "oid"),
        object_argument(kind_of("vmgroup"), "group"),
        click.Argument(["role"], metavar="ROLE"),
        examples=["vmgroup-add web shop front-end"],
    )


def delete(kind: Kind) -> click.Command:
    """The command `vmgroup-del`."""

    def run(session: Session, kind: Kind, oid: str) -> None:
        """Take a VM out of its VM group."""
        found = id_of(session, kind, oid)
        session.call("one.vm.vmgroupdel", found)
        session.told(f"{kind.tag} {found}: in no VM group")

    return command(kind, "vmgroup-del", run, object_argument(kind, "oid"), examples=["vmgroup-del web"])
