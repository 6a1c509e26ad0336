"""Limits of users and groups: quota, batchquota, defaultquota, the same for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import source
from cli.command import command, ids_argument, object_argument
from cli.ids import each, id_of, read_info
from cli.kind import Kind
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

SECTIONS = ("DATASTORE", "NETWORK", "VM", "IMAGE")
EXAMPLE = """# Limits; -1: as the defaults say, -2: none.  What is not here stays as it is.
# VM=[ VMS="10", MEMORY="8192", CPU="4", SYSTEM_DISK_SIZE="-1", RUNNING_VMS="-1" ]
# DATASTORE=[ ID="1", IMAGES="20", SIZE="102400" ]
# NETWORK=[ ID="0", LEASES="5" ]
# IMAGE=[ ID="3", RVMS="2" ]
"""
"""What the editor begins with; MEMORY, SIZE and SYSTEM_DISK_SIZE are MB."""


def text(body: Body) -> str:
    """The limits in BODY, without what is used, as a template."""
    from onecore.wire.template import Tree, to_text, tree_of

    found = [
        (section, {key: str(value) for key, value in tree_of(element) if not key.endswith("_USED")})
        for section in SECTIONS
        for element in body.findall(f"{section}_QUOTA/{section}")
    ]
    return to_text(Tree(found))


def _file() -> click.Argument:
    return click.Argument(["file"], required=False)


def quota(kind: Kind) -> click.Command:
    """The command `quota`."""

    def run(session: Session, kind: Kind, oid: str, file: str | None) -> None:
        """Set limits from a template FILE, from standard input, or in $EDITOR, which shows those that are set."""
        found = id_of(session, kind, oid)
        changed = source.submit(
            file,
            lambda: EXAMPLE + text(read_info(session, kind, found)),
            f"{kind.program}-quota-{found}",
            lambda limits: session.call(kind.call("quota"), found, limits),
        )
        session.told(f"{kind.tag} {found}: " + ("quota set" if changed else "not changed"))

    return command(
        kind, "quota", run, object_argument(kind, "oid"), _file(), examples=["quota 5", "quota 5 limits.txt"]
    )


def batchquota(kind: Kind) -> click.Command:
    """The command `batchquota`."""

    def run(session: Session, kind: Kind, ids: str, file: str | None) -> int:
        """Set the same limits for several at once, from a template FILE, from standard input, or in $EDITOR."""
        codes: list[int] = []

        def send(limits: str) -> None:
            codes.append(
                each(session, kind, ids, lambda oid: session.call(kind.call("quota"), oid, limits), "quota set")
            )

        source.submit(file, lambda: EXAMPLE, f"{kind.program}-quota", send)
        return max(codes, default=0)

    return command(kind, "batchquota", run, ids_argument(kind), _file(), examples=["batchquota 5..9 limits.txt"])


def defaultquota(kind: Kind) -> click.Command:
    """The command `defaultquota`."""

    def run(session: Session, kind: Kind, file: str | None) -> None:
        """Set the limits of all that have none of their own, from a template FILE, standard input, or in $EDITOR."""
        from onecore.wire import xmlbody

        method = f"one.{kind.method}quota"
        changed = source.submit(
            file,
            lambda: EXAMPLE + text(xmlbody.read(session.text(f"{method}.info"))),
            f"{kind.program}-defaultquota",
            lambda limits: session.call(f"{method}.update", limits),
        )
        session.told("default quota set" if changed else "default quota not changed")

    return command(kind, "defaultquota", run, _file(), examples=["defaultquota", "defaultquota limits.txt"])
