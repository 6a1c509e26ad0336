"""Users: columns and commands of `oneuser`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import quota, sections, source
from cli.cells import flag, leaf, named, value
from cli.command import command, ids_argument, object_argument
from cli.errors import CliError
from cli.ids import each, id_of
from cli.kind import Column, Kind, View, enabling, limiting, shared
from cli.kinds import kind as kind_of
from cli.session import Session
from cli.user import commands, tokens
from cli.user.commands import key_option

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def _password(given: str | None) -> str:
    return (
        given
        if given is not None
        else str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    )


def _secret(given: str | None, driver: str, key: str | None, read_file: str | None) -> str | None:
    """The password given as text, in a file, or as a key for the driver ssh; None when it is not."""
    if (given is not None) + (key is not None) + (read_file is not None) > 1:
        raise CliError("give a PASSWORD, --key or --read-file, not several")
    if read_file is not None:
        return source.read(read_file).strip()
    if key is not None or (driver == "ssh" and given is None):
        from cli.user.keys import public

        return public(key)
    return given


def _secret_options() -> list[click.Parameter]:
    return [
        key_option(),
        click.Option(["-r", "--read-file"], metavar="FILE", help="The password is in this file."),
    ]


def _create(kind: Kind) -> click.Command:
    def run(
        session: Session,
        kind: Kind,
        name: str,
        secret: str | None,
        driver: str,
        ssh: bool,
        group: tuple[str, ...],
        key: str | None,
        read_file: str | None,
    ) -> None:
        """Create a user; the password is asked for when it is not given."""
        driver = "ssh" if ssh else driver
        groups = [id_of(session, kind_of("group"), g.strip()) for text in group for g in text.split(",") if g.strip()]
        password = _password(_secret(secret, driver, key, read_file))
        session.made(session.number("one.user.allocate", name, password, driver, groups))

    return command(
        kind,
        "create",
        run,
        click.Argument(["name"]),
        click.Argument(["secret"], metavar="[PASSWORD]", required=False),
        click.Option(["--driver"], metavar="NAME", default="core", help="How the password is checked."),
        click.Option(["--ssh"], is_flag=True, help="By an SSH key, as --driver ssh."),
        click.Option(["--group"], multiple=True, metavar="X,Y", help="Groups, the primary one first."),
        *_secret_options(),
        examples=["create ann", "create ann --ssh --key ann.pem --group staff"],
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
    def run(
        session: Session,
        kind: Kind,
        oid: str,
        driver: str | None,
        secret: str | None,
        ssh: bool,
        key: str | None,
        read_file: str | None,
    ) -> None:
        """Change how a user's password is checked, and the password if it is given."""
        if (driver is None) == (not ssh):
            raise CliError("give the DRIVER that checks the password, or --ssh")
        chosen = driver or "ssh"
        password = _secret(secret, "" if driver else "ssh", key, read_file) or ""
        found = id_of(session, kind, oid)
        session.call("one.user.chauth", found, chosen, password)
        session.told(f"{kind.tag} {found}: authentication changed")

    return command(
        kind,
        "chauth",
        run,
        object_argument(kind, "oid"),
        click.Argument(["driver"], required=False),
        click.Argument(["secret"], metavar="[PASSWORD]", required=False),
        click.Option(["--ssh"], is_flag=True, help="By an SSH key, as the driver ssh."),
        *_secret_options(),
    )


def _chgrp(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, ids: str, group: str) -> int:
        """Change the primary group of users."""
        gid = id_of(session, kind_of("group"), group)
        return each(session, kind, ids, lambda oid: session.call("one.user.chgrp", oid, gid), "group changed")

    return command(kind, "chgrp", run, ids_argument(kind), object_argument(kind_of("group"), "group"))


def _login(kind: Kind) -> click.Command:
    def run(
        session: Session,
        kind: Kind,
        name: str | None,
        time: int,
        group: str | None,
        force: bool,
        ssh: bool,
        key: str | None,
    ) -> None:
        """Get a token and write it where ONE_AUTH or ~/.one/one_auth says, in place of the password.

        The password comes from --password, from that file, or is asked for; with --ssh a private key signs the token.
        """
        path = tokens.auth_file()
        if path.exists() and not force:
            raise CliError(f"{path} exists; --force replaces it")
        if key is not None and not ssh:
            raise CliError("--key is for --ssh")
        user, token = _signed(name, time, group, key) if ssh else _asked(session, name, path, time, group)
        session.writes(path, f"{user}:{token}\n", f"token of {user}" + (f", for {time} s" if time > 0 else ""))

    return command(
        kind,
        "login",
        run,
        click.Argument(["name"], required=False),
        *tokens.options(),
        click.Option(["--force"], is_flag=True, help="Replace the file."),
        click.Option(["--ssh"], is_flag=True, help="The token is signed here by a private key."),
        key_option(),
    )


def _signed(name: str | None, time: int, group: str | None, key: str | None) -> tuple[str, str]:
    from cli.user.keys import token

    if name is None or group is not None:
        raise CliError("--ssh needs the NAME of the user, and goes without --group")
    return name, token(name, time, key)


def _asked(session: Session, name: str | None, path: Path, time: int, group: str | None) -> tuple[str, str]:
    user = _as_user(session, name, path)
    gid = -1 if group is None else id_of(session, kind_of("group"), group)
    return user, session.text("one.user.login", user, "", time, gid)


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


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
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
        *sections.section("TOKENS", tokens.table(body)),
        *sections.template("USER TEMPLATE", body),
        *quota.tables(body),
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
        "addgroup": partial(commands.group, "addgroup", "Put users into one more group."),
        "delgroup": partial(commands.group, "delgroup", "Take users out of a group that is not their primary one."),
        **limiting(),
        **enabling("Let users in again.", "Let users in no more, neither by password nor by token."),
        "umask": commands.umask,
        "encode": commands.encode,
        "key": commands.key,
        "token-create": tokens.create,
        "token-delete": tokens.delete,
        "token-delete-all": tokens.delete_all,
        "token-list": tokens.listed,
        "token-set": tokens.set_,
    },
)
