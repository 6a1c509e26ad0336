"""Login tokens: token-create, token-delete, token-delete-all, token-list, token-set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import sections
from cli.cells import clock, number, value
from cli.command import command, object_argument, object_option
from cli.errors import CliError
from cli.ids import id_of, read_info
from cli.kind import Kind
from cli.kinds import kind as kind_of
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

SECONDS = 36000
"""Life of a token unless asked otherwise, as OpenNebula has it."""
SELF = -1


def auth_file() -> Path:
    """The file that ONE_AUTH names, else ~/.one/one_auth."""
    return Path(os.environ.get("ONE_AUTH") or Path.home() / ".one/one_auth")


def user_of(session: Session, text: str | None) -> Body:
    """The body of the user of that id or name, of the one who asks without."""
    kind = kind_of("user")
    return read_info(session, kind, SELF if text is None else id_of(session, kind, text))


def options() -> list[click.Parameter]:
    """--time and --group of a new token."""
    return [
        click.Option(["--time"], type=int, default=SECONDS, metavar="SECONDS", help="Its life; -1: for ever."),
        object_option(kind_of("group"), "--group", help="Act only as a member of this group."),
    ]


def create(kind: Kind) -> click.Command:
    """The command `token-create`."""

    def run(session: Session, kind: Kind, oid: str | None, time: int, group: str | None) -> None:
        """Make a login token for a USER, or oneself, and print it."""
        if time == 0 or time < -1:
            raise CliError("--time must be 1 or more seconds, or -1 for ever")
        name = value(user_of(session, oid), "NAME")
        gid = -1 if group is None else id_of(session, kind_of("group"), group)
        made = session.text("one.user.login", name, "", time, gid)
        if not session.dry:
            session.say(f"Authentication Token is:\n{name}:{made}")

    return command(
        kind, "token-create", run, _user(kind), *options(), examples=["token-create", "token-create ann --time 600"]
    )


def delete(kind: Kind) -> click.Command:
    """The command `token-delete`."""

    def run(session: Session, kind: Kind, words: tuple[str, ...]) -> None:
        """Make a TOKEN worthless: [USER] TOKEN."""
        if len(words) > 2:
            raise CliError("give [USER] TOKEN")
        token = words[-1].rpartition(":")[2]
        name = value(user_of(session, words[0] if len(words) == 2 else None), "NAME")
        session.call("one.user.login", name, token, 0)
        session.told(f"{kind.tag} {name}: token deleted")

    words = click.Argument(["words"], nargs=-1, required=True, metavar="[USER] TOKEN")
    return command(kind, "token-delete", run, words, examples=["token-delete ann 3f7a...", "token-delete 3f7a..."])


def delete_all(kind: Kind) -> click.Command:
    """The command `token-delete-all`."""

    def run(session: Session, kind: Kind, oid: str) -> None:
        """Make all tokens of a USER worthless."""
        name = value(user_of(session, oid), "NAME")
        session.call("one.user.login", name, "", 0)
        session.told(f"{kind.tag} {name}: all tokens deleted")

    return command(kind, "token-delete-all", run, object_argument(kind, "oid"), examples=["token-delete-all ann"])


def listed(kind: Kind) -> click.Command:
    """The command `token-list`."""

    def run(session: Session, kind: Kind, oid: str | None) -> None:
        """List when the tokens of a USER, or one's own, end; the server keeps only hashes of them."""
        for line in table(user_of(session, oid)):
            session.say(line)

    return command(kind, "token-list", run, _user(kind), examples=["token-list ann"])


def table(body: Body) -> list[str]:
    """The tokens in the body of a user as a table; nothing when there are none."""
    rows = [
        [
            value(t, "TOKEN"),
            value(t, "EGID", "-1"),
            "never" if value(t, "EXPIRATION_TIME") == "-1" else clock(number(t, "EXPIRATION_TIME")),
        ]
        for t in body.findall("LOGIN_TOKEN")
    ]
    return sections.grid([("TOKEN", 20, True), ("EGID", 5, False), ("EXPIRES", 14, True)], rows)


def set_(kind: Kind) -> click.Command:
    """The command `token-set`."""

    def run(session: Session, kind: Kind, oid: str | None, token: str) -> None:
        """Log in with a token from now on: write it to the file of ONE_AUTH, in place of what is there.

        All of the token must be given, as the server keeps only hashes of them.
        """
        given, _, secret = token.rpartition(":")
        name = given or value(user_of(session, oid), "NAME")
        session.writes(auth_file(), f"{name}:{secret}\n", f"token of {name}")

    token = click.Option(["--token"], metavar="TEXT", required=True, help="The token, or USER:TOKEN.")
    return command(kind, "token-set", run, _user(kind), token, examples=["token-set ann --token 3f7a..."])


def _user(kind: Kind) -> click.Argument:
    return object_argument(kind, "oid", required=False)
