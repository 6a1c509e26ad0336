"""Groups: columns and commands of `onegroup`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from cli import quota, sections
from cli.cells import counted, leaf, value
from cli.command import command, ids_argument
from cli.errors import CliError
from cli.ids import each_of, ids_of
from cli.kind import Column, Factory, Kind, limiting, shared
from cli.kinds import kind as kind_of
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


DEFAULT_RESOURCES = "VM+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VROUTER+VMGROUP+BACKUPJOB"
"""What members of a new group may create, as in OpenNebula."""


def _create(kind: Kind) -> click.Command:
    return command(
        kind,
        "create",
        _run_create,
        click.Argument(["name"], required=False),
        click.Option(["-n", "--name", "named"], metavar="NAME", help="Its name, the same as the argument."),
        click.Option(["-u", "--admin_user", "--admin-user"], metavar="NAME", help="Create this user to administer it."),
        click.Option(["-p", "--admin_password", "--admin-password"], metavar="TEXT", help="The password of that user."),
        click.Option(["-d", "--admin_driver", "--admin-driver"], metavar="NAME", help="How it is checked."),
        click.Option(
            ["-r", "--resources"],
            metavar="A+B",
            default=DEFAULT_RESOURCES,
            help="What its members may create; '': nothing.",
        ),
        examples=["create staff", "create staff --admin_user boss --admin_password secret"],
    )


def _run_create(
    session: Session,
    kind: Kind,
    name: str | None,
    named: str | None,
    admin_user: str | None,
    admin_password: str | None,
    admin_driver: str | None,
    resources: str,
) -> None:
    """Create a group whose members may create things, and a user that administers it if one is named."""
    if (name is None) == (named is None):
        raise CliError("give the NAME of the group, once")
    if admin_user is None and (admin_password or admin_driver):
        raise CliError("--admin_password and --admin_driver need --admin_user")
    if admin_user is not None and admin_password is None:
        admin_password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    may = _may_create(0, resources)  # a slip in it is told before anything is made
    oid = session.number("one.group.allocate", name or named)
    if session.dry:
        return
    session.made(oid)
    try:
        if may:
            session.call("one.acl.addrule", *_may_create(oid, resources))
        if admin_user is not None:
            uid = session.number("one.user.allocate", admin_user, admin_password, admin_driver or "core", [oid])
            session.call("one.group.addadmin", oid, uid)
    except CliError as error:
        raise CliError(f"group {oid} is made, but not all of it: {error}", error.code, error.offline) from None


def _may_create(gid: int, resources: str) -> tuple[str, ...]:
    from cli.kinds.acl import numbers

    return numbers((f"@{gid} {resources}/* CREATE *",)) if resources.strip() else ()


def _admin(verb: str, help: str) -> Factory:
    def make(kind: Kind) -> click.Command:
        def run(session: Session, kind: Kind, groups: str, users: str) -> int:
            gids, people = ids_of(session, kind, groups), kind_of("user")
            uids = ids_of(session, people, users)
            done = "administrator added" if verb == "addadmin" else "administrator removed"
            return max(
                each_of(session, people, uids, partial(_call, session, kind.call(verb), gid), f"{done}, group {gid}")
                for gid in gids
            )

        users = ids_argument(kind_of("user"), "users")
        return command(kind, verb, run, ids_argument(kind, "groups"), users, help=help, examples=[f"{verb} staff ann"])

    return make


def _call(session: Session, method: str, gid: int, uid: int) -> None:
    session.call(method, gid, uid)


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    return [
        sections.title(f"GROUP {value(body, 'ID')} INFORMATION"),
        *sections.fields([("ID", value(body, "ID")), ("NAME", value(body, "NAME"))]),
        *sections.template("GROUP TEMPLATE", body),
        *sections.section("USERS", sections.ids(body, "USERS/ID")),
        *sections.section("ADMINS", sections.ids(body, "ADMINS/ID")),
        *quota.tables(body),
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
    commands={
        **shared("list", "show", "top", "delete", "update"),
        **limiting(),
        "create": _create,
        "addadmin": _admin("addadmin", "Let users administer groups that they are members of."),
        "deladmin": _admin("deladmin", "Let users administer groups no more."),
    },
)
