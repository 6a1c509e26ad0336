"""The commands that most kinds have, made from the kind's declaration: show, delete, rename, chown and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import formats, sections, source
from cli.command import command, ids_argument, object_argument
from cli.errors import CliError
from cli.ids import each, id_of, read_info
from cli.kind import Kind, View
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

LEVELS = {"use": 1, "manage": 2, "admin": 3, "all": 4}
"""Lock levels: what is refused from then on."""


def show(kind: Kind) -> click.Command:
    """The command `show`."""

    def run(session: Session, kind: Kind, oid: str, output: str | None, decrypt: bool = False, **form_of: bool) -> None:
        """Show one object."""
        body = read_info(session, kind, id_of(session, kind, oid), *(kind.decrypt if decrypt else ()))
        form = formats.chosen(output, **form_of)
        for line in shown(session, kind, body, form):
            session.say(line)

    return command(
        kind,
        "show",
        run,
        object_argument(kind, "oid"),
        *formats.options(),
        *([decrypt_option()] if kind.decrypt else ()),
        help=f"Show one of the {kind.title}.",
        examples=["show 7", "show 7 -o json"],
    )


def decrypt_option() -> click.Option:
    """--decrypt: encrypted attributes in plain, for who may manage the object."""
    return click.Option(["--decrypt"], is_flag=True, help="Attributes that are encrypted in plain.")


def shown(session: Session, kind: Kind, body: Body, form: str) -> list[str]:
    """The lines of BODY in FORM, one of formats.FORMATS."""
    if form in ("xml", "json", "yaml"):
        return [formats.document(body, form)]
    if form == "name":
        return [body.findtext("NAME") or ""]
    if form == "csv":
        chosen = [c for c in kind.columns if c.name in kind.default]
        return formats.separated([[c.name for c in chosen], [c.cell(body, View()) for c in chosen]], ",")
    return kind.show(session, kind, body)


def delete(kind: Kind) -> click.Command:
    """The command `delete`."""

    def run(session: Session, kind: Kind, ids: str) -> int:
        """Delete objects."""
        return each(session, kind, ids, lambda oid: session.call(kind.call("delete"), oid), "deleted")

    return command(kind, "delete", run, ids_argument(kind))


def switch(verb: str, on: bool, help: str, kind: Kind) -> click.Command:
    """The command VERB, enable or disable, for kinds whose method enable takes whether."""

    def run(session: Session, kind: Kind, ids: str) -> int:
        return each(session, kind, ids, lambda oid: session.call(kind.call("enable"), oid, on), f"{verb}d")

    return command(kind, verb, run, ids_argument(kind), help=help, examples=[f"{verb} 7", f"{verb} 3..9"])


def rename(kind: Kind) -> click.Command:
    """The command `rename`."""

    def run(session: Session, kind: Kind, oid: str, name: str) -> None:
        """Give an object a new name."""
        found = id_of(session, kind, oid)
        session.call(kind.call("rename"), found, name)
        session.told(f"{kind.tag} {found}: renamed")

    return command(
        kind, "rename", run, object_argument(kind, "oid"), click.Argument(["name"]), examples=["rename 7 web"]
    )


def update(kind: Kind) -> click.Command:
    """The command `update`."""

    def run(session: Session, kind: Kind, oid: str, file: str | None, append: bool) -> None:
        """Replace the template by that of FILE, of standard input, or as changed in $EDITOR."""
        found = id_of(session, kind, oid)

        def before() -> str:
            return "" if append else sections.template_text(read_info(session, kind, found), kind.edits)

        def send(text: str) -> None:
            session.call(kind.call("update"), found, text, int(append))

        changed = source.submit(file, before, f"{kind.program}-{found}", send)
        session.told(f"{kind.tag} {found}: " + ("updated" if changed else "not changed"))

    return command(
        kind,
        "update",
        run,
        object_argument(kind, "oid"),
        click.Argument(["file"], required=False),
        click.Option(["-a", "--append"], is_flag=True, help="Keep the attributes that are not given."),
        examples=["update 7", "update 7 attributes.txt --append"],
    )


def chown(kind: Kind) -> click.Command:
    """The command `chown`."""

    def run(session: Session, kind: Kind, ids: str, owner: str, group: str | None) -> int:
        """Give objects to another user, and group if it is named."""
        uid, gid = (
            id_of(session, _other("user"), owner),
            -1 if group is None else id_of(session, _other("group"), group),
        )
        return each(session, kind, ids, lambda oid: session.call(kind.call("chown"), oid, uid, gid), "owner changed")

    return command(
        kind,
        "chown",
        run,
        ids_argument(kind),
        object_argument(_other("user"), "owner"),
        object_argument(_other("group"), "group", required=False),
        examples=["chown 7 ann", "chown 3..9 ann users"],
    )


def chgrp(kind: Kind) -> click.Command:
    """The command `chgrp`."""

    def run(session: Session, kind: Kind, ids: str, group: str) -> int:
        """Give objects to another group."""
        gid = id_of(session, _other("group"), group)
        return each(session, kind, ids, lambda oid: session.call(kind.call("chown"), oid, -1, gid), "group changed")

    group = object_argument(_other("group"), "group")
    return command(kind, "chgrp", run, ids_argument(kind), group, examples=["chgrp 3..9 users"])


def _other(name: str) -> Kind:
    from cli.kinds import kind

    return kind(name)


def chmod(kind: Kind) -> click.Command:
    """The command `chmod`."""

    def run(session: Session, kind: Kind, ids: str, octet: str) -> int:
        """Set the permission bits: three digits for owner, group and others, each use 4 + manage 2 + admin 1.

        Or as letters: u=rw,g=r, with r for use, w for manage, x for admin.
        """
        bits = permission_bits(octet)
        return each(session, kind, ids, lambda oid: session.call(kind.call("chmod"), oid, *bits), "permissions changed")

    octet = click.Argument(["octet"])
    return command(kind, "chmod", run, ids_argument(kind), octet, examples=["chmod 7 640", "chmod 3..9 u=rw,g=r"])


def permission_bits(octet: str) -> list[int]:
    """The nine arguments of chmod for `640` or `u=rw,g=r`; raises CliError."""
    if "=" in octet:
        return _lettered(octet)
    if len(octet) != 3 or not set(octet) <= set("01234567"):
        raise CliError(f"{octet!r} is not three digits of 0 to 7, as in 640")
    return [int(digit) >> shift & 1 for digit in octet for shift in (2, 1, 0)]


def _lettered(text: str) -> list[int]:
    given = {}
    for part in text.split(","):
        who, _, letters = part.strip().partition("=")
        if who not in ("u", "g", "o") or not set(letters) <= set("rwx-"):
            raise CliError(f"{text!r} is not three digits, as in 640, or letters, as in u=rw,g=r")
        given[who] = letters
    return [int(letter in given.get(who, "")) for who in "ugo" for letter in "rwx"]


def lock(kind: Kind) -> click.Command:
    """The command `lock`."""

    def run(session: Session, kind: Kind, ids: str, **asked: bool) -> int:
        """Lock objects against actions up to a level."""
        level = max([LEVELS[name] for name, on in asked.items() if on], default=LEVELS["use"])
        return each(session, kind, ids, lambda oid: session.call(kind.call("lock"), oid, level, False), "locked")

    levels = [
        click.Option([f"--{name}"], is_flag=True, help=f"Lock {name} actions{_default(name)}.") for name in LEVELS
    ]
    return command(kind, "lock", run, ids_argument(kind), *levels, examples=["lock 7", "lock 7 --manage"])


def _default(name: str) -> str:
    return " (the default)" if name == "use" else ""


def unlock(kind: Kind) -> click.Command:
    """The command `unlock`."""

    def run(session: Session, kind: Kind, ids: str) -> int:
        """Unlock objects."""
        return each(session, kind, ids, lambda oid: session.call(kind.call("unlock"), oid), "unlocked")

    return command(kind, "unlock", run, ids_argument(kind), examples=["unlock 7"])
