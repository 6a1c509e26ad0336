"""What administrators do to users: groups, whether they may log in, umask; and encode and key."""

from __future__ import annotations

from functools import partial

import click

from cli import sections
from cli.command import command, ids_argument, object_argument
from cli.errors import CliError
from cli.ids import each, id_of, read_info
from cli.kind import Kind
from cli.kinds import kind as kind_of
from cli.session import Session


def group(verb: str, help: str, kind: Kind) -> click.Command:
    """The command VERB, addgroup or delgroup."""

    def run(session: Session, kind: Kind, ids: str, group: str) -> int:
        gid = id_of(session, kind_of("group"), group)
        return each(session, kind, ids, lambda oid: session.call(kind.call(verb), oid, gid), f"{verb} {gid}")

    to = object_argument(kind_of("group"), "group")
    return command(kind, verb, run, ids_argument(kind), to, help=help, examples=[f"{verb} ann,ben staff"])


def umask(kind: Kind) -> click.Command:
    """The command `umask`."""

    def run(session: Session, kind: Kind, ids: str, mask: str | None) -> int:
        """Set the bits that new objects of users come without, three digits; without MASK the server's own."""
        if mask is not None and (len(mask) != 3 or not set(mask) <= set("01234567")):
            raise CliError(f"{mask!r} is not three digits of 0 to 7, as in 137")
        return each(session, kind, ids, partial(_umask, session, kind, mask), "umask changed")

    mask = click.Argument(["mask"], required=False)
    return command(kind, "umask", run, ids_argument(kind), mask, examples=["umask ann 137", "umask ann"])


def _umask(session: Session, kind: Kind, mask: str | None, oid: int) -> None:
    if mask is not None:
        session.call("one.user.update", oid, f'UMASK="{mask}"\n', 1)
        return
    rest = sections.template_text(read_info(session, kind, oid), "TEMPLATE", hide=("UMASK",))
    session.call("one.user.update", oid, rest, 0)


def encode(kind: Kind) -> click.Command:
    """The command `encode`."""

    def run(session: Session, kind: Kind, name: str, secret: str | None) -> None:
        """Print NAME, and PASSWORD if it is given, as they must stand in a session when they hold blanks or colons."""
        from urllib.parse import quote

        session.say(":".join(quote(text, safe="") for text in (name, secret) if text is not None))

    secret = click.Argument(["secret"], metavar="[PASSWORD]", required=False)
    return command(kind, "encode", run, click.Argument(["name"]), secret, examples=["encode 'ann lee' 'a:b'"])


def key_option() -> click.Option:
    """-k, --key: the file of a private key."""
    return click.Option(["-k", "--key"], metavar="FILE", help="Private RSA key in PEM, else ~/.ssh/id_rsa.")


def key(kind: Kind) -> click.Command:
    """The command `key`."""

    def run(session: Session, kind: Kind, key: str | None) -> None:
        """Print the public part of a private key, which is the password of a user of driver ssh."""
        from cli.user.keys import public

        session.say(public(key))

    return command(kind, "key", run, key_option(), examples=["key", "key -k id_rsa"])
