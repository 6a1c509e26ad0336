"""VM groups: columns and commands of `onevmgroup`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import sections, source
from cli.cells import leaf, named, value
from cli.command import command, object_argument
from cli.errors import CliError
from cli.ids import id_of, read_info
from cli.kind import Column, Kind, View, shared
from cli.session import Session
from cli.vm.parts import one_named

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_ROLE = "ROLES/ROLE"


def role_id(session: Session, kind: Kind, group: int, text: str) -> int:
    """The id of the role of GROUP that TEXT names by id or name; raises CliError."""
    if text.isascii() and text.isdigit():
        return int(text)
    roles = read_info(session, kind, group).findall(_ROLE)
    return one_named(roles, "ID", "NAME", text, "role", f"VM group {group}")


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, file: str | None) -> None:
        """Create a VM group from a template FILE (- or nothing: standard input) with its NAME, ROLEs and rules."""
        session.made(session.number("one.vmgroup.allocate", source.checked(source.required(file))))

    return command(kind, "create", run, click.Argument(["file"], required=False), examples=["create shop.txt"])


def _role_add(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, oid: str, file: str | None) -> None:
        """Add a role from a template FILE (- or nothing: standard input): one ROLE, or its attributes."""
        found, text = id_of(session, kind, oid), source.vector(source.required(file), "ROLE")
        session.call("one.vmgroup.roleadd", found, text)
        session.told(f"{kind.tag} {found}: role added")

    file = click.Argument(["file"], required=False)
    examples = ["role-add shop db.txt", "echo 'NAME=db' | onevmgroup role-add shop"]
    return command(kind, "role-add", run, object_argument(kind, "oid"), file, examples=examples)


def _role_delete(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, oid: str, role: str) -> None:
        """Remove a role, named by id or name, that no VM is in."""
        found = id_of(session, kind, oid)
        session.call("one.vmgroup.roledelete", found, role_id(session, kind, found, role))
        session.told(f"{kind.tag} {found}: role {role} removed")

    role = click.Argument(["role"], metavar="ROLE")
    return command(kind, "role-delete", run, object_argument(kind, "oid"), role, examples=["role-delete shop db"])


def _role_update(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, oid: str, role: str, file: str | None) -> None:
        """Change a role that no VM is in from a template FILE, standard input or in $EDITOR."""
        found = id_of(session, kind, oid)
        number = role_id(session, kind, found, role)

        def before() -> str:
            roles = read_info(session, kind, found).findall(_ROLE)
            body = next((one for one in roles if value(one, "ID") == str(number)), None)
            if body is None:
                raise CliError(f"VM group {found} has no role {number}")
            for ours in [one for one in body if one.tag in ("ID", "VMS")]:
                body.remove(ours)
            return sections.template_text(body, ".")

        def send(text: str) -> None:
            session.call("one.vmgroup.roleupdate", found, number, source.vector(text, "ROLE"))

        changed = source.submit(file, before, f"{kind.program}-{found}-role{number}", send)
        session.told(f"{kind.tag} {found}: role {number} " + ("updated" if changed else "not changed"))

    role, file = click.Argument(["role"], metavar="ROLE"), click.Argument(["file"], required=False)
    return command(
        kind,
        "role-update",
        run,
        object_argument(kind, "oid"),
        role,
        file,
        examples=["role-update shop db", "role-update shop 1 db.txt"],
    )


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    lines = [("ID", "ID"), ("NAME", "NAME"), ("USER", "UNAME"), ("GROUP", "GNAME")]
    return [
        sections.title(f"VM GROUP {value(body, 'ID')} INFORMATION"),
        *sections.fields([*((name, value(body, tag)) for name, tag in lines), ("LOCK", sections.lock(body))]),
        *sections.permissions(body),
        *sections.section("ROLES", _roles(body)),
        *sections.template("TEMPLATE CONTENTS", body),
    ]


_HEADS = [
    ("ID", 4, False),
    ("NAME", 12, True),
    ("POLICY", 12, True),
    ("AFFINED_HOSTS", 18, True),
    ("ANTI_AFFINED_HOSTS", 18, True),
    ("VIRTUAL_MACHINES", 20, True),
]
_TAGS = ("NAME", "POLICY", "HOST_AFFINED", "HOST_ANTI_AFFINED", "VMS")


def _roles(body: Body) -> list[str]:
    rows = [[value(role, "ID"), *(value(role, tag, "-") for tag in _TAGS)] for role in body.findall(_ROLE)]
    return sections.grid(_HEADS, rows)


def _vms(body: Body, view: View) -> str:
    return str(sum(len(value(role, "VMS").split(",")) for role in body.findall(_ROLE) if value(role, "VMS")))


def _names(body: Body, view: View) -> str:
    return ", ".join(value(role, "NAME") for role in body.findall(_ROLE)) or "-"


KIND = Kind(
    program="onevmgroup",
    title="VM groups",
    tag="VM_GROUP",
    method="vmgroup",
    pool="vmgrouppool",
    filtered=True,
    show=_show,
    columns=(
        Column("ID", "Id of the VM group", 4, leaf("ID")),
        Column("USER", "Its owner", 8, named("UNAME", "UID"), left=True),
        Column("GROUP", "Its group", 8, named("GNAME", "GID"), left=True),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True),
        Column("VMS", "VMs in it", 4, _vms),
        Column("ROLES", "Its roles", 36, _names, left=True, wide=True),
    ),
    default=("ID", "USER", "GROUP", "NAME", "VMS", "ROLES"),
    commands={
        **shared("list", "show", "top", "delete", "rename", "update", "chown", "chgrp", "chmod", "lock", "unlock"),
        "create": _create,
        "role-add": _role_add,
        "role-delete": _role_delete,
        "role-update": _role_update,
    },
)
