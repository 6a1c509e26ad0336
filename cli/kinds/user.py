"""Users: columns and commands of `oneuser`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import quota, sections
from cli.cells import clock, flag, leaf, named, number, value
from cli.command import command, ids_argument, object_argument
from cli.errors import CliError
from cli.ids import each, id_of
from cli.kind import Column, Kind, View, shared
from cli.kinds import kind as kind_of
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

TOKEN_SECONDS = 36000
"""Life of a login token unless asked otherwise, as OpenNebula has it."""


def _password(given: str | None) -> str:
    return (
        given
        if given is not None
        else str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    )


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, name: str, secret: str | None, driver: str, group: tuple[str, ...]) -> None:
        """Create a user; the password is asked for when it is not given."""
        groups = [id_of(session, kind_of("group"), g.strip()) for text in group for g in text.split(",") if g.strip()]
        session.say(f"ID: {session.number('one.user.allocate', name, _password(secret), driver, groups)}")

    return command(
        kind,
        "create",
        run,
        click.Argument(["name"]),
        click.Argument(["secret"], metavar="[PASSWORD]", required=False),
        click.Option(["--driver"], metavar="NAME", default="core", help="How the password is checked."),
        click.Option(["--group"], multiple=True, metavar="X,Y", help="Groups, the primary one first."),
    )


def _passwd(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, oid: str, secret: str | None) -> None:
        """Change the password of a user; it is asked for when it is not given."""
        found = id_of(session, kind, oid)
        session.call("one.user.passwd", found, _password(secret))
        session.told(f"{kind.tag} {found}: password changed")

    return command(
        kind,
        "passwd",
        run,
        object_argument(kind, "oid"),
        click.Argument(["secret"], metavar="[PASSWORD]", required=False),
    )


def _chauth(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, oid: str, driver: str, secret: str) -> None:
        """Change how a user's password is checked, and the password if it is given."""
        found = id_of(session, kind, oid)
        session.call("one.user.chauth", found, driver, secret)
        session.told(f"{kind.tag} {found}: authentication changed")

    return command(
        kind,
        "chauth",
        run,
        object_argument(kind, "oid"),
        click.Argument(["driver"]),
        click.Argument(["secret"], metavar="[PASSWORD]", default=""),
    )


def _chgrp(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, ids: str, group: str) -> int:
        """Change the primary group of users."""
        gid = id_of(session, kind_of("group"), group)
        return each(session, kind, ids, lambda oid: session.call("one.user.chgrp", oid, gid), "group changed")

    return command(kind, "chgrp", run, ids_argument(kind), object_argument(kind_of("group"), "group"))


def _login(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, name: str | None, time: int, group: str | None, force: bool) -> None:
        """Get a token and write it where ONE_AUTH or ~/.one/one_auth says, in place of the password.

        The password comes from --password, from that file, or is asked for.
        """
        path = Path(os.environ.get("ONE_AUTH") or Path.home() / ".one/one_auth")
        if path.exists() and not force:
            raise CliError(f"{path} exists; --force replaces it")
        user = _as_user(session, name, path)
        gid = -1 if group is None else id_of(session, kind_of("group"), group)
        token = session.text("one.user.login", user, "", time, gid)
        store(path, f"{user}:{token}\n")
        session.say(f"{path}: token of {user}" + (f", for {time} s" if time > 0 else ""))

    return command(
        kind,
        "login",
        run,
        click.Argument(["name"], required=False),
        click.Option(["--time"], type=int, default=TOKEN_SECONDS, metavar="SECONDS", help="Its life; -1: for ever."),
        click.Option(["--group"], metavar="GROUP", help="Act only as a member of this group."),
        click.Option(["--force"], is_flag=True, help="Replace the file."),
    )


def _as_user(session: Session, name: str | None, path: Path) -> str:
    """The name of the user to log in, with the session set to their password."""
    from cli.session import Account

    account = session.account
    if account.user and account.password is not None:
        return account.user
    if name is None:
        if not path.exists():
            raise CliError("give the NAME of the user")
        return path.read_text(encoding="utf-8").split(":", 1)[0].strip()
    session.account = Account(account.endpoint, name, click.prompt("Password", hide_input=True, err=True))
    return name


def store(path: Path, text: str) -> None:
    """Write TEXT to PATH, readable by its owner only, complete or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    tokens = [
        [value(t, "TOKEN"), value(t, "EGID", "-1"), clock(number(t, "EXPIRATION_TIME"))]
        for t in body.findall("LOGIN_TOKEN")
    ]
    usage = [
        (name, quota.cell(name, factor)(body, View())) for name, factor in (("VMS", 0), ("MEMORY", 1024.0), ("CPU", 0))
    ]
    return [
        sections.title(f"USER {value(body, 'ID')} INFORMATION"),
        *sections.fields(
            [
                ("ID", value(body, "ID")),
                ("NAME", value(body, "NAME")),
                ("GROUP", value(body, "GNAME")),
                (
                    "SECONDARY GROUPS",
                    ",".join(e.text or "" for e in body.findall("GROUPS/ID") if e.text != value(body, "GID")) or "-",
                ),
                ("AUTH_DRIVER", value(body, "AUTH_DRIVER")),
                ("ENABLED", flag("ENABLED")(body, View())),
            ]
        ),
        *sections.section(
            "TOKENS", sections.grid([("TOKEN", 20, True), ("EGID", 5, False), ("EXPIRES", 14, True)], tokens)
        ),
        *sections.template("USER TEMPLATE", body),
        *sections.section("VMS USAGE & QUOTAS", sections.fields(usage)),
    ]


KIND = Kind(
    program="oneuser",
    title="users",
    tag="USER",
    method="user",
    pool="userpool",
    show=_show,
    columns=(
        Column("ID", "Id of the user", 4, leaf("ID")),
        Column("NAME", "Their name", 15, leaf("NAME"), left=True, wide=True),
        Column("ENAB", "Whether they may log in", 4, flag("ENABLED"), left=True),
        Column("GROUP", "Their primary group", 10, named("GNAME", "GID"), left=True),
        Column("AUTH", "How the password is checked", 8, leaf("AUTH_DRIVER"), left=True),
        Column("VMS", "VMs and their limit", 9, quota.cell("VMS")),
        Column("MEMORY", "Memory and its limit", 17, quota.cell("MEMORY", 1024.0)),
        Column("CPU", "CPU and its limit", 11, quota.cell("CPU")),
    ),
    default=("ID", "NAME", "ENAB", "GROUP", "AUTH", "VMS", "MEMORY", "CPU"),
    commands={
        **shared("list", "show", "top", "delete", "update"),
        "create": _create,
        "passwd": _passwd,
        "chgrp": _chgrp,
        "chauth": _chauth,
        "login": _login,
    },
)
